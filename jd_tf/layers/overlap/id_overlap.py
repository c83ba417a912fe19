"""Id-overlap features: candidates whose ids are in the history."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.masking import length_mask
from jd_tf.layers.placeholders import of_dtype


@keras.saving.register_keras_serializable(package="jd_tf")
class IdOverlap(BaseLayer):
    """Counts, exactly, how often a candidate's ids are in a history.

    Embeddings have to learn that an id equals itself, one id at a time;
    rare and new ones never do. Comparing the ids takes no learning: for each
    of C id columns (item, category, brand ...) a candidate gets the share of
    the history that has its id, the sum of 1 / (1 + position) over those
    events, which the newest dominate, log(1 + their number), for each of
    V weights that events may have (by recency or dwell time, for instance),
    log(1 + the sum of the weight over them), and last 1 / (1 + position) of
    the newest of them. Where an item has several values
    of a column (tags), an event counts by the share of the candidate's values
    that it has, in place of 0 or 1. Id 0 means that there is none
    (no brand, for instance) and overlaps with nothing. The part that depends
    on the history alone runs once a user, `encode_history`; `match` does the
    rest, and calling the layer chains both.

    Args:
        use_position: bool. Whether positions are read; without them the
            order of events does not matter.
        max_values: tuple of ints. Values an item has at most of each of the C
            columns, in the order in which they stand on the last axis of
            the ids; W are their sum. Empty: one each.
        value_rows: tuple of ints. Of columns of several values the number of
            ids: each gets a learned weight in the share, which `adapt` starts
            by its rarity. 0, or left out: all weigh the same.

    Call arguments:
        candidate_ids: (B, N, W) integer.
        history_ids: (B, L, W) integer, newest first; padding may hold
            anything.
        length: (B,) integer. Real events.
        event_weights: (B, L, V) float >= 0, or None.

    Returns:
        (B, N, (4 + V) C) float, without `use_position` (2 + V) C; zero
        without overlap.

    Raises:
        ValueError: candidates and history differ in their columns.

    Example:
        >>> candidates = np.array([[[7], [8]]])
        >>> history, length = np.array([[[7], [5], [7], [0]]]), np.array([3])
        >>> print(np.round(IdOverlap()(candidates, history, length), 2))
        [[[0.67 1.33 1.1  1.  ]
          [0.   0.   0.   0.  ]]]
    """

    def __init__(
        self,
        use_position: bool = True,
        max_values: Sequence[int] = (),
        value_rows: Sequence[int] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.use_position = use_position
        self.max_values = tuple(max_values)
        self.value_rows = tuple(value_rows)

    def num_features(self, num_weights: int) -> int:
        """Returns the features an id column, of `num_weights` weights V."""
        return 2 + 2 * self.use_position + num_weights

    def build(
        self,
        candidate_ids_shape: tuple,
        history_ids_shape: tuple,
        event_weights_shape: tuple | None = None,
    ):
        widths = candidate_ids_shape[-1], history_ids_shape[-1]
        if set(widths) != {sum(self.max_values) or widths[0]}:
            raise ValueError(
                "`candidate_ids` and `history_ids` must have the same id "
                "columns on the last axis, as wide as `max_values` "
                f"{self.max_values} say. Got: {widths[0]} and {widths[1]}."
            )
        # Keyed by text: TensorFlow saves no other dictionaries.
        self.log_value_weights = {
            str(place): self.add_weight(
                (rows,), "zeros", autocast=False, name=f"log_weights_{place}"
            )
            for place, rows in enumerate(self.value_rows)
            if rows
        }

    @property
    def adapted(self) -> bool:
        """Returns whether `adapt` was called, if there is anything to adapt."""
        weights = self.log_value_weights.values()
        return all(np.any(variable.numpy()) for variable in weights)

    def adapt(self, ids: Any) -> None:
        """Lets rare values count more: by the square of log(ids / its ids).

        It is what a value adds to the cosine of two tf-idf vectors.

        Args:
            ids: (M, C) integer of training items, as in the call.
        """
        starts = np.cumsum((0, *self.max_values))
        for place, variable in self.log_value_weights.items():
            start = starts[int(place)]
            values = ids[:, start : start + self.max_values[int(place)]]
            counts = np.bincount(np.ravel(values), minlength=variable.shape[0])
            rarity = np.log((len(ids) + 1) / np.minimum(counts + 1, len(ids)))
            variable.assign(2.0 * np.log(np.maximum(rarity, 0.01)))

    def encode_history(
        self, history_ids: Any, length: Any, event_weights: Any = None
    ) -> dict[str, Any]:
        """Prepares a history, once for all candidates.

        Arguments are those of the call.

        Returns:
            dict of `ids` (B, W, L), 0 replaced by a number that no candidate
            has, and `weights` (B, L, features) float32, which an event adds
            to each feature; both meaningless in padding.
        """
        history_ids = of_dtype(history_ids, "int64", self.name)
        # The least number, which is no id.
        unused = ops.cast(np.iinfo("int64").min, "int64")
        ids = ops.where(ops.equal(history_ids, 0), unused, history_ids)
        ones = ops.ones_like(history_ids[..., 0], dtype="float32")
        total = ops.cast(ops.maximum(length, 1), "float32")
        weights = [ones / total[:, None], ones]
        if self.use_position:
            place = ops.arange(ops.shape(history_ids)[1], dtype="float32")
            weights.insert(1, ones / (1.0 + place))
        weights = ops.stack(weights, axis=-1)
        if event_weights is not None:
            event_weights = ops.cast(event_weights, "float32")
            weights = ops.concatenate([weights, event_weights], axis=-1)
        # (B, L, W) to (B, W, L), not by `ops.transpose`: on many processors
        # oneDNN takes over transposes of integers and then logs that it cannot
        # run them.
        columns = ops.stack(ops.unstack(ids, axis=-1), axis=1)
        return {"ids": columns, "weights": weights}

    def match(
        self,
        candidate_ids: Any,
        ids: Any,
        weights: Any,
        length: Any,
        factors: Any = None,
    ) -> Any:
        """Compares candidates with `ids` and `weights` of `encode_history`.

        Other arguments, and what is returned, are those of the call.

        Args:
            candidate_ids: as in the call.
            ids: of `encode_history`.
            weights: likewise.
            length: as in the call.
            factors: (B, V) float, by which event weights are multiplied:
                what time has left of them. None for all of it.
        """
        num_columns = len(self.max_values) or ids.shape[1]
        width = weights.shape[-1]
        num_candidates = ops.shape(candidate_ids)[1]
        mask = length_mask(length, ops.shape(weights)[1])
        # `where`, not a product: padding may hold anything. Masking the
        # comparison below instead would be the largest operation here.
        weights = ops.where(mask[..., None], ops.cast(weights, "float32"), 0.0)
        if factors is not None:
            # The features before the event weights keep all of theirs.
            before = (width - factors.shape[-1], 0)
            weights *= ops.pad(factors, ((0, 0), before), constant_values=1.0)[
                :, None
            ]
        if any(size > 1 for size in self.max_values):
            same = self._shares(candidate_ids, ids)
        else:
            same = ops.equal(candidate_ids[..., None], ids[:, None])
            same = ops.cast(same, "float32")
        # As (B, N C, L), so that one product sums all columns up.
        flat = (-1, num_candidates * num_columns, ops.shape(weights)[1])
        sums = ops.matmul(ops.reshape(same, flat), weights)
        linear, counts = ops.split(sums, [1 + self.use_position], axis=-1)
        parts = [linear, ops.log1p(counts)]
        if self.use_position:
            places = ops.reshape(same, flat) * weights[:, None, :, 1]
            parts.append(ops.max(places, axis=-1, keepdims=True, initial=0.0))
            width += 1
        features = ops.reshape(
            ops.concatenate(parts, axis=-1),
            (-1, num_candidates, num_columns * width),
        )
        return ops.cast(features, self.compute_dtype)

    def _shares(self, candidate_ids: Any, ids: Any) -> Any:
        """Returns the share of values that each event has, (B, N, C, L)."""
        shares: list[Any] = []
        start = 0
        for size in self.max_values:
            wanted = candidate_ids[:, :, start : start + size]
            # One value of the events at a time: comparing all M x M at once
            # takes twice the time and M times the memory.
            found: Any = False
            for value in range(start, start + size):
                one = ops.equal(wanted[..., None], ids[:, None, None, value])
                found = ops.logical_or(found, one)
            weights = ops.cast(ops.not_equal(wanted, 0), "float32")
            if str(len(shares)) in self.log_value_weights:
                logs = self.log_value_weights[str(len(shares))].value
                weights *= ops.exp(tf.nn.embedding_lookup(logs, wanted))
            found = ops.cast(found, "float32") * weights[..., None]
            total = ops.sum(weights, axis=-1)
            total = ops.where(total > 0, total, 1.0)
            shares.append(ops.sum(found, axis=2) / total[..., None])
            start += size
        return ops.stack(shares, axis=2)

    def call(
        self,
        candidate_ids: Any,
        history_ids: Any,
        length: Any,
        event_weights: Any = None,
    ) -> Any:
        candidate_ids = of_dtype(candidate_ids, "int64", self.name)
        events = self.encode_history(history_ids, length, event_weights)
        return self.match(candidate_ids, length=length, **events)

    def compute_output_shape(
        self,
        candidate_ids_shape: tuple,
        history_ids_shape: tuple,
        event_weights_shape: tuple | None = None,
    ) -> tuple:
        batch, num_candidates, num_ids = candidate_ids_shape
        num_columns = len(self.max_values) or num_ids
        num_weights = event_weights_shape[-1] if event_weights_shape else 0
        width = self.num_features(num_weights) * num_columns
        return (batch, num_candidates, width)
