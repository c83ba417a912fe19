"""Pair features of candidates, and their direct path to the logits."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.columns import SchemaError
from jd_tf.data.item_pairs.item_pairs import ColumnPairs
from jd_tf.data.item_pairs.training_parts import PART
from jd_tf.layers import PairMatch
from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.masking import length_mask


@keras.saving.register_keras_serializable(package="jd_tf")
class PairReader(BaseLayer):
    """Reads how often candidates followed the events of histories.

    The user state holds keys of the newest events alone: `encode`. Pairs are
    looked up when ranking, `read`, so that a state of old tables is worth as
    much as a new one. `logits` is a linear path of the features.

    Args:
        columns: dict of id columns that have a table, to their dtypes.
        kinds: `behavior:objective` of each kind of pairs.
        num_objectives: int. T.
        num_rows: ints. Items that each column's table has room for.
        num_pairs: ints. Pairs, likewise.
        num_events: int. Newest events E of a history that are read.
        num_weights: dict of behaviours to learned weights V of their events;
            none by default.

    Call arguments:
        histories: dict of `<behavior>_<column>` (B, L) and
            `<behavior>_length` (B,); while training also `pair_part` (B,)
            int32, the tables to read.
        candidates: dict of the columns, (B, N).
        event_weights: dict of (B, L, V) float by behaviour.

    Returns:
        Features and logits side by side, (B, N, `output_dim` + T) float32.

    Example:
    >>> reader = PairReader({"item_id": "int64"}, ["click:click"], 1, [2], [3])
    >>> reader.output_dim
    4
    """

    def __init__(
        self,
        columns: Mapping[str, str],
        kinds: Sequence[str],
        num_objectives: int,
        num_rows: Sequence[int],
        num_pairs: Sequence[int],
        num_events: int = 10,
        num_weights: Mapping[str, int] | None = None,
        **kwargs: Any,
    ):
        # Roots of small sums lose too much in half precision.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.columns = dict(columns)
        self.kinds = tuple(kinds)
        self.num_objectives = num_objectives
        self.num_rows = tuple(num_rows)
        self.num_pairs = tuple(num_pairs)
        self.num_events = num_events
        self.num_weights = dict(num_weights or {})
        sizes = (len(self.num_rows), len(self.num_pairs))
        if sizes != (len(self.columns),) * 2 or not self.kinds:
            raise SchemaError(
                "pairs need tables: train with --pairs, a file made by "
                f"make_pairs. Got: {self.kinds}, {sizes} sizes of "
                f"{len(self.columns)} columns."
            )

    @property
    def behaviors(self) -> list[str]:
        """The behaviour of each kind."""
        return [kind.partition(":")[0] for kind in self.kinds]

    @property
    def output_dim(self) -> int:
        """Width of the features of a candidate."""
        widths = [4 + self.num_weights.get(name, 0) for name in self.behaviors]
        return len(self.columns) * sum(widths)

    def build(
        self,
        histories_shape: Any = None,
        candidates_shape: Any = None,
        event_weights_shape: Any = None,
    ) -> None:
        sizes = zip(
            self.columns.items(), self.num_rows, self.num_pairs, strict=True
        )
        self.tables = {}
        for (name, dtype), *room in sizes:
            self.tables[name] = self.add_part(
                PairMatch, f"{name}_pairs", None, *room, len(self.kinds), dtype
            )
        # Zero: where pairs tell nothing, nothing has to be unlearned.
        self.direct = self.add_dense(
            "direct",
            self.output_dim,
            self.num_objectives,
            use_bias=False,
            kernel_initializer="zeros",
        )

    def assign(
        self, columns: Mapping[str, ColumnPairs], parts: bool = False
    ) -> None:
        """Replaces the tables; with `parts` those of training, too."""
        for name, table in self.tables.items():
            found = columns[name]
            table.assign(found.keys, found.codes, found.weights)
            if parts:
                table.assign_parts(found.part_codes, found.part_weights)

    def encode(
        self,
        histories: Mapping[str, Any],
        event_weights: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Returns the user state, once a request.

        Keys of the newest events `pair_<behavior>_<column>` (B, E), their
        weights `pair_<behavior>_weights` (B, E, V), `<behavior>_length` (B,)
        and, while training, `pair_part` (B,).
        """
        state, read = {}, self.num_events
        if PART in histories:
            state[PART] = histories[PART]
        for behavior in dict.fromkeys(self.behaviors):
            for column, table in self.tables.items():
                state[f"pair_{behavior}_{column}"] = table.encode_history(
                    histories[f"{behavior}_{column}"][:, :read],
                    histories[f"{behavior}_length"],
                )
            state[f"{behavior}_length"] = histories[f"{behavior}_length"]
            if self.num_weights.get(behavior):
                weights = event_weights[behavior][:, :read]
                state[f"pair_{behavior}_weights"] = weights
        return state

    def read(
        self, state: Mapping[str, Any], candidates: Mapping[str, Any]
    ) -> Any:
        """Returns the features of candidates, (B, N, `output_dim`)."""

        def keys(behavior: str, column: str) -> Any:
            # A server pads states, and not with 0.
            padded = state[f"pair_{behavior}_{column}"]
            real = length_mask(
                state[f"{behavior}_length"], ops.shape(padded)[1]
            )
            return ops.where(real, padded, 0)

        found = [
            table.match(
                candidates[column],
                keys(behavior, column),
                state.get(f"pair_{behavior}_weights"),
                state.get(PART),
                kind,
            )
            for column, table in self.tables.items()
            for kind, behavior in enumerate(self.behaviors)
        ]
        return ops.concatenate(found, axis=-1)

    def logits(self, features: Any) -> Any:
        """Returns what the features of `read` add to logits, (B, N, T)."""
        return self.direct(features)

    def call(
        self,
        histories: Mapping[str, Any],
        candidates: Mapping[str, Any],
        event_weights: Mapping[str, Any] | None = None,
    ) -> Any:
        state = self.encode(histories, event_weights or {})
        features = self.read(state, candidates)
        return ops.concatenate([features, self.logits(features)], axis=-1)

    def compute_output_shape(
        self,
        histories_shape: Any = None,
        candidates_shape: Any = None,
        event_weights_shape: Any = None,
    ) -> tuple:
        first = candidates_shape[next(iter(self.columns))]
        return (*first, self.output_dim + self.num_objectives)
