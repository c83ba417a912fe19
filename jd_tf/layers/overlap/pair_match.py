"""Pair features: candidates that often follow the events of a history."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_id_dtype, check_int
from jd_tf.layers.embedding.id_keys import UNUSED, find_rows, id_keys
from jd_tf.layers.masking import length_mask

# A table's ids, and the tables that pairs of one column can have.
MAX_ROWS, MAX_TABLES = 1 << 26, 1 << 11


def pair_codes(table: Any, event: Any, target: Any) -> Any:
    """Returns int64 codes of pairs of rows, in tables of these numbers."""
    return (table * MAX_ROWS + event) * MAX_ROWS + target


@keras.saving.register_keras_serializable(package="jd_tf")
class PairMatch(BaseLayer):
    """Sums up how often a candidate followed the events of a history.

    A table holds which ids users came to soon after others, and how strong
    each pair is, of one or several kinds. Another job counts them; `assign`
    replaces them whenever it has run again, and no gradient does. With the
    weight w_e of the pair of event e and candidate, 0 where there is none, and
    the event's place p_e, newest 0, a candidate gets

        s = sum_e w_e / (1 + p_e),  sqrt(s),  max_e w_e,
        max of 1 / (1 + p_e) over the events with a pair

    and for each of V weights v_e that events may have (by age, for instance)
    the root of sum_e w_e v_e. `encode_history` runs once a user and keeps
    nothing of the table. `match` looks up each pair of event and candidate:
    pairs of rows are one ascending list of numbers, so it is a binary search.
    Ids are kept, not hashed into rows, see `VectorTable`.

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
        >>> codes = [1, 1 << 26]  # Of rows (0, 1) and (1, 0).
        >>> layer.assign(np.array([7, 9]), codes, [0.5, 0.25])
        >>> layer(np.array([[7, 8]]), np.array([[9, 7]]), np.array([2]))[0]
        <tf.Tensor: shape=(2, 4), dtype=float32, numpy=
        array([[0.25, 0.5 , 0.25, 1.  ],
               [0.  , 0.  , 0.  , 0.  ]], dtype=float32)>
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

    def build(
        self,
        candidate_ids_shape: tuple | None = None,
        history_ids_shape: tuple | None = None,
        length_shape: tuple | None = None,
        event_weights_shape: tuple | None = None,
    ):
        def add(name: str, size: int, dtype: str, start: int) -> Any:
            return self.add_weight(
                (size,),
                lambda shape, dtype: tf.fill(shape, tf.constant(start, dtype)),
                dtype=dtype,
                trainable=False,
                autocast=False,
                name=name,
            )

        self.keys = add("keys", self.num_rows, "int64", UNUSED)
        self.codes = add("codes", self.num_pairs, "int64", UNUSED)
        self.pair_weights = add("weights", self.num_pairs, "float32", 0)

    def assign(self, keys: Any, codes: Any, weights: Any) -> None:
        """Replaces the content of the table, which `ItemPairs` has checked.

        Args:
            keys: (R,) int64, ascending, each once; R at most `num_rows`.
            codes: (P,) int64 of `pair_codes`, ascending, the kind as table;
                P at most `num_pairs`.
            weights: (P,) float >= 0, finite.

        Raises:
            ValueError: there is no room for so many.
        """
        if len(keys) > self.num_rows or len(codes) > self.num_pairs:
            raise ValueError(
                f"Layer {self.name!r} has room for {self.num_rows} items and "
                f"{self.num_pairs} pairs. Got: {len(keys)} and {len(codes)}."
            )
        if not self.built:
            self.build()
        for variable, values, unused in (
            (self.keys, keys, UNUSED),
            (self.codes, codes, UNUSED),
            (self.pair_weights, weights, 0),
        ):
            room = (0, variable.shape[0] - len(values))
            variable.assign(np.pad(values, room, constant_values=unused))

    def assign_parts(self, codes: Any, weights: Any) -> None:
        """Sets the tables that training reads; the keys stay.

        Kind k for requests of part p is table p `num_kinds` + k.
        """
        # One more: an empty table cannot be searched.
        tables = (
            tf.constant(np.append(codes, UNUSED), tf.int64),
            tf.constant(np.append(weights, 0.0), tf.float32),
        )
        # A function: Keras and TensorFlow would track a tuple's content.
        self._parts = lambda: tables

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
        """Finds the pairs of candidates and events.

        `event_keys` are of `encode_history`; the others, and what is
        returned, those of the call.
        """
        pair, found = self._pairs(
            event_keys, self.keys_of(candidate_ids), part, kind
        )
        batch, num_events = (tf.shape(event_keys)[axis] for axis in (0, 1))
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
        roots = _root(sums)
        parts = [sums[..., :1], roots[..., :1], _largest(pair), _largest(seen)]
        parts.append(roots[..., 1:])
        return tf.cast(tf.concat(parts, axis=-1), self.compute_dtype)

    def _pairs(
        self, event_keys: Any, candidate_keys: Any, part: Any, kind: int
    ) -> tuple:
        """Returns weights (B, E, N) of pairs, and which are there."""
        # `.value` is the tf.Variable: only what is found is read.
        codes, weights = self.codes.value, self.pair_weights.value
        table: Any = kind
        if part is not None:
            if self._parts is None:
                raise ValueError(
                    f"Layer {self.name!r} has no tables of the parts of the "
                    "training data: call `assign_parts` before training."
                )
            codes, weights = self._parts()
            table += tf.cast(part, "int64")[:, None, None] * self.num_kinds
        event, known = find_rows(self.keys.value, event_keys[:, :, None])
        target, also_known = find_rows(self.keys.value, candidate_keys[:, None])
        code = pair_codes(
            table, tf.cast(event, "int64"), tf.cast(target, "int64")
        )
        # No pair has code 0, which `find_rows` takes for none.
        at, found = find_rows(codes, tf.where(known & also_known, code, 0))
        return tf.where(found, tf.gather(weights, at), 0.0), found

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
        return (*(candidate_ids_shape or ()), 4 + num_weights)


def _largest(values: Any) -> Any:
    """Returns the maximum over events (B, N, 1), 0 of none."""
    return tf.maximum(tf.reduce_max(values, axis=1), 0.0)[..., None]


def _root(sums: Any) -> Any:
    """Returns square roots, of zero with a gradient of zero."""
    positive = sums > 0
    roots = tf.sqrt(tf.where(positive, sums, 1.0))
    return tf.where(positive, roots, 0.0)
