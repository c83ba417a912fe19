"""Text logs, line by line, with errors that name the line."""

import csv
import gzip
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from jd_tf.data.log_report import LogReport
from jd_tf.schema import DataError

_DAMAGE = (OSError, EOFError, zlib.error)

NO_LIMIT = math.inf  # No greatest number


def read_lines(
    path: Path,
    report: LogReport,
    errors: str = "strict",
    gzipped: bool = False,
    growing: bool = True,
) -> Iterator[tuple[int, int, str]]:
    """Yields number from 1, first byte and text of UTF-8 lines.

    Undecodable lines are bad records, and so is a last one without a newline
    where the file may still be growing.
    """
    number = start = 0
    with _open(path, gzipped) as file:
        while True:
            number += 1
            problem = ""
            try:
                raw = file.readline()
                text = raw.decode("utf-8", errors)
                if raw and not (growing or raw.endswith(b"\n")):
                    report.notes.append(
                        f"{path}: line {number}, the last, has no newline and "
                        "is taken as whole."
                    )
                elif raw and not raw.endswith(b"\n"):
                    problem = (
                        "the file ends inside this line, so it is truncated; "
                        "if not, end it with a newline"
                    )
            except UnicodeDecodeError as error:
                problem = (
                    f"byte {error.start} of the line, "
                    f"{raw[error.start]:#04x}, is not UTF-8"
                )
            except _DAMAGE as error:
                # Nothing behind it can be found.
                report.tolerate(
                    f"{path}: line {number}: {error}: the file is truncated "
                    "or damaged"
                )
                return
            if not raw:
                break
            if problem:
                report.tolerate(f"{path}: line {number}: {problem}")
            else:
                yield number, start, text.rstrip("\r\n")
            start += len(raw)
    if not start:
        raise DataError(f"{path}: the file is empty. Copy it again.")


class TextTable:
    """A file of values separated by commas or tabs, gzipped or not.

    The first line names the columns; `errors` is Python's way with undecodable
    bytes, `remedy` ends the error about a missing column.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        optional: Sequence[str] = (),
        errors: str = "strict",
        remedy: str = "Name the right file.",
    ):
        self.path = path
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
        there = (name for name in optional if name in self.header)
        self.columns = (*columns, *there)

    def records(
        self,
        report: LogReport,
        parse: Callable[[list[str]], Any],
        sorted_by: str = "",
    ) -> Iterator[Any]:
        """Yields what `parse` makes of good lines; `sorted_by` is checked."""
        latest = 0
        wanted = [self.header.index(name) for name in self.columns]
        lines = read_lines(self.path, report, self._errors, self._gzipped)
        next(lines, None)
        for number, _, text in lines:
            values = self._split(text)
            try:
                if len(values) != len(self.header):
                    raise DataError(
                        f"{len(values)} columns, the header has "
                        f"{len(self.header)}"
                    )
                record = parse([values[index] for index in wanted])
                if sorted_by:
                    if record.time < latest:
                        value = values[self.header.index(sorted_by)]
                        raise DataError(
                            f"column `{sorted_by}`: {value} is before the "
                            f"line above; sort the file by {sorted_by}"
                        )
                    latest = record.time
            except DataError as error:
                report.tolerate(f"{self.path}: line {number}: {error}")
            else:
                yield record

    def _split(self, text: str) -> list[str]:
        # Most logs quote nothing, and then this is ten times as fast.
        if '"' not in text:
            return text.split(self._separator)
        return next(csv.reader([text], delimiter=self._separator), [])


def whole_numbers(
    limits: Mapping[str, tuple[int, float]], texts: Sequence[str]
) -> list[int]:
    """Reads numbers like `266079` and `266079.0`; the last may be missing."""
    numbers = []
    for column, text in zip(limits, texts, strict=False):
        least, most = limits[column]
        digits = text.removesuffix(".0")
        number = int(digits) if digits.isascii() and digits.isdigit() else -1
        if not least <= number <= most:
            limit = "at least {}" if most == NO_LIMIT else "{} to {}"
            raise DataError(
                f"column `{column}` must be a whole number, "
                f"{limit.format(least, most)}. Got: {text!r}"
            )
        numbers.append(number)
    return numbers


def _open(path: Path, gzipped: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if gzipped else path.open("rb")
