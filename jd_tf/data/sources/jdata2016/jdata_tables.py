"""Tables of users, products and comments of JData 2016."""

import bisect
from pathlib import Path

from jd_tf.data.sources.source import LogReport
from jd_tf.data.sources.text_files import TextTable
from jd_tf.schema import DataError

USER_COLUMNS = ("user_lv_cd", "age", "sex")
PRODUCT_COLUMNS = ("a1", "a2", "a3")
_COMMENT_COLUMNS = ("comment_num", "has_bad_comment", "bad_comment_rate")
UNLISTED = "unlisted"


class KeyedTable:
    """Rows of a CSV file by the number in their key column, as strings.

    Args:
        path: the file; None makes a table without columns.
        key: column of whole numbers.
        columns: those of a row.
        report: tolerates bad records or not.
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
        kept: dict[tuple[str, ...], tuple[str, ...]] = {}
        # Ages were published in several encodings; a text that cannot be
        # decoded still separates one age group from another.
        table = TextTable(path, (key, *columns), "backslashreplace")
        for number, (identity, *values) in table.rows(report):
            try:
                row = tuple(value.strip() or UNLISTED for value in values)
                whole = parse_id(identity)
            except ValueError:
                report.tolerate(
                    DataError(
                        f"{path}: line {number}: column `{key}` must be a "
                        f"whole number. Got: {identity!r}"
                    )
                )
                continue
            self._rows[whole] = kept.setdefault(row, row)

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

    Args:
        path: CSV file of `dt`, `sku_id`, `comment_num` (0 none, 1 one, 2 up
            to ten, 3 up to fifty, 4 more), `has_bad_comment` and
            `bad_comment_rate`; None makes a table without columns.
        report: tolerates bad records or not.
    """

    def __init__(self, path: Path | None, report: LogReport):
        self.columns = ("comments_known", *_COMMENT_COLUMNS) if path else ()
        self._days: dict[int, list[str]] = {}
        self._values: dict[int, list[tuple[float, ...]]] = {}
        found: dict[int, list[tuple[str, tuple[float, ...]]]] = {}
        if path is None:
            return
        wanted = ("sku_id", "dt", *_COMMENT_COLUMNS)
        rows = TextTable(path, wanted).rows(report)
        for number, (item, day, *values) in rows:
            try:
                numbers = tuple(float(value) for value in values)
                if not (_is_day(day) and all(0 <= n < 1e9 for n in numbers)):
                    raise ValueError
                found.setdefault(parse_id(item), []).append((day, numbers))
            except ValueError:
                report.tolerate(
                    DataError(
                        f"{path}: line {number}: needs a day like 2016-02-01 "
                        f"and numbers. Got: {[day, item, *values]}"
                    )
                )
        for product, known in found.items():
            known.sort()
            self._days[product] = [day for day, _ in known]
            self._values[product] = [numbers for _, numbers in known]

    def before(self, item: int, day: str) -> list[float]:
        """Returns 1 and the newest row strictly before a day, or zeros.

        Args:
            item: the product.
            day: like "2016-02-01".
        """
        index = bisect.bisect_left(self._days.get(item, ()), day)
        if not index:
            return [0.0] * len(self.columns)
        return [1.0, *self._values[item][index - 1]]


def parse_id(text: str) -> int:
    """Reads ids like `266079` and `266079.0`.

    Raises:
        ValueError: if it is not a positive whole number.
    """
    digits = text.removesuffix(".0")
    if not (digits.isascii() and digits.isdigit()) or int(digits) == 0:
        raise ValueError(f"not a positive whole number: {text!r}")
    return int(digits)


def _is_day(text: str) -> bool:
    return len(text) == 10 and text[4] == text[7] == "-"
