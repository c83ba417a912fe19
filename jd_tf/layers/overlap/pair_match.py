"""Pair features: candidates that often follow the events of a history."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_id_dtype, check_int
from jd_tf.layers.embedding.id_keys import UNUSED, find_rows, id_keys
from jd_tf.layers.masking import length_mask


@keras.saving.register_keras_serializable(package="jd_tf")
class PairMatch(BaseLayer):
    """Sums up how often a candidate followed the events of a history.

    A table holds the neighbours of each item: those that users came to soon
    after it, and how strong each pair is, of one or several kinds. Another
    job counts them; `assign` replaces them whenever it has run again, and no
    gradient does. With the weight w_e of the pair of event e and candidate, 0
    where there is none, and the event's place p_e, newest 0, a candidate gets

        s = sum_e w_e / (1 + p_e),  sqrt(s),  max_e w_e,
        max of 1 / (1 + p_e) over the events with a pair

    and for each of V weights v_e that events may have (by age, for instance)
    the root of sum_e w_e v_e. `encode_history` runs once a user and keeps
    nothing of the table; `match` looks the neighbours up, once a request.
    Every candidate is searched in the ascending neighbours of every event:
    comparing it with all of them would be K comparisons in place of log K.
    Rows have as many neighbours as the job found; ids are kept, not hashed
    into rows, see `VectorTable`.

    A training example must not see its own event, nor later ones.
    `assign_parts` takes a table for each part of the training data that was
    counted without it; these are no weights, and no checkpoint or SavedModel
    has them.

    Args:
        num_rows: int. Items that the table has room for.
        num_pairs: int. Pairs that it has room for, all kinds together.
        num_kinds: int. Kinds of pairs.
        id_dtype: str. `"int64"` or `"string"`.

    Call arguments:
        candidate_ids: (B, N) raw ids; 0 and the empty string are padding.
        history_ids: (B, E) raw ids, newest first.
        length: (B,) integer. Real events.
        event_weights: (B, E, V) float >= 0, or None.
        part: (B,) integer, the table of `assign_parts` to read, or None.
        kind: int. Kind of pairs.

    Returns:
        (B, N, 4 + V) float; zero without a pair.

    Raises:
        ValueError: an argument out of range, or a part without tables.

    Example:
        >>> layer = PairMatch(num_rows=2, num_pairs=3)
        >>> layer.assign([7, 9], [[0, 2, 3]], [8, 9, 7], [0.5, 1.0, 0.25])
        >>> layer(np.array([[7, 8]]), np.array([[9, 7]]), np.array([2]))[0]
        <tf.Tensor: shape=(2, 4), dtype=float32, numpy=
        array([[0.25, 0.5 , 0.25, 1.  ],
               [0.25, 0.5 , 0.5 , 0.5 ]], dtype=float32)>
    """

    def __init__(
        self,
        num_rows: int,
        num_pairs: int,
        num_kinds: int = 1,
        id_dtype: str = "int64",
        **kwargs,
    ):
        super().__init__(**{**kwargs, "autocast": False})
        self.num_rows = check_int("num_rows", num_rows, 1)
        self.num_pairs = check_int("num_pairs", num_pairs, 1)
        self.num_kinds = check_int("num_kinds", num_kinds, 1)
        self.id_dtype = check_id_dtype(id_dtype)
        self.supports_jit = False
        self._parts: Any = None

    @staticmethod
    def num_features(num_weights: int) -> int:
        """Returns the features of a candidate, of `num_weights` weights V."""
        return 4 + num_weights

    def build(
        self,
        candidate_ids_shape: tuple | None = None,
        history_ids_shape: tuple | None = None,
        length_shape: tuple | None = None,
        event_weights_shape: tuple | None = None,
    ):
        def add(name: str, shape: tuple, dtype: str, start: int) -> Any:
            return self.add_weight(
                shape,
                lambda shape, dtype: tf.fill(shape, tf.constant(start, dtype)),
                dtype=dtype,
                trainable=False,
                name=name,
            )

        starts = self.num_kinds * (self.num_rows + 1)
        self.keys = add("keys", (self.num_rows,), "int64", UNUSED)
        self.starts = add("starts", (starts,), "int64", 0)
        self.neighbors = add("neighbors", (self.num_pairs,), "int64", UNUSED)
        self.pair_weights = add("weights", (self.num_pairs,), "float32", 0)

    def assign(
        self, keys: Any, starts: Any, neighbors: Any, weights: Any
    ) -> None:
        """Replaces the content of the table.

        Args:
            keys: (R,) int64, ascending; R at most `num_rows`.
            starts: (kinds, R + 1) integer. Row r of a kind has the pairs
                `starts[kind, r]` to `starts[kind, r + 1]`, exclusive.
            neighbors: (P,) int64, keys, ascending within a row; P at most
                `num_pairs`.
            weights: (P,) float >= 0, finite.

        Raises:
            ValueError: too many, a wrong shape, or keys out of order.
        """
        keys, neighbors = np.asarray(keys), np.asarray(neighbors)
        starts = self._checked(keys, starts, neighbors, weights)
        if not self.built:
            self.build()
        room = (0, self.num_pairs - len(neighbors))
        rows = (0, self.num_rows - len(keys))
        self.keys.assign(np.pad(keys, rows, constant_values=UNUSED))
        self.starts.assign(starts)
        self.neighbors.assign(np.pad(neighbors, room, constant_values=UNUSED))
        self.pair_weights.assign(np.pad(weights, room))

    def assign_parts(self, starts: Any, neighbors: Any, weights: Any) -> None:
        """Sets the tables that training reads; the keys stay.

        Args:
            starts: (parts, kinds, R + 1) integer.
            neighbors: as of `assign`, of all parts one after the other.
            weights: likewise.
        """
        keys = self.keys.numpy()
        keys = keys[keys != UNUSED]
        starts = np.concatenate(
            [self._checked(keys, s, neighbors, weights, False) for s in starts]
        )
        with tf.init_scope():
            self._parts = _Pairs(
                tf.constant(starts, tf.int64),
                # One more: an empty table cannot be gathered from.
                tf.constant(np.append(neighbors, UNUSED), tf.int64),
                tf.constant(np.append(weights, 0.0), tf.float32),
            )

    def _checked(
        self,
        keys: np.ndarray,
        starts: Any,
        neighbors: Any,
        weights: Any,
        limited: bool = True,
    ) -> np.ndarray:
        """Returns `starts` of all rows there is room for, on one axis."""
        starts, count = np.asarray(starts), len(neighbors)
        problem = ""
        if len(keys) > self.num_rows or (limited and count > self.num_pairs):
            problem = (
                f"has room for {self.num_rows} items and {self.num_pairs} "
                f"pairs. Got: {len(keys)} and {count}"
            )
        elif starts.shape != (self.num_kinds, len(keys) + 1):
            shape = (self.num_kinds, len(keys) + 1)
            problem = f"takes {shape} starts. Got: {starts.shape}"
        elif (np.diff(keys) <= 0).any() or (len(keys) and keys[-1] == UNUSED):
            problem = "takes keys in ascending order, each once"
        elif (np.diff(starts) < 0).any() or not (
            starts.min() >= 0 and starts.max() <= count == len(weights)
        ):
            problem = "got starts and pairs that do not fit each other"
        elif not (
            np.isfinite(weights).all() and np.min(weights, initial=0) >= 0
        ):
            problem = "takes finite weights >= 0"
        if problem:
            raise ValueError(f"Layer {self.name!r} {problem}.")
        rows = (0, self.num_rows - len(keys))
        return np.pad(starts, ((0, 0), rows), mode="edge").ravel()

    def keys_of(self, ids: Any) -> Any:
        """Returns the int64 keys that raw ids are kept as, 0 for padding."""
        return id_keys(ids, self.id_dtype, self.name)

    def encode_history(self, history_ids: Any, length: Any) -> Any:
        """Returns the keys (B, E) int64 of events, 0 in padding."""
        keys = self.keys_of(history_ids)
        return tf.where(length_mask(length, tf.shape(keys)[1]), keys, 0)

    def match(
        self,
        candidate_ids: Any,
        event_keys: Any,
        event_weights: Any = None,
        part: Any = None,
        kind: int = 0,
    ) -> Any:
        """Finds candidates among the neighbours of events.

        `event_keys` are of `encode_history`; the others, and what is
        returned, those of the call.
        """
        neighbors, weights = self.neighbors_of(event_keys, part, kind)
        candidate_keys = self.keys_of(candidate_ids)
        batch, num_events, num_neighbors = (
            tf.shape(neighbors)[axis] for axis in range(3)
        )
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
            # `where`, not a product: padding may hold anything.
            learned = tf.where(
                event_keys[..., None] != 0,
                tf.cast(event_weights, "float32"),
                0.0,
            )
            counted = tf.concat([counted, learned], axis=-1)
        sums = tf.matmul(pair, counted, transpose_a=True)
        parts = [
            sums[..., :1],
            _root(sums[..., :1]),
            _largest(pair),
            _largest(seen),
            _root(sums[..., 1:]),
        ]
        return tf.cast(tf.concat(parts, axis=-1), self.compute_dtype)

    def neighbors_of(self, keys: Any, part: Any, kind: int) -> tuple:
        """Returns neighbours and weights of the pairs, both (B, E, K).

        Neighbours are ascending keys; K is the largest number that an item of
        the batch has, at least 1.
        """
        rows, present = find_rows(self.keys.value, keys)
        rows = tf.cast(rows, "int64") + kind * (self.num_rows + 1)
        # `.value` is the tf.Variable: only what is found is read.
        table: Any = self._parts
        if part is None:
            table = _Pairs(
                self.starts.value, self.neighbors.value, self.pair_weights.value
            )
        elif table is None:
            raise ValueError(
                f"Layer {self.name!r} has no tables of the parts of the "
                "training data: call `assign_parts` before training."
            )
        else:
            rows += tf.cast(part, "int64")[:, None] * self.starts.shape[0]
        start = tf.gather(table.starts, rows)
        count = tf.gather(table.starts, rows + 1) - start
        count = tf.where(present, count, 0)
        places = tf.range(tf.maximum(tf.reduce_max(count), 1))
        real = places < count[..., None]
        at = tf.where(real, start[..., None] + places, 0)
        neighbors = tf.where(real, tf.gather(table.neighbors, at), UNUSED)
        weights = tf.where(real, tf.gather(table.weights, at), 0.0)
        return neighbors, weights

    def call(
        self,
        candidate_ids: Any,
        history_ids: Any,
        length: Any,
        event_weights: Any = None,
        part: Any = None,
        kind: int = 0,
    ) -> Any:
        keys = self.encode_history(history_ids, length)
        return self.match(candidate_ids, keys, event_weights, part, kind)

    def compute_output_shape(
        self,
        candidate_ids_shape: tuple | None = None,
        history_ids_shape: tuple | None = None,
        length_shape: tuple | None = None,
        event_weights_shape: tuple | None = None,
    ) -> tuple:
        num_weights = event_weights_shape[-1] if event_weights_shape else 0
        return (*(candidate_ids_shape or ()), self.num_features(num_weights))


class _Pairs:
    """Pairs of rows, as `PairMatch.assign` takes them.

    A plain object: Keras and TensorFlow would track a tuple's content.
    """

    def __init__(self, starts: Any, neighbors: Any, weights: Any):
        self.starts = starts
        self.neighbors = neighbors
        self.weights = weights


def _largest(values: Any) -> Any:
    """Returns the maximum over events (B, N, 1), 0 of none."""
    return tf.maximum(tf.reduce_max(values, axis=1), 0.0)[..., None]


def _root(sums: Any) -> Any:
    """Returns square roots, of zero with a gradient of zero."""
    positive = sums > 0
    roots = tf.sqrt(tf.where(positive, sums, 1.0))
    return tf.where(positive, roots, 0.0)
