"""Lists of images: labelled ones to learn from, and one an item."""

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jd_tf.schema import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
SPLITS = ("train", "validation", "test")
# Tenths of the images that a source without splits gives to each.
_TENTHS = ("train",) * 8 + ("validation", "test")
_LARGEST_ID = 2**63 - 1
# Split, path, word and title of an image.
_Row = tuple[str, str, str, str]


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images with the product word each one shows.

    Attributes:
        paths: P files.
        labels: (P,) int64, places in `label_names`.
        label_names: C product words, sorted.
        titles: P texts, empty without titles.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    titles: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, places: Sequence[int] | np.ndarray) -> "LabelledImages":
        """Returns some of the images, in the given order."""
        return LabelledImages(
            tuple(self.paths[place] for place in places),
            self.labels[np.asarray(places, np.int64)],
            self.label_names,
            tuple(self.titles[place] for place in places),
        )


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """Items with the image of each.

    Attributes:
        item_ids: (M,) int64 if every id is a number, else unicode; unique.
        paths: M files; "" where an item has none.
    """

    item_ids: np.ndarray
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)


def read_labelled(
    source: str | Path, word_column: str = "word", title_column: str = ""
) -> dict[str, LabelledImages]:
    """Reads images for learning product words, by split.

    Args:
        source: a folder of `train`, `validation` and `test` folders that hold
            one folder a product word; or a folder that holds those at once;
            or a CSV file with the columns `path`, `word` and perhaps `split`.
            Without splits, a hash of the path deals 80, 10 and 10 per cent.
        word_column: the column that holds the product word.
        title_column: the column that holds the title; "" for no titles.

    Raises:
        DataError: naming file, line and value; or a word of another split
            that "train" does not show.
    """
    source = Path(source)
    if not source.is_dir():
        rows = list(_table_rows(source, word_column, title_column))
    elif not title_column:
        rows = list(_folder_rows(source))
    else:
        raise DataError(
            f"{source}: a folder has no column {title_column!r}. Titles need "
            "a CSV file."
        )
    table = pd.DataFrame(rows, columns=["split", "path", "word", "title"])
    parts = {split: table[table["split"] == split] for split in SPLITS}
    for split in ("train", "validation"):
        if parts[split].empty:
            raise DataError(
                f"{source}: no image of the split `{split}`. Expected "
                f"`{split}/<word>/*.jpg` or rows of a CSV file."
            )
    names = sorted(set(parts["train"]["word"]))
    if len(names) < 2:
        raise DataError(
            f"{source}: only the product word {names[0]!r}: nothing to tell "
            "apart. Give at least two."
        )
    for row in table[~table["word"].isin(names)].itertuples():
        raise DataError(
            f"{row.path}: shows {row.word!r} in `{row.split}`, which `train` "
            f"never does. Its words are {', '.join(names)}."
        )
    return {
        split: LabelledImages(
            tuple(part["path"]),
            pd.Categorical(part["word"], names).codes.astype(np.int64),
            tuple(names),
            tuple(part["title"]),
        )
        for split, part in parts.items()
    }


def read_catalogue(source: str | Path) -> Catalogue:
    """Reads the image of each item, in the order of the file or of the paths.

    `source` is a folder, however deep, of files named after their item; or a
    CSV file with the columns `item_id` and `path`, others ignored. An id that
    is empty, 0 or there twice is a DataError naming file, line and value.
    """
    source = Path(source)
    if source.is_dir():
        rows = [(str(p), p.stem, str(p)) for p in _image_files(source)]
    else:
        table = read_table(source, ("item_id", "path"))
        lines = [f"{source}, line {line}" for line in table.index]
        ids = table["item_id"].str.strip()
        rows = list(zip(lines, ids, table["path"], strict=True))
    if not rows:
        raise DataError(f"{source}: no image ({', '.join(SUFFIXES)}).")
    seen: dict[str, str] = {}
    for where, item_id, _ in rows:
        if item_id in ("", "0"):
            raise DataError(
                f"{where}: item_id is {item_id!r}, which pads histories."
            )
        if item_id in seen:
            raise DataError(
                f"{where}: item_id {item_id!r} again, first {seen[item_id]}. "
                "Give one image an item."
            )
        seen[item_id] = where
    # "007" stays text: as a number it would be another id.
    plain = all(
        re.fullmatch("[1-9][0-9]*", text) and int(text) <= _LARGEST_ID
        for text in seen
    )
    item_ids = np.array(list(seen), np.int64 if plain else np.str_)
    return Catalogue(item_ids, tuple(path for _, _, path in rows))


def read_table(source: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Reads a CSV file in UTF-8 as text; paths become relative to its folder.

    It must have `columns`, `path` among them. Rows are indexed by the number
    of their record, the header being 1.
    """
    if not source.is_file():
        raise DataError(f"{source}: no such file or folder.")
    options: Any = {"index_col": False, "keep_default_na": False}
    try:
        table = pd.read_csv(source, dtype=str, encoding="utf-8-sig", **options)
    except ValueError as error:
        text = f"{source}: not a CSV file in UTF-8: {error}."
        raise DataError(text) from error
    missing = set(columns) - set(table.columns)
    if missing:
        raise DataError(
            f"{source}: lacks the column {', '.join(sorted(missing))}; its "
            f"first line names {list(table.columns)}."
        )
    # A line that is too short has cells that are no text.
    table = table.fillna("").set_index(np.arange(2, len(table) + 2))
    table["path"] = [
        str(source.parent / path.strip()) if path.strip() else ""
        for path in table["path"]
    ]
    return table


def _table_rows(
    source: Path, word_column: str, title_column: str
) -> Iterator[_Row]:
    wanted = [name for name in ("path", word_column, title_column) if name]
    table = read_table(source, wanted)
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        path, word = row["path"], row[word_column]
        split = row.get("split") or _dealt(path, source.parent)
        if split not in SPLITS or not path or not word:
            raise DataError(
                f"{source}, line {line}: path {path!r}, {word_column} "
                f"{word!r}, split {split!r}; the first two must not be empty, "
                f"the last one of {', '.join(SPLITS)}."
            )
        yield split, path, word, row.get(title_column, "").strip()


def _folder_rows(source: Path) -> Iterator[_Row]:
    has_splits = (source / "train").is_dir()
    roots = [source / split for split in SPLITS] if has_splits else [source]
    for root in roots:
        for path in _image_files(root):
            within = path.relative_to(root).parts
            # A file that lies in no word's folder shows no word.
            if len(within) > 1:
                split = root.name if has_splits else _dealt(str(path), root)
                yield split, str(path), within[0], ""


def _dealt(path: str, root: Path) -> str:
    """Returns the split of a path: the same wherever the folder lies."""
    within = path.removeprefix(f"{root}/").encode("utf-8", "surrogateescape")
    first = int.from_bytes(hashlib.sha256(within).digest()[:4], "big")
    return _TENTHS[first % len(_TENTHS)]


def _image_files(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return [path for path in files if path.suffix.lower() in SUFFIXES]
