"""Actions of JData 2016, line by line."""

import contextlib
import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jd_tf.data.sources.jdata2016.jdata_tables import parse_id
from jd_tf.data.sources.source import LogReport
from jd_tf.data.sources.text_files import TextTable
from jd_tf.schema import DataError

COLUMNS = ("time", "user_id", "sku_id", "type", "model_id", "cate", "brand")
MAX_MODULE_ID = 1022


class LoggedAction(NamedTuple):
    """One line of `JData_Action_*.csv`."""

    time: int  # Seconds since 1970, reading the log's local time as UTC
    user: int  # User id
    item: int  # Product id
    kind: int  # 1 view, 2 cart, 3 cart removal, 4 order, 5 follow, 6 click
    module: int  # `model_id` + 1, or 0 where there is none
    category: int  # Category id
    brand: int  # Brand id


def read_time(text: str) -> int:
    """Reads a time like `2016-01-31 23:59:02` as seconds since 1970.

    Raises:
        ValueError: if it is not a time.
    """
    try:
        if len(text) != 19 or text[10] != " ":
            raise ValueError
        time = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"not a time: {text!r}") from error
    return int(time.replace(tzinfo=datetime.timezone.utc).timestamp())


def read_actions(path: Path, report: LogReport) -> Iterator[LoggedAction]:
    """Reads one file; exact duplicates are dropped and counted.

    Args:
        path: the file, in the order of time.
        report: tolerates bad records or not.

    Raises:
        DataError: naming line and column, also where time goes back.
    """
    now = -1
    seen: set[tuple[str, ...]] = set()
    counts = report.counts
    for number, values in TextTable(path, COLUMNS).rows(report):
        where = f"{path}: line {number}"
        try:
            action = _parse(values)
            if action.time < now:
                raise DataError(
                    f"column `time`: {values[0]} is before the line above; "
                    "sort the file by time"
                )
        except DataError as error:
            report.tolerate(DataError(f"{where}: {error}"))
            continue
        counts["rows"] += 1
        if action.time > now:
            now = action.time
            seen.clear()
        row = tuple(values)
        if row in seen:
            # A duplicate has the same time, so this second's rows are enough.
            counts["exact duplicates dropped"] += 1
            continue
        seen.add(row)
        yield action


def time_at(path: Path, share: float) -> int:
    """Returns the time of the line at a share of the way into the file.

    Args:
        path: the file, in the order of time.
        share: 0 is the first line, 1 the end.

    Raises:
        DataError: if there are no actions.
    """
    remedy = f"Name a folder of JData actions ({', '.join(COLUMNS)})."
    index = TextTable(path, ("time",), "replace", remedy).header.index("time")
    # A bad line there is reported when the file is read: take the next.
    for start in (int(share * path.stat().st_size), 1):
        for text in itertools.islice(_lines_from(path, start), 1000):
            with contextlib.suppress(ValueError, IndexError):
                return read_time(text.split(",")[index])
    raise DataError(f"{path}: no line with a time. Copy the file again.")


def _lines_from(path: Path, offset: int) -> Iterator[str]:
    """Yields the whole lines from a byte on, however they decode."""
    with path.open("rb") as file:
        if offset:
            # The byte before tells if a line starts right here.
            file.seek(offset - 1)
            file.readline()
        for raw in file:
            yield raw.decode("utf-8", "replace").rstrip("\r\n")


def _parse(values: list[str]) -> LoggedAction:
    column = "time"
    try:
        time = read_time(values[0])
        ids = []
        for name, value in zip(COLUMNS[1:4], values[1:4], strict=True):
            column = name
            ids.append(parse_id(value))
        column, value = "model_id", values[4]
        module = 0 if value == "" else int(value.removesuffix(".0")) + 1
        if not 0 <= module <= MAX_MODULE_ID + 1:
            raise ValueError(f"not in 0 to {MAX_MODULE_ID}: {value!r}")
        column = "cate"
        category = parse_id(values[5])
        column = "brand"
        brand = parse_id(values[6])
        column = "type"
        if ids[2] > 6:
            raise ValueError(f"not in 1 to 6: {values[3]!r}")
    except ValueError as error:
        raise DataError(f"column `{column}`: {error}") from error
    user, item, kind = ids
    return LoggedAction(time, user, item, kind, module, category, brand)
