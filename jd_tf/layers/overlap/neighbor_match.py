"""Pair features: candidates that are neighbours of a history's events."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers.base_layer import BaseLayer


@keras.saving.register_keras_serializable(package="jd_tf")
class NeighborMatch(BaseLayer):
    """Sums up how often a candidate followed the events of a history.

    `PairTable` has for each event its neighbours: items that other users came
    to from there. With the weight w_e of the pair of event e and candidate, 0
    where there is none, and the event's place p_e, newest 0, a candidate gets

        s = sum_e w_e / (1 + p_e),  sqrt(s),  max_e w_e,
        max of 1 / (1 + p_e) over the events with a pair

    and for each of V weights v_e that events may have (by age, for instance)
    the root of sum_e w_e v_e. Every candidate is searched in the ascending
    neighbours of every event; comparing it with all of them would take K
    comparisons in place of log K.

    Call arguments:
        candidate_keys: (B, N) int64. Keys of `PairTable`; 0 is none.
        neighbors: (B, E, K) int64, ascending, of `PairTable`.
        weights: (B, E, K) float.
        event_weights: (B, E, V) float >= 0, or None.

    Returns:
        (B, N, 4 + V) float32; zero without a pair.

    Example:
        >>> layer = NeighborMatch()
        >>> neighbors, weights = np.array([[[3, 7]]]), np.array([[[0.5, 0.25]]])
        >>> layer(np.array([[7, 8]]), neighbors, weights).numpy().tolist()
        [[[0.25, 0.5, 0.25, 1.0], [0.0, 0.0, 0.0, 0.0]]]
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})

    @staticmethod
    def num_features(num_weights: int) -> int:
        """Returns the features of a candidate, of `num_weights` weights V."""
        return 4 + num_weights

    def build(self, candidate_keys_shape: tuple | None = None, **_: Any):
        """Makes nothing: there are no weights."""

    def call(
        self,
        candidate_keys: Any,
        neighbors: Any,
        weights: Any,
        event_weights: Any = None,
    ) -> Any:
        batch, num_events, num_neighbors = tf.unstack(tf.shape(neighbors))
        shape = (batch, num_events, tf.shape(candidate_keys)[1])
        keys = tf.broadcast_to(candidate_keys[:, None], shape)
        flat = tf.reshape(keys, (batch * num_events, -1))
        lists = tf.reshape(neighbors, (batch * num_events, num_neighbors))
        at = tf.searchsorted(lists, flat, out_type=tf.int32)
        # A key above all others of its list has no place of its own there.
        at = tf.minimum(at, num_neighbors - 1)
        at += num_neighbors * tf.range(batch * num_events)[:, None]
        found = tf.gather(tf.reshape(lists, [-1]), at) == flat
        found = tf.reshape(found & (flat != 0), shape)
        pair = tf.gather(tf.reshape(weights, [-1]), tf.reshape(at, shape))
        pair = tf.where(found, tf.cast(pair, "float32"), 0.0)
        place = 1.0 / (1.0 + tf.range(num_events, dtype="float32"))
        seen = tf.cast(found, "float32") * place[:, None]
        counted = tf.tile(place[None, :, None], (batch, 1, 1))
        if event_weights is not None:
            learned = tf.cast(event_weights, "float32")
            counted = tf.concat([counted, learned], axis=-1)
        sums = tf.matmul(pair, counted, transpose_a=True)
        parts = [
            sums[..., :1],
            _root(sums[..., :1]),
            tf.reduce_max(pair, axis=1)[..., None],
            tf.reduce_max(seen, axis=1)[..., None],
            _root(sums[..., 1:]),
        ]
        return ops.concatenate(parts, axis=-1)

    def compute_output_shape(
        self,
        candidate_keys_shape: tuple,
        neighbors_shape: tuple | None = None,
        weights_shape: tuple | None = None,
        event_weights_shape: tuple | None = None,
    ) -> tuple:
        num_weights = event_weights_shape[-1] if event_weights_shape else 0
        return (*candidate_keys_shape, self.num_features(num_weights))


def _root(sums: Any) -> Any:
    """Returns square roots, of zero with a gradient of zero."""
    positive = sums > 0
    roots = tf.sqrt(tf.where(positive, sums, 1.0))
    return tf.where(positive, roots, 0.0)
