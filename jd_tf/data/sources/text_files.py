"""Text logs, line by line, with errors that name the line."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from jd_tf.data.sources.source import LogReport
from jd_tf.schema import DataError

_DAMAGE = (OSError, EOFError, zlib.error)


class Line(NamedTuple):
    """A line of a text file."""

    number: int  # Counted from 1
    start: int  # Its first byte
    text: str  # Without its end


def read_lines(
    path: Path,
    report: LogReport,
    errors: str = "strict",
    gzipped: bool = False,
) -> Iterator[Line]:
    """Reads UTF-8 lines; undecodable and cut-off ones are bad records.

    Args:
        path: the file.
        report: tolerates bad records or not.
        errors: Python's way with undecodable bytes.
        gzipped: unpacks the file.

    Raises:
        DataError: if the file is empty, or a line is bad.
    """
    number = start = 0
    with _open(path, gzipped) as file:
        while True:
            number += 1
            where = f"{path}: line {number}"
            try:
                raw = file.readline()
                if not raw:
                    break
                text = raw.decode("utf-8", errors)
                if not raw.endswith(b"\n"):
                    raise DataError(
                        f"{where}: the file ends inside this line, so it is "
                        "truncated; if not, end it with a newline"
                    )
            except UnicodeDecodeError as error:
                report.tolerate(
                    DataError(
                        f"{where}: byte {error.start} of the line, "
                        f"{raw[error.start]:#04x}, is not UTF-8"
                    )
                )
            except DataError as error:
                report.tolerate(error)
            except _DAMAGE as error:
                # Nothing behind it can be found.
                report.tolerate(
                    DataError(
                        f"{where}: {error}: the file is truncated or damaged"
                    )
                )
                return
            else:
                yield Line(number, start, text.rstrip("\r\n"))
            start += len(raw)
    if not start:
        raise DataError(f"{path}: the file is empty. Copy it again.")


class TextTable:
    """A file of values separated by commas or tabs, gzipped or not.

    Args:
        path: the file, the first line of which names the columns.
        columns: those wanted.
        errors: Python's way with undecodable bytes.
        remedy: ends the error about a missing column.

    Attributes:
        header: names of all columns.

    Raises:
        DataError: if the header cannot be read or lacks a column.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        errors: str = "strict",
        remedy: str = "Name the right file.",
    ):
        self.path, self.columns = path, tuple(columns)
        self._errors = errors
        with path.open("rb") as file:
            self._gzipped = file.read(2) == b"\x1f\x8b"
        try:
            with _open(path, self._gzipped) as file:
                first = file.readline().decode("utf-8-sig", errors)
        except (*_DAMAGE, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}: line 1: {error}: the file is damaged or no table."
            ) from error
        if not first:
            raise DataError(f"{path}: the file is empty. Copy it again.")
        self._separator = "\t" if "\t" in first else ","
        self.header = self._split(first.rstrip("\r\n"))
        for name in columns:
            if name not in self.header:
                raise DataError(
                    f"{path}: line 1: no column `{name}`; there are "
                    f"{', '.join(self.header[:9])!r}. {remedy}"
                )

    def rows(self, report: LogReport) -> Iterator[tuple[int, list[str]]]:
        """Yields line numbers and values, in the order of `columns`.

        Bad lines go to `report`, which tolerates them or not.
        """
        wanted = [self.header.index(name) for name in self.columns]
        lines = read_lines(self.path, report, self._errors, self._gzipped)
        next(lines, None)
        for number, _, text in lines:
            values = self._split(text)
            if len(values) != len(self.header):
                report.tolerate(
                    DataError(
                        f"{self.path}: line {number}: {len(values)} columns, "
                        f"the header has {len(self.header)}"
                    )
                )
                continue
            yield number, [values[index] for index in wanted]

    def _split(self, text: str) -> list[str]:
        # Most logs quote nothing, and then this is ten times as fast.
        if '"' not in text:
            return text.split(self._separator)
        return next(csv.reader([text], delimiter=self._separator), [])


def _open(path: Path, gzipped: bool) -> BinaryIO:
    if gzipped:
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")
