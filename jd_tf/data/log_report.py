"""The report of reading a log."""

import collections
from typing import Any

from jd_tf.schema import DataError

SPLITS = ("train", "validation", "test")
_KEPT_MESSAGES = 5


class LogReport:
    """Counts of a log, with a limit on its bad records."""

    def __init__(self, max_bad_records: int = 0):
        if max_bad_records < 0:
            raise DataError(
                "`max_bad_records` must not be negative. "
                f"Got: {max_bad_records}."
            )
        self.max_bad_records = max_bad_records
        self.bad_records = 0
        self.messages: list[str] = []  # Errors of the first of them
        self.counts: collections.Counter[str] = collections.Counter()
        self.notes: list[str] = []  # Sentences on how the log was read

    def tolerate(self, error: DataError | str, records: int = 1) -> None:
        """Counts bad records, or raises once there are too many."""
        text = str(error)
        self.bad_records += records
        if len(self.messages) < _KEPT_MESSAGES:
            self.messages.append(text)
        if self.bad_records > self.max_bad_records:
            raise DataError(
                f"{text.rstrip('.')}. Mend or copy the file again, or skip "
                "such records with --max_bad_records (now "
                f"{self.max_bad_records})."
            )

    def to_json(self) -> dict[str, Any]:
        """Returns the report as plain values."""
        return {
            "bad_records": self.bad_records,
            "first_bad_records": list(self.messages),
            "counts": dict(self.counts),
            "notes": list(self.notes),
        }
