"""Tables of item pairs: one `.npz` file."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.files import read_npz, sync
from jd_tf.data.item_pairs.training_parts import TrainingParts
from jd_tf.layers.embedding.id_keys import UNUSED
from jd_tf.layers.overlap.pair_match import MAX_ROWS, MAX_TABLES, pair_codes
from jd_tf.schema import DataError, Schema

TWO_STEPS = "/2"  # ends the name of a kind reached over a neighbour
_MAKE = "Make one with `python -m experiments.make_pairs`; pass it as --pairs."


@dataclasses.dataclass(frozen=True)
class ColumnPairs:
    """Pairs of the ids of one column, of J kinds.

    Attributes:
        keys: (R,) int64, ascending; ids as `jd_tf.layers.PairMatch` keeps
            them.
        codes: (pairs,) int64 of `pair_codes`, ascending: of all training
            events. The kind is the table.
        weights: (pairs,) float.
        part_codes: likewise, what training requests read; kind k for those
            of part p is table p J + k.
        part_weights: likewise.
    """

    keys: np.ndarray
    codes: np.ndarray
    weights: np.ndarray
    part_codes: np.ndarray
    part_weights: np.ndarray

    def problem(self, num_kinds: int, num_parts: int) -> str:
        """Returns what is wrong with the arrays, if anything."""
        keys = self.keys
        if len(keys) > MAX_ROWS or num_kinds * num_parts >= MAX_TABLES:
            return f"more than {MAX_ROWS} ids or {MAX_TABLES} tables"
        if (np.diff(keys) <= 0).any() or np.isin([0, UNUSED], keys).any():
            return "`keys` must be ids in ascending order, each once"
        for name, num_tables in (("", num_kinds), ("part_", num_parts)):
            codes = getattr(self, f"{name}codes")
            weights = getattr(self, f"{name}weights")
            end = pair_codes(num_tables * (num_kinds if name else 1), 0, 0)
            rows = (codes // MAX_ROWS % MAX_ROWS, codes % MAX_ROWS)
            if (np.diff(codes, prepend=0, append=end) <= 0).any() or any(
                row.max(initial=-1) >= len(keys) for row in rows
            ):
                return f"`{name}codes` must be pairs of `keys`, ascending"
            fine = np.isfinite(weights) & (weights >= 0)
            if len(weights) != len(codes) or not fine.all():
                return f"`{name}weights` must be finite, >= 0, one a pair"
        return ""


_ARRAYS = tuple(field.name for field in dataclasses.fields(ColumnPairs))


@dataclasses.dataclass(frozen=True)
class ItemPairs:
    """Pairs of items and of other ids, counted by `make_item_pairs`.

    Attributes:
        columns: pairs of each id column.
        kinds: `behavior:objective` each: pairs of an event and a target.
        parts: of the training data.
        meta: how they were counted; anything JSON can hold.
        where: named in errors.

    Raises:
        DataError: if an array does not fit the others.

    Example:
    >>> import numpy as np
    >>> from jd_tf.data import ItemPairs
    >>> of_all, of_parts = [np.array([1]), np.ones(1)], [np.array([], int)] * 2
    >>> table = ColumnPairs(np.array([7, 9]), *of_all, *of_parts)
    >>> parts = TrainingParts("user", 1)
    >>> print(ItemPairs({"item_id": table}, ("click:click",), parts).summary())
    item_id: 2 ids with 1 pairs, 0.5 each
    left out by user, 1 parts
    """

    columns: Mapping[str, ColumnPairs]
    kinds: tuple[str, ...]
    parts: TrainingParts
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    where: str = "item pairs"

    def __post_init__(self) -> None:
        for column, pairs in self.columns.items():
            problem = pairs.problem(len(self.kinds), self.parts.num_parts)
            if problem:
                raise DataError(f"{self.where}: `{column}`: {problem}. {_MAKE}")

    def model_fields(self) -> dict[str, Any]:
        """Returns the fields of a model's `PairsConfig` that fit."""
        digest = hashlib.sha256(repr((self.kinds, self.parts)).encode())
        for name, array in self._arrays().items():
            digest.update(name.encode() + array.tobytes())
        columns = self.columns.values()
        return {
            "use_pairs": True,
            "columns": tuple(self.columns),
            "kinds": self.kinds,
            "num_rows": tuple(len(pairs.keys) for pairs in columns),
            "num_pairs": tuple(max(len(pairs.codes), 1) for pairs in columns),
            "digest": digest.hexdigest()[:16],
        }

    def summary(self) -> str:
        """Returns a line on each column, and one on what is left out."""
        lines = [
            f"{column}: {len(pairs.keys):,} ids with {len(pairs.codes):,} "
            f"pairs, {len(pairs.codes) / len(pairs.keys):.1f} each"
            for column, pairs in self.columns.items()
        ]
        parts = self.parts
        lines.append(f"left out by {parts.leave_out}, {parts.num_parts} parts")
        return "\n".join(lines)

    def _arrays(self) -> dict[str, Any]:
        return {
            f"{column}/{name}": getattr(pairs, name)
            for column, pairs in self.columns.items()
            for name in _ARRAYS
        }

    def save(self, path: str | Path) -> None:
        """Writes the `.npz`, whole or not at all."""
        path = Path(path)
        about = {
            "kinds": self.kinds,
            "columns": list(self.columns),
            "parts": dataclasses.asdict(self.parts),
            "meta": dict(self.meta),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with aside.open("wb") as file:
                np.savez(
                    file, meta=np.array(json.dumps(about)), **self._arrays()
                )
            sync(aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "ItemPairs":
        """Reads a file of `save`.

        Raises:
            DataError: naming the file and what is missing or wrong.
        """
        arrays = read_npz(path, _MAKE)
        try:
            about = json.loads(str(arrays["meta"]))
            columns = {
                column: ColumnPairs(*(arrays[f"{column}/{n}"] for n in _ARRAYS))
                for column in about["columns"]
            }
            boundaries = tuple(about["parts"].pop("boundaries"))
            parts = TrainingParts(**about["parts"], boundaries=boundaries)
            kinds, meta = tuple(about["kinds"]), about["meta"]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: not a file of item pairs: {error}. {_MAKE}"
            ) from error
        return cls(columns, kinds, parts, meta, str(path))


def check_names(
    schema: Schema, columns: Iterable[str], kinds: Iterable[str], where: str
) -> None:
    """Raises a DataError that names a column or kind the schema lacks."""
    known = [c.name for c in schema.item_id_columns if c.max_values == 1]
    behaviors = [behavior.name for behavior in schema.behaviors]
    for column in columns:
        if column not in known:
            raise DataError(
                f"{where}: schema `{schema.name}` has no item column "
                f"`{column}` of one id, only {', '.join(known)}."
            )
    for kind in kinds:
        behavior, _, objective = kind.removesuffix(TWO_STEPS).partition(":")
        if behavior not in behaviors or objective not in schema.outcome_names:
            raise DataError(
                f"{where}: kind `{kind}` must be behaviour:objective, of "
                f"{', '.join(behaviors)} and "
                f"{', '.join(schema.outcome_names)}."
            )
