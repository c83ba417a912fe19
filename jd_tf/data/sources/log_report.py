"""What was found while reading a log."""

import collections
from typing import Any

from jd_tf.schema import DataError

_KEPT_MESSAGES = 5


class LogReport:
    """Counts what a source met, and decides when bad records are too many.

    Args:
        max_bad_records: records that may be skipped; one more is an error.

    Attributes:
        bad_records: records skipped so far.
        messages: what was wrong with the first of them.
        counts: whatever the source counts, by a name fit for a reader.
        notes: sentences on how the log was read.
    """

    def __init__(self, max_bad_records: int = 0):
        if max_bad_records < 0:
            raise DataError(
                f"`max_bad_records` must not be negative. Got: "
                f"{max_bad_records}."
            )
        self.max_bad_records = max_bad_records
        self.bad_records = 0
        self.messages: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.notes: list[str] = []

    def tolerate(self, error: DataError) -> None:
        """Counts a bad record, which the caller then skips.

        Args:
            error: what is wrong with it, with file and record.

        Raises:
            DataError: once there are more than `max_bad_records`.
        """
        self.bad_records += 1
        if len(self.messages) < _KEPT_MESSAGES:
            self.messages.append(str(error))
        if self.bad_records > self.max_bad_records:
            text = str(error).rstrip(".")
            raise DataError(
                f"{text}. Mend or copy the file again, or skip such records "
                f"with --max_bad_records (now {self.max_bad_records})."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "bad_records": self.bad_records,
            "first_bad_records": list(self.messages),
            "counts": dict(self.counts),
            "notes": list(self.notes),
        }
