"""Pools a history for each candidate by a small network's weights."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_units
from jd_tf.layers.masking import length_mask


@keras.saving.register_keras_serializable(package="jd_tf")
class LocalActivationUnit(BaseLayer):
    """Weighs the events of a history by how they go with a candidate.

    For a candidate q and an event e

        a(q, e) = w * f(... f(W [e, q, e * q, e - q] + b) ...) + c
        output(q) = sum over events of a(q, e) e

    The weights are no softmax: their sum says how strong the interest is. The
    first product is split, W e + W' q + W'' (e * q), so that the event's part
    is computed once a request, and nothing of width 4 D exists for pairs.

    Args:
        hidden_units: tuple of ints. Widths of the network's hidden layers.
        activation: str or callable, f. "silu" is the paper's Dice without
            statistics of the batch, which candidates would share.

    Call arguments:
        candidates: (B, N, D) float.
        events: (B, L, D) float. Padding may hold anything finite.
        length: (B,) integer. Real events.

    Returns:
        (B, N, D) float; zero for an empty history.

    Raises:
        ValueError: no hidden layer.

    Example:
        >>> candidates, events = np.ones((1, 3, 8)), np.ones((1, 5, 8))
        >>> layer = LocalActivationUnit((16,))
        >>> layer(candidates, events, np.array([5])).shape
        TensorShape([1, 3, 8])

    References:
        Deep Interest Network for Click-Through Rate Prediction. Zhou et al.,
        KDD 2018 (equation 3).
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (32, 16),
        activation: Any = "silu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.hidden_units = check_units("hidden_units", hidden_units)
        self.activation = keras.activations.get(activation)

    def build(self, candidates_shape: tuple, events_shape: tuple) -> None:
        dim, units = events_shape[-1], self.hidden_units[0]
        # Three parts start as the one layer of all inputs that they are.
        third = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        shared = {"kernel_initializer": third}
        self.event_part = self.add_dense("event_part", dim, units, **shared)
        self.candidate_part = self.add_dense(
            "candidate_part", dim, units, use_bias=False, **shared
        )
        self.product_kernel = self.add_weight(
            (dim, units), third, name="product_kernel"
        )
        self.deeper = [
            self.add_dense(f"deeper_{index}", width, next_width)
            for index, (width, next_width) in enumerate(
                zip(self.hidden_units, (*self.hidden_units[1:], 1), strict=True)
            )
        ]

    def encode_events(self, events: Any) -> dict[str, Any]:
        """Computes once a request what all candidates need of its events.

        Args:
            events: (B, L, D) float.

        Returns:
            dict of `events`, and `parts` (B, L, hidden_units[0]) of the first
            product.
        """
        return {"events": events, "parts": self.event_part(events)}

    def pool(
        self, candidates: Any, events: Any, parts: Any, length: Any
    ) -> Any:
        """Sums the events up for each candidate.

        `events` and `parts` are of `encode_events`; the rest is that of the
        call.
        """
        weights = self._weights(candidates, events, parts)
        real = length_mask(length, ops.shape(events)[1])
        weights = ops.where(real[:, None, :], weights, 0.0)
        return ops.matmul(weights, ops.cast(events, weights.dtype))

    def pool_real(
        self,
        candidates: Any,
        events: Any,
        parts: Any,
        length: Any,
        num_candidates: Any,
    ) -> Any:
        """As `pool`, but pairs with padding are not computed.

        For training, where requests of a batch differ in length: what is
        exported computes all pairs, by products that need no copies.

        Args:
            candidates: as for the call.
            events: of `encode_events`.
            parts: likewise.
            length: (B,) integer. Real events.
            num_candidates: (B,) integer. Real candidates; others get 0.
        """
        rows, count = ops.shape(candidates)[:2]
        pairs = tf.where(
            length_mask(num_candidates, count)[:, :, None]
            & length_mask(length, ops.shape(events)[1])[:, None]
        )
        row, place, event = ops.unstack(pairs, 3, axis=1)
        event = ops.stack([row, event], axis=1)
        candidates = ops.cast(candidates, self.compute_dtype)
        events = tf.gather_nd(ops.cast(events, self.compute_dtype), event)
        asking = tf.gather_nd(candidates, pairs[:, :2])
        kernel = ops.cast(self.product_kernel, self.compute_dtype)
        hidden = ops.matmul(events * asking, kernel)
        hidden += tf.gather_nd(self.candidate_part(candidates), pairs[:, :2])
        hidden += tf.gather_nd(ops.cast(parts, self.compute_dtype), event)
        for layer in self.deeper:
            hidden = layer(self.activation(hidden))
        cell = row * ops.cast(count, row.dtype) + place
        pooled = tf.math.unsorted_segment_sum(
            hidden * events, cell, rows * count
        )
        return ops.reshape(pooled, (rows, count, events.shape[-1]))

    def _weights(self, candidates: Any, events: Any, parts: Any) -> Any:
        """Returns a(q, e) of each candidate and event, (B, N, L)."""
        # Without an event, -1 cannot be told from the rest of a shape.
        rows, num_candidates, dim = ops.shape(candidates)
        num_events, units = ops.shape(events)[1], self.hidden_units[0]
        candidates = ops.cast(candidates, self.compute_dtype)
        kernel = ops.cast(self.product_kernel, self.compute_dtype)
        # W (e * q) is e times the rows of W scaled by q: one product for all
        # events, whose matrix is of the candidate.
        scaled = candidates[:, :, None, :] * ops.transpose(kernel)
        scaled = ops.reshape(scaled, (-1, num_candidates * units, dim))
        events = ops.cast(events, self.compute_dtype)
        both = ops.matmul(scaled, ops.transpose(events, (0, 2, 1)))
        both = ops.reshape(both, (rows, num_candidates, units, num_events))
        hidden = ops.transpose(both, (0, 1, 3, 2))
        hidden += self.candidate_part(candidates)[:, :, None]
        hidden += ops.cast(parts, self.compute_dtype)[:, None]
        hidden = ops.reshape(hidden, (-1, units))
        for layer in self.deeper:
            hidden = layer(self.activation(hidden))
        return ops.reshape(hidden, (rows, num_candidates, num_events))

    def call(self, candidates: Any, events: Any, length: Any) -> Any:
        return self.pool(
            candidates, **self.encode_events(events), length=length
        )

    def compute_output_shape(
        self, candidates_shape: tuple, events_shape: tuple
    ) -> tuple:
        return (*candidates_shape[:2], events_shape[-1])
