"""Id-overlap features: candidates whose ids are in the history."""

from typing import Any

import keras
import numpy as np
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.masking import length_mask


@keras.saving.register_keras_serializable(package="jd_tf")
class IdOverlap(BaseLayer):
    """Counts, exactly, how often a candidate's ids are in a history.

    Embeddings have to learn that an id equals itself, one id at a time;
    rare and new ones never do. Comparing the ids takes no learning: for each
    of C id columns (item, category, brand ...) a candidate gets the share of
    the history that has its id, the sum of 1 / (1 + position) over those
    events, which the newest dominate, log(1 + their number) and, for each of
    V weights that events may have (by recency or dwell time, for instance),
    log(1 + the sum of the weight over them). Id 0 means that there is none
    (no brand, for instance) and overlaps with nothing. The part that depends
    on the history alone runs once a user, `encode_history`; `match` does the
    rest, and calling the layer chains both.

    Args:
        use_position: bool. Whether positions are read; without them the
            order of events does not matter.

    Call arguments:
        candidate_ids: (B, N, C) integer.
        history_ids: (B, L, C) integer, newest first; padding may hold
            anything.
        length: (B,) integer. Real events.
        event_weights: (B, L, V) float >= 0, or None.

    Returns:
        (B, N, (3 + V) C) float, without `use_position` (2 + V) C; zero
        without overlap.

    Raises:
        ValueError: candidates and history differ in their columns.

    Example:
        >>> candidates = np.array([[[7], [8]]])
        >>> history, length = np.array([[[7], [5], [7], [0]]]), np.array([3])
        >>> print(np.round(IdOverlap()(candidates, history, length), 2))
        [[[0.67 1.33 1.1 ]
          [0.   0.   0.  ]]]
    """

    def __init__(self, use_position: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.use_position = use_position

    def num_features(self, num_weights: int) -> int:
        """Returns the features an id column, of `num_weights` weights V."""
        return 2 + self.use_position + num_weights

    def build(
        self,
        candidate_ids_shape: tuple,
        history_ids_shape: tuple,
        length_shape: tuple | None = None,
        event_weights_shape: tuple | None = None,
    ):
        if candidate_ids_shape[-1] != history_ids_shape[-1]:
            raise ValueError(
                "`candidate_ids` and `history_ids` must have the same id "
                "columns on the last axis. "
                f"Got: {candidate_ids_shape[-1]} and {history_ids_shape[-1]}."
            )

    def encode_history(
        self, history_ids: Any, length: Any, event_weights: Any = None
    ) -> dict[str, Any]:
        """Prepares a history, once for all candidates.

        Arguments are those of the call.

        Returns:
            dict of `ids` (B, C, L), 0 replaced by a number that no candidate
            has, and `weights` (B, L, features) float32, which an event adds
            to each feature; both meaningless in padding.
        """
        history_ids = ops.convert_to_tensor(history_ids)
        # The least number of the dtype, which is no id.
        unused = np.iinfo(history_ids.dtype.name).min
        unused = ops.cast(unused, history_ids.dtype)
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
        # (B, L, C) to (B, C, L), not by `ops.transpose`: on many processors
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
        num_columns, width = ids.shape[1], weights.shape[-1]
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
        same = ops.equal(candidate_ids[..., None], ids[:, None])
        # As (B, N C, L), so that one product sums all columns up.
        same = ops.reshape(
            ops.cast(same, "float32"),
            (-1, num_candidates * num_columns, ops.shape(weights)[1]),
        )
        sums = ops.matmul(same, weights)
        linear, counts = ops.split(sums, [1 + self.use_position], axis=-1)
        features = ops.concatenate([linear, ops.log1p(counts)], axis=-1)
        features = ops.reshape(
            features, (-1, num_candidates, num_columns * width)
        )
        return ops.cast(features, self.compute_dtype)

    def call(
        self,
        candidate_ids: Any,
        history_ids: Any,
        length: Any,
        event_weights: Any = None,
    ) -> Any:
        events = self.encode_history(history_ids, length, event_weights)
        return self.match(candidate_ids, length=length, **events)

    def compute_output_shape(
        self,
        candidate_ids_shape: tuple,
        history_ids_shape: tuple,
        length_shape: tuple | None = None,
        event_weights_shape: tuple | None = None,
    ) -> tuple:
        batch, num_candidates, num_columns = candidate_ids_shape
        num_weights = event_weights_shape[-1] if event_weights_shape else 0
        width = self.num_features(num_weights) * num_columns
        return (batch, num_candidates, width)
