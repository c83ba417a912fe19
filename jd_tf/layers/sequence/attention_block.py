"""A base of blocks that keep events as keys and values."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.masking import attention_mask, length_mask
from jd_tf.layers.sequence.attention_heads import merge_heads
from jd_tf.layers.sequence.kept_events import join_events


class AttentionBlock(BaseLayer):
    """Reads events by their keys and values, which new events extend.

    A subclass projects, weighs scores, and adds what was read. If `causal`,
    an event attends to itself and to older ones alone, so that nothing of it
    changes when a newer one comes.
    """

    causal: bool

    def _project(self, inputs: Any) -> tuple[Any, Any, Any, Any]:
        """(B, L, D) to queries, keys, values (B, H, L, D / H) and gates."""
        raise NotImplementedError

    def _weights(self, scores: Any, mask: Any, count: Any, times: Any) -> Any:
        """Turns scores (B, H, K, L) into weights, zero beyond the mask.

        The queries stand at the first `count` places; `times` are theirs and
        those of all events.
        """
        raise NotImplementedError

    def _add(self, inputs: Any, read: Any, gates: Any, training: Any) -> Any:
        """Adds what was read (B, K, D) to the inputs."""
        raise NotImplementedError

    def extend(
        self,
        inputs: Any,
        length: Any,
        kept: Mapping[str, Any] | None = None,
        kept_length: Any = 0,
        window: int = 0,
        event_time: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Encodes new events, given what was kept of older ones.

        Args:
            inputs: (B, K, D) float. New events, newest first, K <= `window`.
            length: (B,) integer. Real events of them.
            kept: `keys` and `values` (B, H, L, D / H) of older events, in a
                causal block; None for none, in any.
            kept_length: (B,) integer. Real events of those.
            window: events that are kept at most; 0 for all.
            event_time: (B, K + L) int64 of all, if the block reads times.
            training: whether dropout is active.

        Returns:
            Encoded new events (B, K, D), and `keys` and `values` of all.
        """
        count = ops.shape(inputs)[1]
        queries, *new, gates = self._project(inputs)
        old = (kept["keys"], kept["values"]) if kept else (None, None)
        keys, values = (
            join_events(part, length, old_part, 2, window)
            for part, old_part in zip(new, old, strict=True)
        )
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        mask = attention_mask(
            length + kept_length, ops.shape(keys)[2], self.causal
        )
        if self.causal:
            mask = mask[:, :, :count]
        times = event_time
        if times is not None:
            times = (times[:, :count], times)
        read = ops.matmul(self._weights(scores, mask, count, times), values)
        outputs = self._add(inputs, merge_heads(read), gates, training)
        return outputs, {"keys": keys, "values": values}

    def read(
        self,
        inputs: Any,
        keys: Any,
        values: Any,
        length: Any,
        time: Any = None,
        event_time: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Encodes candidates as if each were the newest event.

        They attend to themselves and to the kept events, neither to each
        other nor the events to them.

        Args:
            inputs: (B, N, D) float. Candidates.
            keys: (B, H, L, D / H) float, of `extend`.
            values: likewise.
            length: (B,) integer. Real events of them.
            time: (B,) int64 of the candidates, if the block reads times.
            event_time: (B, L) int64 of the events, likewise.
            training: whether dropout is active.
        """
        queries, own_keys, own_values, gates = self._project(inputs)
        keys, values = (
            ops.cast(part, self.compute_dtype) for part in (keys, values)
        )
        own = ops.sum(queries * own_keys, axis=-1, keepdims=True)
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        scores = ops.concatenate([own, scores], axis=-1)
        mask = length_mask(length + 1, ops.shape(scores)[3])[:, None, None]
        times = None
        if time is not None:
            time = time[:, None]
            times = (time, ops.concatenate([time, event_time], axis=1))
        weights = self._weights(scores, mask, 1, times)
        read = weights[..., :1] * own_values
        read += ops.matmul(weights[..., 1:], values)
        return self._add(inputs, merge_heads(read), gates, training)
