"""Tables of item pairs: one `.npz` file."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.files import read_npz, sync
from jd_tf.data.item_pairs.training_parts import TrainingParts
from jd_tf.schema import DataError, Schema

_MAKE = "Make one with `python -m experiments.make_pairs`; pass it as --pairs."
_META = "meta"
_ARRAYS = ("keys", "starts", "neighbors", "weights")


@dataclasses.dataclass(frozen=True)
class ColumnPairs:
    """Pairs of the ids of one column, in P + 1 tables of J kinds.

    Tables 0 to P - 1 are for training requests of that part, the last one,
    counted from all training events, for everything else.

    Attributes:
        keys: (R,) int64, ascending; ids as `jd_tf.layers.PairMatch` keeps
            them.
        starts: (P + 1, J, R + 1) int64. Row r of a table and kind has the
            pairs from `starts[.., r]` to `starts[.., r + 1]`, exclusive.
        neighbors: (pairs,) int32, rows of `keys`, ascending within a row.
        weights: (pairs,) float32.
    """

    keys: np.ndarray
    starts: np.ndarray
    neighbors: np.ndarray
    weights: np.ndarray

    @property
    def num_pairs(self) -> int:
        """Pairs of the table of all training events."""
        return len(self.weights) - int(self.starts[-1, 0, 0])

    def all_events(self) -> tuple[np.ndarray, ...]:
        """Returns what `PairMatch.assign` takes."""
        first = self.starts[-1, 0, 0]
        return (
            self.keys,
            self.starts[-1] - first,
            self.keys[self.neighbors[first:]],
            self.weights[first:],
        )

    def of_parts(self) -> tuple[np.ndarray, ...]:
        """Returns what `PairMatch.assign_parts` takes."""
        end = self.starts[-1, 0, 0]
        neighbors = self.keys[self.neighbors[:end]]
        return self.starts[:-1], neighbors, self.weights[:end]


@dataclasses.dataclass(frozen=True)
class ItemPairs:
    """Pairs of items and of other ids, counted by `make_item_pairs`.

    Attributes:
        columns: pairs of each id column.
        kinds: `behavior:objective` each: pairs of an event and a target.
        parts: of the training data.
        meta: how they were counted; anything JSON can hold.
        where: named in errors.

    Example:
    >>> import numpy as np
    >>> from jd_tf.data import ItemPairs
    >>> keys, starts = np.array([7, 9]), np.array([[[0, 0, 0]], [[0, 1, 1]]])
    >>> table = ColumnPairs(keys, starts, np.array([1]), np.ones(1))
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

    def model_fields(self) -> dict[str, Any]:
        """Returns the fields of a model's `PairsConfig` that fit."""
        columns = self.columns.values()
        return {
            "use_pairs": True,
            "columns": tuple(self.columns),
            "kinds": self.kinds,
            "num_rows": tuple(len(pairs.keys) for pairs in columns),
            "num_pairs": tuple(max(p.num_pairs, 1) for p in columns),
            "digest": self._digest(),
        }

    def summary(self) -> str:
        """Returns a line on each column, and one on what is left out."""
        lines = [
            f"{column}: {len(pairs.keys):,} ids with {pairs.num_pairs:,} "
            f"pairs, {pairs.num_pairs / len(pairs.keys):.1f} each"
            for column, pairs in self.columns.items()
        ]
        parts = self.parts
        return "\n".join(
            [*lines, f"left out by {parts.leave_out}, {parts.num_parts} parts"]
        )

    def _digest(self) -> str:
        digest = hashlib.sha256(repr((self.kinds, self.parts)).encode())
        for column, pairs in self.columns.items():
            digest.update(column.encode())
            for name in _ARRAYS:
                digest.update(getattr(pairs, name).tobytes())
        return digest.hexdigest()[:16]

    def check_schema(self, schema: Schema) -> None:
        """Raises a DataError unless the schema has these columns and kinds."""
        check_names(schema, tuple(self.columns), self.kinds, self.where)

    def save(self, path: str | Path) -> None:
        """Writes the `.npz`, whole or not at all."""
        path = Path(path)
        arrays = {
            f"{column}/{name}": getattr(pairs, name)
            for column, pairs in self.columns.items()
            for name in _ARRAYS
        }
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
                np.savez(file, meta=np.array(json.dumps(about)), **arrays)
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
            about = json.loads(str(arrays[_META]))
            columns = {
                column: ColumnPairs(
                    **{name: arrays[f"{column}/{name}"] for name in _ARRAYS}
                )
                for column in about["columns"]
            }
            boundaries = tuple(about["parts"].pop("boundaries"))
            parts = TrainingParts(**about["parts"], boundaries=boundaries)
            kinds = tuple(about["kinds"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: not a file of item pairs: {error}. {_MAKE}"
            ) from error
        for column, pairs in columns.items():
            shape = (parts.num_parts + 1, len(kinds), len(pairs.keys) + 1)
            if pairs.starts.shape != shape:
                raise DataError(
                    f"{path}: `{column}/starts` is {pairs.starts.shape}, must "
                    f"be {shape}. {_MAKE}"
                )
        return cls(columns, kinds, parts, about["meta"], str(path))


def check_names(
    schema: Schema, columns: Sequence[str], kinds: Sequence[str], where: str
) -> None:
    """Raises a DataError that names a column or kind the schema lacks."""
    known = [c.name for c in schema.item_id_columns if c.max_values == 1]
    for column in columns:
        if column not in known:
            raise DataError(
                f"{where}: schema `{schema.name}` has no item column "
                f"`{column}` of one id, only {', '.join(known)}."
            )
    behaviors = [behavior.name for behavior in schema.behaviors]
    for kind in kinds:
        behavior, _, objective = kind.partition(":")
        if behavior not in behaviors or objective not in schema.objective_names:
            raise DataError(
                f"{where}: kind `{kind}` must be behaviour:objective, of "
                f"{', '.join(behaviors)} and "
                f"{', '.join(schema.objective_names)}."
            )
