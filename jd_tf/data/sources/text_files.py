"""Text logs, line by line, with errors that name the line."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jd_tf.data.sources.log_report import LogReport
from jd_tf.schema import DataError


class Line(NamedTuple):
    """A line of a text file.

    Attributes:
        number: counted from 1.
        start: its first byte.
        text: without its end.
    """

    number: int
    start: int
    text: str


def read_lines(
    path: Path, report: LogReport, errors: str = "strict"
) -> Iterator[Line]:
    """Reads UTF-8 lines; undecodable and cut-off ones are bad records.

    Args:
        path: the file.
        report: tolerates bad records or not.
        errors: what Python does about undecodable bytes.

    Raises:
        DataError: if the file is empty, or a line is bad.
    """
    start = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            where = f"{path}: line {number}"
            try:
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
            else:
                yield Line(number, start, text.rstrip("\r\n"))
            start += len(raw)
    if not start:
        raise DataError(f"{path}: the file is empty. Copy it again.")


def read_csv(
    path: Path,
    columns: Sequence[str],
    report: LogReport,
    errors: str = "strict",
) -> Iterator[tuple[int, list[str]]]:
    """Reads columns of a CSV file with a header.

    Args:
        path: the file.
        columns: names of the columns wanted.
        report: tolerates bad records or not.
        errors: what Python does about undecodable bytes.

    Yields:
        Line number and values, in the order of `columns`.

    Raises:
        DataError: if a column is missing, or a line is bad.
    """
    lines = read_lines(path, report, errors)
    first = next(lines, Line(1, 0, ""))
    header = parse_csv_line(first.text.removeprefix("\ufeff"))
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{path}: line 1: no column `{missing[0]}`; there are "
            f"{', '.join(header[:9]) or 'none'}. Name the right file."
        )
    wanted = [header.index(name) for name in columns]
    for line in lines:
        values = parse_csv_line(line.text)
        if len(values) != len(header):
            report.tolerate(
                DataError(
                    f"{path}: line {line.number}: {len(values)} columns, the "
                    f"header has {len(header)}"
                )
            )
            continue
        yield line.number, [values[index] for index in wanted]


def parse_csv_line(text: str) -> list[str]:
    """Splits one line of a CSV file."""
    # Most logs quote nothing, and then this is ten times as fast.
    return next(csv.reader([text]), []) if '"' in text else text.split(",")


def lines_from(path: Path, offset: int) -> Iterator[str]:
    """Whole lines from a byte on, however they decode.

    Args:
        path: the file.
        offset: the byte; the line it lies inside of is not whole.
    """
    with path.open("rb") as file:
        if offset:
            # The byte before tells whether a line starts right here.
            file.seek(offset - 1)
            file.readline()
        for raw in file:
            yield raw.decode("utf-8", "replace").rstrip("\r\n")
