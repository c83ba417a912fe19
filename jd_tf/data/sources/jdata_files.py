"""Actions, users, products and comments of JData 2016, line by line."""

import bisect
import collections
import contextlib
import datetime
import itertools
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jd_tf.data.log_report import LogReport
from jd_tf.data.sources.text_files import NO_LIMIT, TextTable, whole_numbers
from jd_tf.schema import DataError, IdColumn

MAX_MODULE_ID = 1022
_MODULE = {"model_id": (0, MAX_MODULE_ID)}
_IDS = {
    "user_id": (1, NO_LIMIT),
    "sku_id": (1, NO_LIMIT),
    "type": (1, 6),
    "cate": (1, NO_LIMIT),
    "brand": (1, NO_LIMIT),
}
COLUMNS = ("time", *_MODULE, *_IDS)
# Column of the table -> name in the schema.
USER_COLUMNS = {"user_lv_cd": "user_level", "age": "user_age", "sex": "sex"}
PRODUCT_COLUMNS = {name: f"attribute_{name}" for name in ("a1", "a2", "a3")}
_COMMENT_COLUMNS = ("comment_num", "has_bad_comment", "bad_comment_rate")
UNLISTED = "unlisted"


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
    """Returns the time of the line at a share of the file; 0 is the first."""
    remedy = f"Name a folder of JData actions ({', '.join(COLUMNS)})."
    table = TextTable(path, ("time",), errors="replace", remedy=remedy)
    index = table.header.index("time")
    # A bad line there is reported when the file is read: take the next.
    for start in (int(share * path.stat().st_size), 1):
        for text in itertools.islice(_lines_from(path, start), 1000):
            with contextlib.suppress(DataError, IndexError):
                return _parse_time(text.split(",")[index])
    raise DataError(f"{path}: no line with a time. Copy the file again.")


class KeyedTable:
    """Rows of a CSV file by key, as strings; no columns without a file."""

    def __init__(
        self,
        path: Path | None,
        key: str,
        columns: dict[str, str],
        report: LogReport,
    ):
        self.names = tuple(columns.values()) if path else ()
        self._rows: dict[int, tuple[str, ...]] = {}
        self._absent = (UNLISTED,) * len(self.names)
        if path is None:
            return

        def parse(values: list[str]) -> tuple[int, tuple[str, ...]]:
            (number,) = whole_numbers({key: (1, NO_LIMIT)}, values[:1])
            return number, tuple(v.strip() or UNLISTED for v in values[1:])

        # Ages were published in several encodings; a text that cannot be
        # decoded still separates one age group from another.
        table = TextTable(path, (key, *columns), errors="backslashreplace")
        kept: dict[tuple[str, ...], tuple[str, ...]] = {}
        for number, row in table.records(report, parse):
            self._rows[number] = kept.setdefault(row, row)

    def row(self, key: int) -> tuple[str, ...]:
        """Returns the row of a key; all `UNLISTED` where there is none."""
        return self._rows.get(key, self._absent)

    def id_columns(self) -> list[IdColumn]:
        """Returns columns of the schema, with the values that each holds."""
        found = []
        for index, name in enumerate(self.names):
            values = {row[index] for row in self._rows.values()} - {UNLISTED}
            words = tuple(sorted(values)) or (UNLISTED,)
            found.append(IdColumn(name, "string", vocabulary=words))
        return found


class CommentTable:
    """Comments of products before a day; no columns without a file.

    `comment_num` is 0 none, 1 one, 2 up to ten, 3 up to fifty, 4 more.
    """

    def __init__(self, path: Path | None, report: LogReport):
        self.columns = ("comments_known", *_COMMENT_COLUMNS) if path else ()
        # Product -> rows of a day and numbers, in order.
        self._rows: dict[int, list[tuple]] = collections.defaultdict(list)
        if path is None:
            return
        table = TextTable(path, ("sku_id", "dt", *_COMMENT_COLUMNS))
        for item, *row in table.records(report, _parse_comment):
            self._rows[item].append(tuple(row))
        for rows in self._rows.values():
            rows.sort()

    def before(self, item: int, day: str) -> list[float]:
        """Returns 1 and the newest row before a day, or zeros."""
        rows = self._rows.get(item, [])
        place = bisect.bisect_left(rows, day, key=operator.itemgetter(0))
        if not place:
            return [0.0] * len(self.columns)
        return [1.0, *rows[place - 1][1:]]


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


def _parse_comment(values: list[str]) -> tuple:
    (item,) = whole_numbers({"sku_id": (1, NO_LIMIT)}, values[:1])
    day = values[1]
    try:
        numbers = [float(value) for value in values[2:]]
        is_day = len(day) == 10 and day[4] == day[7] == "-"
        if not (is_day and all(0 <= number < 1e9 for number in numbers)):
            raise ValueError
    except ValueError as error:
        raise DataError(
            f"needs a day like 2016-02-01 and numbers. Got: {values}"
        ) from error
    return item, day, *numbers
