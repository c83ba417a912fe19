"""The interface of all log formats."""

import abc
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from jd_tf.data.log_report import LogReport
from jd_tf.schema import DataError, Schema

Request = Mapping[str, Any]


@dataclasses.dataclass(eq=False)
class Source(abc.ABC):
    """A log in some format, read as requests.

    Construction checks the files and fails on a wrong folder; `requests`
    reads them once, front to back, so that logs larger than memory work.

    Attributes:
        name: of the format.
        input_dir: folder of the log; `folder` is its path.
        max_bad_records: records that may be skipped; one more is an error.
        validation_share: share of the log used for validation, in (0, 1).
        test_share: share of the log used for testing, in (0, 1).
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

    input_dir: str | Path
    max_bad_records: int = 0
    validation_share: float = 0.1
    test_share: float = 0.2

    def __post_init__(self) -> None:
        self.folder = Path(self.input_dir)
        if not self.folder.is_dir():
            raise DataError(
                f"{self.folder}: no such folder. Name the folder of the "
                f"{self.name} files."
            )
        shares = (self.validation_share, self.test_share)
        if min(shares) <= 0 or sum(shares) >= 1:
            raise DataError(
                "`validation_share` and `test_share` must be above 0 and "
                f"their sum below 1. Got: {shares[0]} and {shares[1]}."
            )
        self.report = LogReport(self.max_bad_records)

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
        """Lists the files below the folder that match a pattern, in order."""
        found = {
            path
            for pattern in patterns
            for path in self.folder.rglob(pattern)
            if path.is_file() and not path.name.startswith((".", "README"))
        }
        if not found:
            there = sorted(path.name for path in self.folder.iterdir())
            raise DataError(
                f"{self.folder}: no {self.name} files "
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


def check_options(owner: str, options: Iterable[str], known: list[str]) -> None:
    """Refuses options that are not known."""
    for name in sorted(set(options) - set(known)):
        raise DataError(
            f"{owner} has no option `{name}`. It has: {', '.join(known)}."
        )


def check_least(options: Any, **limits: float) -> None:
    """Refuses options below their limits."""
    for name, limit in limits.items():
        value = getattr(options, name)
        if not value >= limit:
            raise DataError(f"`{name}` must be at least {limit}. Got: {value}.")
