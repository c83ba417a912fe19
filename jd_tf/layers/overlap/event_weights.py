"""Weights of events by their age and their features."""

import math
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int

_HOUR, _MONTH = 3600.0, 30 * 24 * 3600.0


@keras.saving.register_keras_serializable(package="jd_tf")
class EventWeights(BaseLayer):
    """Gives each event V weights in [0, 1] that decay with its age.

    Weight v of an event of age a with features x is

        exp(-a / t_v) * sigmoid(w_v x + b_v)

    with learned time constants t_v, which start evenly spaced on a
    logarithmic scale, so that one counts this session's events and another
    this month's. Summed over the events that share an id with a candidate
    (`IdOverlap`) they measure the user's interest in that id, without an
    embedding having to learn it id by id.

    Numeric features n (seconds of dwell time, comments read) count as

        exp(-a / t_v) * log(1 + n)     for every v and n,

    beside what is learned of them.

    Ages may be counted from the newest event, so that weights hold at every
    later moment: `fade` gives the factors that remain, exp(-s / t_v) at s
    seconds after it.

    Args:
        num_weights: int. Weights V.
        min_time_constant: float. Start of the first t_v, seconds.
        max_time_constant: float. Start of the last one, seconds.

    Call arguments:
        event_features: (B, L, D) float.
        age_seconds: (B, L) float32, >= 0, or None: no decay.
        numeric_features: (B, L, A) float, or None. Below 0 (unknown) counts
            as 0.

    Returns:
        (B, L, V (1 + A)) float; V learned weights, then V of each numeric
        feature.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> events, ages = np.ones((1, 3, 4)), np.array([[0.0, 60.0, 1e9]])
        >>> weights = EventWeights(num_weights=2)(events, ages)
        >>> weights.shape
        TensorShape([1, 3, 2])
        >>> weights[0, 2].numpy().tolist()
        [0.0, 0.0]
    """

    def __init__(
        self,
        num_weights: int,
        min_time_constant: float = _HOUR,
        max_time_constant: float = _MONTH,
        **kwargs,
    ):
        # Keras would cast ages to half precision, and so to infinity.
        super().__init__(**{**kwargs, "autocast": False})
        self.num_weights = check_int("num_weights", num_weights, 1)
        if not 0.0 < min_time_constant <= max_time_constant < math.inf:
            raise ValueError(
                "Time constants must be positive and finite, the first the "
                f"smaller. Got: {min_time_constant!r}, {max_time_constant!r}."
            )
        self.min_time_constant = float(min_time_constant)
        self.max_time_constant = float(max_time_constant)

    def build(
        self,
        event_features_shape: tuple,
        age_seconds_shape: tuple | None = None,
        numeric_features_shape: tuple | None = None,
    ):
        self.weighing = self.add_dense(
            "weighing",
            event_features_shape[-1],
            self.num_weights,
            activation="sigmoid",
        )
        self.log_time_constant = None
        if age_seconds_shape is not None:
            self.log_time_constant = self.add_weight(
                (self.num_weights,), self._spaced, name="log_time_constant"
            )

    def _spaced(self, shape: tuple, dtype: Any = None) -> Any:
        first = math.log(self.min_time_constant)
        last = math.log(self.max_time_constant)
        return ops.linspace(first, last, shape[0], dtype=dtype)

    def call(
        self,
        event_features: Any,
        age_seconds: Any = None,
        numeric_features: Any = None,
    ) -> Any:
        decay = self._decay(event_features, age_seconds)
        # As one matrix, which saves the dense layer its own reshapes.
        flat = ops.reshape(event_features, (-1, event_features.shape[-1]))
        learned = self.weighing(ops.cast(flat, self.compute_dtype))
        shape = (-1, ops.shape(event_features)[1], self.num_weights)
        learned = ops.reshape(learned, shape)
        parts = [decay * learned]
        if numeric_features is not None:
            numbers = ops.cast(numeric_features, "float32")
            logs = ops.log1p(ops.maximum(numbers, 0.0))
            logs = ops.cast(logs, self.compute_dtype)
            parts += [
                decay * one[..., None] for one in ops.unstack(logs, axis=-1)
            ]
        return ops.concatenate(parts, axis=-1)

    def fade(self, seconds: Any) -> Any:
        """Returns what is left of each weight, (..., V) float32.

        Args:
            seconds: (...) float. Below 0 counts as 0.
        """
        rate = ops.exp(-ops.cast(self.log_time_constant, "float32"))
        age = ops.maximum(ops.cast(seconds, "float32"), 0.0)
        return ops.exp(-age[..., None] * rate)

    def _decay(self, event_features: Any, age_seconds: Any) -> Any:
        """Returns the decay of each weight by age, (B, L, V)."""
        if self.log_time_constant is None:
            shape = (*ops.shape(event_features)[:-1], self.num_weights)
            return ops.ones(shape, self.compute_dtype)
        return ops.cast(self.fade(age_seconds), self.compute_dtype)

    def compute_output_shape(
        self,
        event_features_shape: tuple,
        age_seconds_shape: tuple | None = None,
        numeric_features_shape: tuple | None = None,
    ) -> tuple:
        num_numeric = (numeric_features_shape or (0,))[-1]
        width = self.num_weights * (1 + num_numeric)
        return (*event_features_shape[:-1], width)
