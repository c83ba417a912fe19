"""Features of a session, for a fusion."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.masking import length_mask
from jd_tf.layers.sequence.event_times import seconds_between
from jd_tf.models.blocks.event_ages import newest_time
from jd_tf.schema import Behavior

_SMALL = 1e-6


@keras.saving.register_keras_serializable(package="jd_tf")
class SessionFeatures(BaseLayer):
    """Summarizes a session and its user for a fusion.

    Of each behaviour: the interest, what the events of this session were
    about, how many they were, how long the user stayed and how often each
    action was done; that part depends on histories alone: `encode_histories`
    counts the session back from the newest event. Once that is too old itself,
    nothing is of this session: `at_request`. Beside it stands the encoded
    context: scenario, hour, what the session counted. All of it is behind a
    stop_gradient: it belongs to the ranker. What the ranker learned is brought
    to the order of one, whatever scale it has by now; the layer itself has no
    weights. Single precision throughout.

    Args:
        behaviors: of the schema, or their dicts.
        interest_dim: int. Width D of interests and memories; with 0 neither
            is read.
        context_dim: int. Width of the encoded context; 0 for none.
        num_dense: int. How many of them, the last, are session features,
            which have their scale already.
        session_seconds: float. Events not older than this, counted from the
            newest of their behaviour, are of the session.

    Call arguments:
        histories: dict of the `columns`.
        states: for each behaviour a dict with `interest` (B, D) and `values`
            (B, H, L, D / H), of `BehaviorReader.encode`.
        context: (B, `context_dim`) float; None without.
        since_seconds: (B, behaviours) float32. Ages of the newest events;
            left out, they are 0.

    Returns:
        (B, `output_dim`) float32.

    Example:
    >>> from jd_tf.schema import Behavior
    >>> SessionFeatures([Behavior("click", 50)], 8, 0, 0, 3600.0).output_dim
    17
    """

    def __init__(
        self,
        behaviors: Sequence[Behavior | Mapping[str, Any]],
        interest_dim: int,
        context_dim: int,
        num_dense: int,
        session_seconds: float,
        **kwargs,
    ):
        # Ages in seconds overflow half precision after 18 hours.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.keep(locals())
        self.behaviors = tuple(
            behavior if isinstance(behavior, Behavior) else Behavior(**behavior)
            for behavior in behaviors
        )
        self.session_seconds = float(session_seconds)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that are read."""
        names = []
        for behavior in self.behaviors:
            details = ["event_time"]
            details += ["dwell_seconds"] * behavior.dwell
            details += ["action_counts"] * bool(behavior.action_counters)
            names += [f"{behavior.name}_{detail}" for detail in details]
            names.append(behavior.length)
        return names

    @property
    def output_dim(self) -> int:
        """Width of the features."""
        learned = 2 * self.interest_dim + 1
        return self.context_dim + sum(
            learned + behavior.dwell + len(behavior.action_counters)
            for behavior in self.behaviors
        )

    def build(self, histories_shape: Any = None) -> None:
        """Makes nothing: there are no weights."""

    def encode_histories(
        self, histories: Mapping[str, Any], states: Sequence[Mapping[str, Any]]
    ) -> Any:
        """Returns the part that depends on histories alone, (B, F)."""
        parts = []
        for behavior, state in zip(self.behaviors, states, strict=True):
            name, length = behavior.name, histories[behavior.length]
            times = histories[f"{name}_event_time"]
            age = seconds_between(times, newest_time(times, length)[:, None])
            mask = length_mask(length, ops.shape(age)[1])
            mask = mask & (age <= self.session_seconds)
            if self.interest_dim:
                values = ops.cast(state["values"], "float32")
                # Padding may hold anything; of nothing, the mean is nothing.
                about = ops.where(mask[:, None, :, None], values, 0.0)
                about = ops.sum(about, axis=2)
                about = ops.reshape(about, (-1, self.interest_dim))
                parts += [scaled(state["interest"]), scaled(about)]
            counted = [ops.cast(mask, "float32")[..., None]]
            if behavior.dwell:
                dwell = histories[f"{name}_dwell_seconds"][..., None]
                counted.append(ops.cast(dwell, "float32"))
            if behavior.action_counters:
                counts = histories[f"{name}_action_counts"]
                counted.append(ops.cast(counts, "float32"))
            counted = ops.concatenate(counted, axis=-1)
            # Unknown dwell or counts are negative, and nothing.
            known = mask[..., None] & (counted > 0)
            counted = ops.where(known, counted, 0.0)
            parts.append(ops.log1p(ops.sum(counted, axis=1)))
        return ops.stop_gradient(ops.concatenate(parts, axis=-1))

    def at_request(
        self, session: Any, context: Any, since_seconds: Any = None
    ) -> Any:
        """Returns the features, given the part of `encode_histories`."""
        parts = [session]
        if since_seconds is not None:
            lasts = since_seconds <= self.session_seconds
            parts = [ops.where(self._of_session(lasts), session, 0.0)]
        if context is not None:
            context = ops.cast(context, "float32")
            num_learned = self.context_dim - self.num_dense
            parts.append(scaled(context[:, :num_learned]))
            parts.append(context[:, num_learned:])
        return ops.stop_gradient(ops.concatenate(parts, axis=-1))

    def _of_session(self, lasts: Any) -> Any:
        """Returns (B, F), whether each feature counts: all but interests."""
        parts = []
        for number, behavior in enumerate(self.behaviors):
            one = lasts[:, number, None]
            interest = ops.repeat(ops.ones_like(one), self.interest_dim, axis=1)
            width = self.interest_dim + 1 + behavior.dwell
            width += len(behavior.action_counters)
            parts += [interest, ops.repeat(one, width, axis=1)]
        return ops.concatenate(parts, axis=1)

    def call(
        self,
        histories: Mapping[str, Any],
        states: Sequence[Mapping[str, Any]],
        context: Any = None,
        since_seconds: Any = None,
    ) -> Any:
        session = self.encode_histories(histories, states)
        return self.at_request(session, context, since_seconds)

    def compute_output_shape(self, histories_shape: Any) -> tuple:
        lengths = histories_shape[self.behaviors[0].length]
        return (lengths[0], self.output_dim)


def scaled(vectors: Any) -> Any:
    """Scales vectors (B, D) to a root mean square of one, if not zero.

    Returns float32, whatever they are.
    """
    vectors = ops.cast(vectors, "float32")
    mean = ops.mean(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(mean + _SMALL)
