"""Which images there are, and what each one shows."""

import csv
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from jd_tf.schema import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
SPLITS = ("train", "validation", "test")
# Tenths of the images that a source without splits gives to each.
_TENTHS = ("train",) * 8 + ("validation", "test")
_LARGEST_ID = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images with the product word each one shows.

    Attributes:
        paths: P files.
        labels: (P,) int64, places in `label_names`.
        label_names: C product words, sorted.
        titles: P texts, or none at all.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    titles: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, places: Sequence[int] | np.ndarray) -> "LabelledImages":
        """Some of the images, in the given order."""
        places = np.asarray(places, np.int64)
        return dataclasses.replace(
            self,
            paths=tuple(self.paths[place] for place in places),
            labels=self.labels[places],
            titles=tuple(self.titles[place] for place in places)
            if self.titles
            else (),
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
    """Reads images for learning product words.

    Args:
        source: a folder of `train`, `validation` and `test` folders that hold
            one folder a product word; or a folder that holds those at once;
            or a CSV file with the columns `path`, `word` and perhaps `split`.
            Paths in a file are relative to its folder. Without splits, a hash
            of the path deals 80, 10 and 10 per cent.
        word_column: the column that holds the product word.
        title_column: of such a file, the column that holds the title; "" for
            no titles.

    Returns:
        Split -> images, all with the product words of "train".

    Raises:
        DataError: naming file, line and value; or a word of another split
            that "train" does not show.
    """
    source = Path(source)
    if title_column and source.is_dir():
        raise DataError(
            f"{source}: a folder has no column {title_column!r}. Titles need "
            "a CSV file."
        )
    rows = _labelled_rows(source, word_column, title_column)
    found: dict[str, list[tuple]] = {split: [] for split in SPLITS}
    for split, *example in rows:
        found[split].append(tuple(example))
    for split in ("train", "validation"):
        if not found[split]:
            raise DataError(
                f"{source}: no image of the split `{split}`. Expected "
                f"`{split}/<word>/*.jpg` or rows of a CSV file."
            )
    names = tuple(sorted({word for _, word, _ in found["train"]}))
    if len(names) < 2:
        raise DataError(
            f"{source}: only the product word {names[0]!r}: nothing to tell "
            "apart. Give at least two."
        )
    places = {name: place for place, name in enumerate(names)}
    sets = {}
    for split, examples in found.items():
        for path, word, _ in examples:
            if word not in places:
                raise DataError(
                    f"{path}: shows {word!r} in `{split}`, which `train` "
                    f"never does. Its words are {', '.join(names)}."
                )
        labels = np.array([places[word] for _, word, _ in examples], np.int64)
        sets[split] = LabelledImages(
            tuple(path for path, _, _ in examples),
            labels,
            names,
            tuple(title for _, _, title in examples) if title_column else (),
        )
    return sets


def read_catalogue(source: str | Path) -> Catalogue:
    """Reads which image each item has.

    Args:
        source: a folder, however deep, of files named after their item; or a
            CSV file with the columns `item_id` and `path`, others ignored,
            paths relative to its folder.

    Returns:
        The items in the order of the file, or of their paths.

    Raises:
        DataError: naming file, line and value: an id that is empty, 0, no
            int64 or there twice.
    """
    source = Path(source)
    if source.is_dir():
        rows = [
            (str(path), path.stem, str(path)) for path in _image_files(source)
        ]
    else:
        rows = [
            (
                f"{source}, line {line}",
                (row["item_id"] or "").strip(),
                _beside(source, row["path"]),
            )
            for line, row in _table(source, ("item_id", "path"))
        ]
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
    ids = _typed([item_id for _, item_id, _ in rows])
    return Catalogue(ids, tuple(path for _, _, path in rows))


def _typed(ids: list[str]) -> np.ndarray:
    """int64 where that loses nothing ("007" stays text), else text."""
    plain = all(
        text.isascii()
        and text.isdigit()
        and text[0] != "0"
        and int(text) <= _LARGEST_ID
        for text in ids
    )
    return np.array(ids, np.int64) if plain else np.array(ids, np.str_)


def _labelled_rows(
    source: Path, word_column: str, title_column: str
) -> Iterator[tuple[str, str, str, str]]:
    """Split, path, word and title of every image."""
    if not source.is_dir():
        titled = (title_column,) if title_column else ()
        for line, row in _table(source, ("path", word_column, *titled)):
            path, word = _beside(source, row["path"]), row[word_column]
            split = row.get("split") or _dealt(row["path"] or "")
            if split not in SPLITS or not path or not word:
                raise DataError(
                    f"{source}, line {line}: path {row['path']!r}, "
                    f"{word_column} {word!r}, split {split!r}; the first two "
                    "must not be empty, the last one of "
                    f"{', '.join(SPLITS)}."
                )
            yield split, path, word, (row.get(title_column) or "").strip()
        return
    children = {child.name for child in source.iterdir() if child.is_dir()}
    has_splits = "train" in children
    roots = [source / split for split in SPLITS] if has_splits else [source]
    for root in roots:
        for path in _image_files(root):
            within = path.relative_to(root)
            # A file that lies in no word's folder shows no word.
            if len(within.parts) > 1:
                split = root.name if has_splits else _dealt(within.as_posix())
                yield split, str(path), within.parts[0], ""


def _dealt(path: str) -> str:
    """The split of a path: the same on every machine."""
    digest = hashlib.sha256(path.encode("utf-8")).digest()
    return _TENTHS[int.from_bytes(digest[:4], "big") % len(_TENTHS)]


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )


def _beside(source: Path, path: str | None) -> str:
    """A path of a table, relative to the table's folder; "" stays."""
    path = (path or "").strip()
    return str(source.parent / path) if path else ""


def _table(
    source: Path, columns: Sequence[str]
) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    """Lines of a CSV file with a header, numbered as an editor does."""
    if not source.is_file():
        raise DataError(f"{source}: no such file or folder.")
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise DataError(
                    f"{source}: lacks the column {', '.join(sorted(missing))}"
                    f"; its first line names {reader.fieldnames}."
                )
            for row in reader:
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{source}: not a CSV file in UTF-8: {error}."
        ) from error
