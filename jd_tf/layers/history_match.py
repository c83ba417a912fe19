"""Which candidates share an id with the history, and how recently."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.masking import length_mask


@keras.saving.register_keras_serializable(package="jd_tf")
class HistoryMatch(keras.layers.Layer):
    """Counts, exactly, how often a candidate's ids stand in a history.

    Embeddings have to learn that an id equals itself, one id at a time;
    rare and new ones never do. Comparing the ids takes no learning: for each
    of C id columns (item, category, brand ...) a candidate gets the share of
    the history that has its id, the sum of 1 / (1 + position) over those
    events, which the newest dominate, log(1 + their number) and, for each of
    V values that events may carry (how recent, how long looked at), log(1 +
    the sum of the value over them). Id 0 says that there is none (no
    brand, say), and matches nothing.

    Args:
        use_position: bool. Whether positions are read; without, every event
            of the history is as close as any other.

    Call arguments:
        candidate_ids: (B, N, C) integer.
        history_ids: (B, L, C) integer, newest first; padding may hold
            anything.
        length: (B,) integer. Real events.
        values: (B, L, V) float >= 0, or None. What each event counts for.

    Returns:
        (B, N, (3 + V) C) float, without `use_position` (2 + V) C; zero
        where nothing matches.

    Raises:
        ValueError: candidates and history differ in their columns.
    """

    def __init__(self, use_position: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.use_position = use_position

    def num_features(self, num_values: int) -> int:
        """Features an id column, if events carry `num_values` values."""
        return 2 + self.use_position + num_values

    def build(
        self,
        candidate_ids_shape: tuple,
        history_ids_shape: tuple,
        length_shape: tuple | None = None,
        values_shape: tuple | None = None,
    ):
        if candidate_ids_shape[-1] != history_ids_shape[-1]:
            raise ValueError(
                "`candidate_ids` and `history_ids` must have the same id "
                "columns on the last axis. "
                f"Got: {candidate_ids_shape[-1]} and {history_ids_shape[-1]}."
            )

    def call(
        self,
        candidate_ids: Any,
        history_ids: Any,
        length: Any,
        values: Any = None,
    ) -> Any:
        max_length = ops.shape(history_ids)[1]
        mask = length_mask(length, max_length)
        # As (B, C, N, L), so that one product sums all columns up.
        candidates = _columns_first(candidate_ids)[..., None]
        events = _columns_first(history_ids)[:, :, None, :]
        same = ops.equal(candidates, events) & ops.not_equal(candidates, 0)
        same &= mask[:, None, None, :]
        _, num_columns, num_candidates, _ = ops.shape(same)
        same = ops.reshape(
            ops.cast(same, "float32"),
            (-1, num_columns * num_candidates, max_length),
        )
        sums = ops.matmul(same, self._event_weights(mask, length, values))
        linear, counts = ops.split(sums, [1 + self.use_position], axis=-1)
        features = ops.concatenate([linear, ops.log1p(counts)], axis=-1)
        width = features.shape[-1]
        features = ops.reshape(
            features, (-1, num_columns, num_candidates, width)
        )
        features = ops.reshape(
            ops.transpose(features, (0, 2, 1, 3)),
            (-1, num_candidates, num_columns * width),
        )
        return ops.cast(features, self.compute_dtype)

    def _event_weights(self, mask: Any, length: Any, values: Any) -> Any:
        """What an event adds to each feature, (B, L, features) float32."""
        one = ops.cast(mask, "float32")
        total = ops.cast(ops.maximum(length, 1), "float32")
        weights = [one / total[:, None], one]
        if self.use_position:
            place = ops.arange(ops.shape(mask)[1], dtype="float32")
            weights.insert(1, one / (1.0 + place))
        weights = ops.stack(weights, axis=-1)
        if values is None:
            return weights
        # Zero, not zero times: padding may hold anything.
        values = ops.where(mask[..., None], ops.cast(values, "float32"), 0.0)
        return ops.concatenate([weights, values], axis=-1)

    def compute_output_shape(
        self,
        candidate_ids_shape: tuple,
        history_ids_shape: tuple,
        length_shape: tuple | None = None,
        values_shape: tuple | None = None,
    ) -> tuple:
        batch, num_candidates, num_columns = candidate_ids_shape
        num_values = 0 if values_shape is None else values_shape[-1]
        width = self.num_features(num_values) * num_columns
        return (batch, num_candidates, width)

    def get_config(self) -> dict:
        return {**super().get_config(), "use_position": self.use_position}


def _columns_first(ids: Any) -> Any:
    """(B, N or L, C) to (B, C, N or L).

    Not by `ops.transpose`: oneDNN takes that of whole numbers upon itself
    and then complains, on many processors, that it cannot do it.
    """
    return ops.stack(ops.unstack(ids, axis=-1), axis=1)
