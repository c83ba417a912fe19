"""Text logs, line by line, with errors that name the line."""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.data.log_report import LogReport
from jd_tf.schema import DataError

NO_LIMIT = math.inf  # No greatest number


def read_lines(
    path: Path, report: LogReport, growing: bool = True
) -> Iterator[tuple[int, int, str]]:
    """Yields number from 1, first byte and text of UTF-8 lines.

    Undecodable lines are bad records, and so is a last one without a newline
    where the file may still be growing.
    """
    number = start = 0
    with path.open("rb") as file:
        while True:
            number += 1
            problem = ""
            try:
                raw = file.readline()
                text = raw.decode("utf-8")
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
    """Values separated by commas; the first line names the columns."""

    def __init__(self, path: Path, columns: Sequence[str]):
        self.path, self.columns = path, columns
        with path.open("rb") as file:
            first = file.readline()
        try:
            text = first.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: line 1: {error}: the file is damaged or no table."
            ) from error
        if not first:
            raise DataError(f"{path}: the file is empty. Copy it again.")
        self.header = _split(text.rstrip("\r\n"))
        for name in columns:
            if name not in self.header:
                raise DataError(
                    f"{path}: line 1: no column `{name}`; there are "
                    f"{', '.join(self.header[:9])!r}. Name the right file."
                )

    def records(
        self, report: LogReport, parse: Callable[[list[str]], Any]
    ) -> Iterator[Any]:
        """Yields what `parse` makes of good lines."""
        wanted = [self.header.index(name) for name in self.columns]
        lines = read_lines(self.path, report)
        next(lines, None)
        for number, _, text in lines:
            values = _split(text)
            try:
                if len(values) != len(self.header):
                    raise DataError(
                        f"{len(values)} columns, the header has "
                        f"{len(self.header)}"
                    )
                record = parse([values[index] for index in wanted])
            except DataError as error:
                report.tolerate(f"{self.path}: line {number}: {error}")
            else:
                yield record


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


def _split(text: str) -> list[str]:
    # Most logs quote nothing, and then this is ten times as fast.
    return next(csv.reader([text]), []) if '"' in text else text.split(",")
