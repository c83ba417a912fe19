"""The interface of all log formats, and the report of reading a log."""

import abc
import collections
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from jd_tf.schema import DataError, Schema

SPLITS = ("train", "validation", "test")
_KEPT_MESSAGES = 5

Request = Mapping[str, Any]


class LogReport:
    """Counts of a log, with a limit on its bad records.

    Args:
        max_bad_records: records that may be skipped; one more is an error.

    Attributes:
        bad_records: records skipped so far.
        messages: errors of the first of them.
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
            error: names file and record.

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
        """Returns the report as plain values."""
        return {
            "bad_records": self.bad_records,
            "first_bad_records": list(self.messages),
            "counts": dict(self.counts),
            "notes": list(self.notes),
        }


class Source(abc.ABC):
    """A log in some format, read as requests.

    Construction checks the files and fails on a wrong folder; `requests`
    reads them once, front to back, so that logs larger than memory work.

    Args:
        input_dir: folder of the log.
        max_bad_records: records that may be skipped; one more is an error.
        validation_share: share of the log used for validation, in (0, 1).
        test_share: share of the log used for testing, in (0, 1).

    Attributes:
        name: of the format.
        report: filled while `requests` runs.

    Example:
        A log of one's own is a subclass, and `make_dataset` writes it:

        >>> import tempfile
        >>> from jd_tf.data import Source
        >>> from jd_tf.schema import Behavior, IdColumn, Objective, Schema
        >>> class Clicks(Source):
        ...     name = "clicks"
        ...     schema = Schema(
        ...         name="clicks",
        ...         item_columns=(IdColumn("item_id", num_buckets=100),),
        ...         behaviors=(Behavior("click", max_length=10),),
        ...         objectives=(Objective("click", 1.0),),
        ...         max_candidates=5,
        ...     )
        ...     def requests(self):
        ...         for path in self.find_files("*.txt"):
        ...             request = {"request_id": path.stem}
        ...             yield self.split_of_share(0.75), request
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open(f"{folder}/monday.txt", "w") as file:
        ...         _ = file.write("7")
        ...     print(*Clicks(folder).requests())
        ('validation', {'request_id': 'monday'})
    """

    name: ClassVar[str]

    def __init__(
        self,
        input_dir: str | Path,
        max_bad_records: int = 0,
        validation_share: float = 0.1,
        test_share: float = 0.2,
    ):
        self.input_dir = Path(input_dir)
        if not self.input_dir.is_dir():
            raise DataError(
                f"{self.input_dir}: no such folder. Name the folder of the "
                f"{self.name} files."
            )
        shares = (validation_share, test_share)
        if min(shares) <= 0 or sum(shares) >= 1:
            raise DataError(
                "`validation_share` and `test_share` must be above 0 and "
                f"their sum below 1. Got: {validation_share} and {test_share}."
            )
        self.validation_share = validation_share
        self.test_share = test_share
        self.report = LogReport(max_bad_records)

    @property
    @abc.abstractmethod
    def schema(self) -> Schema:
        """The columns of its requests."""

    @abc.abstractmethod
    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yields every request with the split it belongs to.

        Raises:
            DataError: naming file and record.
        """

    def find_files(self, *patterns: str) -> list[Path]:
        """Lists the files below the folder that match a pattern, in order.

        Raises:
            DataError: if there are none, with the files there are.
        """
        found = {
            path
            for pattern in patterns
            for path in self.input_dir.rglob(pattern)
            if path.is_file() and not path.name.startswith((".", "README"))
        }
        if not found:
            there = sorted(path.name for path in self.input_dir.iterdir())
            raise DataError(
                f"{self.input_dir}: no {self.name} files "
                f"({' or '.join(patterns)}); it holds "
                f"{', '.join(there[:5]) or 'nothing'}. Name the right folder."
            )
        return sorted(found)

    def split_of_share(self, share: float) -> str:
        """Returns the split at a share of the way into the log."""
        if share >= 1 - self.test_share:
            return "test"
        if share >= 1 - self.test_share - self.validation_share:
            return "validation"
        return "train"


def split_of_time(time: float, starts: tuple[float, float]) -> str:
    """Returns the split of a time, given the starts of validation and test."""
    validation, test = starts
    return SPLITS[(time >= validation) + (time >= test)]
