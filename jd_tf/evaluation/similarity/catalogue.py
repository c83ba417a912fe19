"""Categories, style and photos of the items whose vectors are compared."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jd_tf.images.image_list import read_catalogue, read_table
from jd_tf.schema import DataError

_CATEGORY_COLUMNS = ("word", "category", "category_id")
_STYLE_NUMBERS = re.compile(r"^s\d+$")


@dataclasses.dataclass(frozen=True)
class ItemStyles:
    """Items with what makes them alike.

    Attributes:
        item_ids: [M] int64 or text.
        paths: M photos; "" where an item has none.
        categories: [M] text.
        style: [M] text, or [M, S] float of mean 0 and variance 1; or None.
    """

    item_ids: np.ndarray
    paths: np.ndarray
    categories: np.ndarray
    style: np.ndarray | None = None

    def take(self, places: np.ndarray) -> "ItemStyles":
        """Returns some of the items, in the given order."""
        return ItemStyles(
            self.item_ids[places],
            self.paths[places],
            self.categories[places],
            None if self.style is None else self.style[places],
        )


def read_styles(
    source: str | Path, style: Sequence[str] | None = None
) -> ItemStyles:
    """Reads a catalogue with categories, and style where there is one.

    Args:
        source: a folder of photos, one folder a category, each file named
            after its item; or a CSV file with the columns `item_id`, `path`,
            one of `word`, `category` and `category_id`, and perhaps style.
        style: columns of style; `style`, or `s0`, `s1`, ... by default. One
            column that is not all numbers is words; others are numbers.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(f"{source}: no such catalogue.")
    listed = read_catalogue(source)
    paths = np.array(listed.paths)
    if source.is_dir():
        if style:
            raise DataError(
                f"{source}: a folder of photos has no style columns; name a "
                "CSV file."
            )
        words = [Path(path).parent.name for path in paths]
        return ItemStyles(listed.item_ids, paths, np.array(words))
    table = read_table(source, ("item_id", "path", *(style or ())))
    names = list(table.columns)
    known = [name for name in _CATEGORY_COLUMNS if name in names]
    if not known:
        raise DataError(
            f"{source}: lacks a column of categories, one of "
            f"{', '.join(_CATEGORY_COLUMNS)}; its first line names {names}."
        )
    columns = list(style or ["style"] * ("style" in names)) or [
        name for name in names if _STYLE_NUMBERS.match(name)
    ]
    for name in (known[0], *columns):
        for item in table["item_id"][table[name].str.strip() == ""]:
            raise DataError(f"{source}: item {item!r} has no `{name}`.")
    categories = table[known[0]].to_numpy(np.str_)
    found = None
    if columns:
        try:
            numbers = table[columns].to_numpy(float)
            spread = numbers.std(axis=0)
            spread[spread == 0] = 1
            found = (numbers - numbers.mean(axis=0)) / spread
        except ValueError as error:
            if len(columns) > 1:
                raise DataError(
                    f"{source}: several style columns must be numbers: "
                    f"{', '.join(columns)}."
                ) from error
            found = table[columns[0]].to_numpy(np.str_)
    return ItemStyles(listed.item_ids, paths, categories, found)
