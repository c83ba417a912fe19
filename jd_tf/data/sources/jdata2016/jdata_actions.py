"""The action log of JData 2016, line by line."""

import contextlib
import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jd_tf.data.sources.jdata2016.jdata_tables import parse_id
from jd_tf.data.sources.log_report import LogReport
from jd_tf.data.sources.text_files import lines_from, read_csv
from jd_tf.schema import DataError

COLUMNS = ("time", "user_id", "sku_id", "type", "model_id", "cate", "brand")
MAX_MODULE_ID = 1022


class LoggedAction(NamedTuple):
    """One line of `JData_Action_*.csv`.

    Attributes:
        time: seconds since 1970, reading the log's local time as UTC.
        user: user id.
        item: product id.
        kind: 1 view, 2 cart, 3 cart removal, 4 order, 5 follow, 6 click.
        module: `model_id` + 1, or 0 where there is none.
        category: category id.
        brand: brand id.
    """

    time: int
    user: int
    item: int
    kind: int
    module: int
    category: int
    brand: int


class TimeParser:
    """Reads times like `2016-01-31 23:59:02`, remembering the days."""

    def __init__(self) -> None:
        self._days: dict[str, int] = {}

    def parse(self, text: str) -> int:
        """Seconds since 1970.

        Raises:
            ValueError: if it is not a time.
        """
        day = self._days.get(text[:10])
        if day is None:
            parsed = datetime.datetime.strptime(text[:10], "%Y-%m-%d")
            parsed = parsed.replace(tzinfo=datetime.timezone.utc)
            day = self._days[text[:10]] = int(parsed.timestamp())
        hour, minute, second = text[11:13], text[14:16], text[17:]
        if len(text) != 19 or text[10] != " " or text[13] + text[16] != "::":
            raise ValueError(f"not a time: {text!r}")
        if not (hour < "24" and minute < "60" and second < "60"):
            raise ValueError(f"not a time: {text!r}")
        return day + int(hour) * 3600 + int(minute) * 60 + int(second)


def read_actions(path: Path, report: LogReport) -> Iterator[LoggedAction]:
    """Reads one file; exact duplicates are dropped and counted.

    Args:
        path: the file, in the order of time.
        report: tolerates bad records or not.

    Raises:
        DataError: naming line and column, also where time goes back.
    """
    times = TimeParser()
    now = -1
    seen: set[tuple[str, ...]] = set()
    counts = report.counts
    for number, values in read_csv(path, COLUMNS, report):
        where = f"{path}: line {number}"
        try:
            action = _parse(values, times)
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
    """Time of the line that lies a share of the way into the file.

    Args:
        path: the file, in the order of time.
        share: 0 is the first line, 1 the end.

    Raises:
        DataError: if there are no actions.
    """
    header, size = next(lines_from(path, 0), ""), path.stat().st_size
    if not size:
        raise DataError(f"{path}: the file is empty. Copy it again.")
    columns = header.removeprefix("\ufeff").split(",")
    if "time" not in columns:
        raise DataError(
            f"{path}: line 1: no column `time`; there are {header[:80]!r}. "
            f"Name a folder of JData actions ({', '.join(COLUMNS)})."
        )
    times, index = TimeParser(), columns.index("time")
    # A bad line there is not the place to complain about it: take the next.
    for start in (max(int(share * size), len(header) + 1), len(header) + 1):
        for text in itertools.islice(lines_from(path, start), 1000):
            with contextlib.suppress(ValueError, IndexError):
                return times.parse(text.split(",")[index])
    raise DataError(f"{path}: no line with a time. Copy the file again.")


def _parse(values: list[str], times: TimeParser) -> LoggedAction:
    column = "time"
    try:
        time = times.parse(values[0])
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
    return LoggedAction(time, *ids, module, category, brand)
