"""Tables of users, products and comments of JData 2016."""

import bisect
import collections
import operator
from pathlib import Path

from jd_tf.data.sources.source import LogReport
from jd_tf.data.sources.text_files import ANY, TextTable, whole_numbers
from jd_tf.schema import DataError

USER_COLUMNS = ("user_lv_cd", "age", "sex")
PRODUCT_COLUMNS = ("a1", "a2", "a3")
_COMMENT_COLUMNS = ("comment_num", "has_bad_comment", "bad_comment_rate")
UNLISTED = "unlisted"


class KeyedTable:
    """Rows of a CSV file by the number in their key column, as strings.

    Without a file it is a table without columns.
    """

    def __init__(
        self,
        path: Path | None,
        key: str,
        columns: tuple[str, ...],
        report: LogReport,
    ):
        self.columns = columns if path else ()
        self._rows: dict[int, tuple[str, ...]] = {}
        self._absent = (UNLISTED,) * len(self.columns)
        if path is None:
            return

        def parse(values: list[str]) -> tuple[int, tuple[str, ...]]:
            (number,) = whole_numbers({key: (1, ANY)}, values[:1])
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

    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Returns the sorted values that each column holds."""
        found = {}
        for index, column in enumerate(self.columns):
            values = {row[index] for row in self._rows.values()} - {UNLISTED}
            found[column] = tuple(sorted(values)) or (UNLISTED,)
        return found


class CommentTable:
    """Comments of products as known before a day.

    The CSV file has `dt`, `sku_id`, `comment_num` (0 none, 1 one, 2 up to
    ten, 3 up to fifty, 4 more), `has_bad_comment` and `bad_comment_rate`.
    Without a file it is a table without columns.
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
        return (
            [1.0, *rows[place - 1][1:]] if place else [0.0] * len(self.columns)
        )


def _parse_comment(values: list[str]) -> tuple:
    (item,) = whole_numbers({"sku_id": (1, ANY)}, values[:1])
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
