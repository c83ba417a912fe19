"""What every log format offers."""

import abc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from jd_tf.data.sources.log_report import LogReport
from jd_tf.schema import DataError, Schema

SPLITS = ("train", "validation", "test")

Request = Mapping[str, Any]


class Source(abc.ABC):
    """A log in some format, read as requests.

    Construction looks at the files and fails on a wrong folder; `requests`
    reads them once, front to back, so that logs larger than memory work.

    Args:
        input_dir: folder of the log.
        max_bad_records: records that may be skipped; one more is an error.
        validation_share: share of the log used for validation, in (0, 1).
        test_share: share of the log used for testing, in (0, 1).

    Attributes:
        name: of the format.
        report: filled while `requests` runs.
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
        """What its requests look like."""

    @abc.abstractmethod
    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yields every request with the split it belongs to.

        Raises:
            DataError: naming file and record.
        """

    def find_files(self, *patterns: str) -> list[Path]:
        """Files below the folder that match a pattern, in order.

        Raises:
            DataError: if there are none, with what lies there instead.
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
        """The split of something that lies a share of the way into the log."""
        if share >= 1 - self.test_share:
            return "test"
        if share >= 1 - self.test_share - self.validation_share:
            return "validation"
        return "train"
