"""What is known of the items whose vectors are compared."""

import csv
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jd_tf.images.image_list import read_catalogue
from jd_tf.schema import DataError

_CATEGORY_COLUMNS = ("word", "category", "category_id")
_STYLE_COLUMN = "style"
_STYLE_NUMBERS = re.compile(r"^s\d+$")


@dataclasses.dataclass(frozen=True)
class Likeness:
    """Items with what makes them alike.

    Attributes:
        item_ids: [M] int64 or text.
        paths: M photos; "" where an item has none.
        categories: [M] text.
        style_names: columns of the style; empty without.
        style_words: [M] text, if style is one column of words; else None.
        style_numbers: [M, S] float, if style is numbers; else None.
    """

    item_ids: np.ndarray
    paths: tuple[str, ...]
    categories: np.ndarray
    style_names: tuple[str, ...] = ()
    style_words: np.ndarray | None = None
    style_numbers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.item_ids)

    def take(self, places: np.ndarray) -> "Likeness":
        """Some of the items, in the given order."""
        return dataclasses.replace(
            self,
            item_ids=self.item_ids[places],
            paths=tuple(self.paths[place] for place in places),
            categories=self.categories[places],
            style_words=None
            if self.style_words is None
            else self.style_words[places],
            style_numbers=None
            if self.style_numbers is None
            else self.style_numbers[places],
        )


def read_likeness(
    source: str | Path, style: Sequence[str] | None = None
) -> Likeness:
    """Reads a catalogue with categories, and style where there is one.

    Args:
        source: a folder of photos, one folder a category, each file named
            after its item; or a CSV file with the columns `item_id`, `path`,
            one of `word`, `category` and `category_id`, and perhaps style.
        style: columns of style; `style`, or `s0`, `s1`, ... by default. One
            column that is not all numbers is words; others are numbers.

    Raises:
        DataError: naming file, line, column and value.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(f"{source}: no such catalogue.")
    listed = read_catalogue(source)
    if source.is_dir():
        if style:
            raise DataError(
                f"{source}: a folder of photos has no style columns; name a "
                "CSV file."
            )
        words = [Path(path).parent.name for path in listed.paths]
        return Likeness(listed.item_ids, listed.paths, np.array(words))
    with source.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        rows = list(reader)
    known = [name for name in _CATEGORY_COLUMNS if name in names]
    if not known:
        raise DataError(
            f"{source}: lacks a column of categories, one of "
            f"{', '.join(_CATEGORY_COLUMNS)}; its first line names {names}."
        )
    columns = _style_columns(source, names, style)
    categories = np.array([_filled(source, r, known[0]) for r in rows])
    texts = [[_filled(source, r, name) for name in columns] for r in rows]
    numbers = _as_numbers(texts) if columns else None
    if len(columns) > 1 and numbers is None:
        raise DataError(
            f"{source}: several style columns must be numbers: "
            f"{', '.join(columns)}."
        )
    return Likeness(
        listed.item_ids,
        listed.paths,
        categories,
        tuple(columns),
        np.array([line[0] for line in texts])
        if columns and numbers is None
        else None,
        numbers,
    )


def _style_columns(
    source: Path, names: Sequence[str], style: Sequence[str] | None
) -> list[str]:
    if style:
        missing = [name for name in style if name not in names]
        if missing:
            raise DataError(
                f"{source}: lacks the style column {', '.join(missing)}; its "
                f"first line names {list(names)}."
            )
        return list(style)
    if _STYLE_COLUMN in names:
        return [_STYLE_COLUMN]
    return [name for name in names if _STYLE_NUMBERS.match(name)]


def _filled(source: Path, row: dict[str, str | None], name: str) -> str:
    value = (row.get(name) or "").strip()
    if not value:
        raise DataError(
            f"{source}: item {row.get('item_id')!r} has no `{name}`."
        )
    return value


def _as_numbers(texts: Sequence[Sequence[str]]) -> np.ndarray | None:
    """[M, S] of spread one in every column; None if a text is no number."""
    try:
        numbers = np.array(texts, float)
    except ValueError:
        return None
    if not np.isfinite(numbers).all():
        return None
    spread = numbers.std(axis=0)
    return (numbers - numbers.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
