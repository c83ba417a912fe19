"""Which candidates share an id with the history, and how recently."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.masking import length_mask

NUM_FEATURES = 3


@keras.saving.register_keras_serializable(package="jd_tf")
class HistoryMatch(keras.layers.Layer):
    """Counts, exactly, how often a candidate's ids stand in a history.

    Embeddings have to learn that an id equals itself, one id at a time;
    rare and new ones never do. Comparing the ids takes no learning: for each
    of C id columns (item, category, brand ...) a candidate gets log(1 +
    number of events with its id), their share of the history, and the sum
    of 1 / (1 + position) over them, which the newest events dominate. Id 0
    says that there is none (no brand, say), and matches nothing.

    Call arguments:
        candidate_ids: (B, N, C) integer.
        history_ids: (B, L, C) integer, newest first; padding may hold
            anything.
        length: (B,) integer. Real events.

    Returns:
        (B, N, 3 C) float; zero where nothing matches.

    Raises:
        ValueError: candidates and history differ in their columns.
    """

    def build(
        self,
        candidate_ids_shape: tuple,
        history_ids_shape: tuple,
        length_shape: tuple | None = None,
    ):
        if candidate_ids_shape[-1] != history_ids_shape[-1]:
            raise ValueError(
                "`candidate_ids` and `history_ids` must have the same id "
                "columns on the last axis. "
                f"Got: {candidate_ids_shape[-1]} and {history_ids_shape[-1]}."
            )

    def call(self, candidate_ids: Any, history_ids: Any, length: Any) -> Any:
        max_length = ops.shape(history_ids)[1]
        mask = length_mask(length, max_length)
        # As (B, C, N, L), so that one product sums all columns up.
        candidates = ops.transpose(candidate_ids, (0, 2, 1))[..., None]
        events = ops.transpose(history_ids, (0, 2, 1))[:, :, None, :]
        same = ops.equal(candidates, events) & ops.not_equal(candidates, 0)
        same &= mask[:, None, None, :]
        closeness = 1.0 / (1.0 + ops.arange(max_length, dtype="float32"))
        weights = ops.stack([ops.ones_like(closeness), closeness], axis=1)
        sums = ops.matmul(ops.cast(same, "float32"), weights)
        count, recent = sums[..., 0], sums[..., 1]
        total = ops.cast(ops.maximum(length, 1), "float32")
        features = ops.stack(
            [ops.log1p(count), count / total[:, None, None], recent], axis=-1
        )
        num_columns = candidate_ids.shape[-1]
        features = ops.reshape(
            ops.transpose(features, (0, 2, 1, 3)),
            (-1, ops.shape(candidate_ids)[1], NUM_FEATURES * num_columns),
        )
        return ops.cast(features, self.compute_dtype)

    def compute_output_shape(
        self,
        candidate_ids_shape: tuple,
        history_ids_shape: tuple,
        length_shape: tuple | None = None,
    ) -> tuple:
        batch, num_candidates, num_columns = candidate_ids_shape
        return (batch, num_candidates, NUM_FEATURES * num_columns)
