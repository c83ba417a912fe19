"""Actions of JData 2016, line by line."""

import contextlib
import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jd_tf.data.sources.source import LogReport
from jd_tf.data.sources.text_files import ANY, TextTable, whole_numbers
from jd_tf.schema import DataError

MAX_MODULE_ID = 1022
_MODULE = {"model_id": (0, MAX_MODULE_ID)}
_IDS = {
    "user_id": (1, ANY),
    "sku_id": (1, ANY),
    "type": (1, 6),
    "cate": (1, ANY),
    "brand": (1, ANY),
}
COLUMNS = ("time", *_MODULE, *_IDS)


class LoggedAction(NamedTuple):
    """One line of `JData_Action_*.csv`."""

    time: int  # Seconds since 1970, reading the log's local time as UTC
    module: int  # `model_id` + 1, or 0 where there is none
    user: int  # User id
    item: int  # Product id
    kind: int  # 1 view, 2 cart, 3 cart removal, 4 order, 5 follow, 6 click
    category: int  # Category id
    brand: int  # Brand id


def read_actions(path: Path, report: LogReport) -> Iterator[LoggedAction]:
    """Reads one file; exact duplicates are dropped and counted."""
    now = -1
    seen: set[LoggedAction] = set()
    for action in TextTable(path, COLUMNS).records(report, _parse, "time"):
        report.counts["rows"] += 1
        if action.time > now:
            now = action.time
            seen.clear()
        if action in seen:
            # A duplicate has the same time, so this second's rows are enough.
            report.counts["exact duplicates dropped"] += 1
            continue
        seen.add(action)
        yield action


def time_at(path: Path, share: float) -> int:
    """Returns the time of the line at a share of the way into the file.

    Args:
        path: the file, in the order of time.
        share: 0 is the first line, 1 the end.
    """
    remedy = f"Name a folder of JData actions ({', '.join(COLUMNS)})."
    table = TextTable(path, ("time",), errors="replace", remedy=remedy)
    index = table.header.index("time")
    # A bad line there is reported when the file is read: take the next.
    for start in (int(share * path.stat().st_size), 1):
        for text in itertools.islice(_lines_from(path, start), 1000):
            with contextlib.suppress(DataError, IndexError):
                return _parse_time(text.split(",")[index])
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
    time, module, *ids = values
    (number,) = whole_numbers(_MODULE, [module]) if module else (-1,)
    return LoggedAction(
        _parse_time(time), number + 1, *whole_numbers(_IDS, ids)
    )


def _parse_time(text: str) -> int:
    """Reads a time like `2016-01-31 23:59:02` as seconds since 1970."""
    try:
        if len(text) != 19 or text[10] != " ":
            raise ValueError
        time = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"column `time`: not a time: {text!r}") from error
    return int(time.replace(tzinfo=datetime.timezone.utc).timestamp())
