"""What an event still counts for: by its age and by how it went."""

import math
from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_int

_HOUR, _MONTH = 3600.0, 30 * 24 * 3600.0


@keras.saving.register_keras_serializable(package="jd_tf")
class EventWeights(keras.layers.Layer):
    """Gives each event V values in [0, 1] that fade with its age.

    Value v of an event that is `age` old and went as `details` says is

        exp(-age / t_v) * sigmoid(w_v details + b_v)

    with learned time constants t_v, which start evenly spaced on a
    logarithmic scale, so that one counts this session's events and another
    this month's. Summed over the events that share an id with a candidate
    (`IdOverlap`) they say how much of it there was, how recently and how
    thoroughly, without an embedding having to learn it id by id.

    Args:
        num_values: int. Values V.
        min_time_constant: float. Where the first t_v starts, seconds.
        max_time_constant: float. Where the last one starts, seconds.

    Amounts that are known as such (seconds looked at, comments read) count
    beside what is learned of them, as

        exp(-age / t_v) * log(1 + amount_a)     for every v and a.

    Call arguments:
        details: (B, L, D) float. How events went.
        age_seconds: (B, L) float32, >= 0, or None: nothing fades.
        amounts: (B, L, A) float, or None. Below zero: unknown, as none.

    Returns:
        (B, L, V (1 + A)) float; V learned values, then V of each amount.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        num_values: int,
        min_time_constant: float = _HOUR,
        max_time_constant: float = _MONTH,
        **kwargs,
    ):
        # Keras would cast ages to half precision, and so to infinity.
        super().__init__(**{**kwargs, "autocast": False})
        self.num_values = check_int("num_values", num_values, 1)
        if not 0.0 < min_time_constant <= max_time_constant < math.inf:
            raise ValueError(
                "Time constants must be positive and finite, the first the "
                f"smaller. Got: {min_time_constant!r}, {max_time_constant!r}."
            )
        self.min_time_constant = float(min_time_constant)
        self.max_time_constant = float(max_time_constant)

    def build(
        self,
        details_shape: tuple,
        age_seconds_shape: tuple | None = None,
        amounts_shape: tuple | None = None,
    ):
        self.weighing = keras.layers.Dense(
            self.num_values,
            activation="sigmoid",
            dtype=self.dtype_policy,
            name="weighing",
        )
        self.weighing.build((None, None, details_shape[-1]))
        self.log_time_constant = None
        if age_seconds_shape is not None:
            self.log_time_constant = self.add_weight(
                (self.num_values,),
                self._spaced,
                name="log_time_constant",
            )

    def _spaced(self, shape: tuple, dtype: Any = None) -> Any:
        first = math.log(self.min_time_constant)
        last = math.log(self.max_time_constant)
        return ops.linspace(first, last, shape[0], dtype=dtype)

    def call(
        self, details: Any, age_seconds: Any = None, amounts: Any = None
    ) -> Any:
        left = self._left(details, age_seconds)
        # As one matrix: a dense layer works the shape of events out again.
        flat = ops.reshape(details, (-1, details.shape[-1]))
        learned = self.weighing(ops.cast(flat, self.compute_dtype))
        shape = (-1, ops.shape(details)[1], self.num_values)
        learned = ops.reshape(learned, shape)
        parts = [left * learned]
        if amounts is not None:
            amounts = ops.maximum(ops.cast(amounts, "float32"), 0.0)
            amounts = ops.cast(ops.log1p(amounts), self.compute_dtype)
            parts += [
                left * amount[..., None]
                for amount in ops.unstack(amounts, axis=-1)
            ]
        return ops.concatenate(parts, axis=-1)

    def _left(self, details: Any, age_seconds: Any) -> Any:
        """What age leaves of each value, (B, L, V)."""
        if self.log_time_constant is None:
            shape = (*ops.shape(details)[:-1], self.num_values)
            return ops.ones(shape, self.compute_dtype)
        rate = ops.exp(-ops.cast(self.log_time_constant, "float32"))
        age = ops.maximum(ops.cast(age_seconds, "float32"), 0.0)
        left = ops.exp(-age[..., None] * rate)
        return ops.cast(left, self.compute_dtype)

    def compute_output_shape(
        self,
        details_shape: tuple,
        age_seconds_shape: tuple | None = None,
        amounts_shape: tuple | None = None,
    ) -> tuple:
        num_amounts = amounts_shape[-1] if amounts_shape is not None else 0
        return (*details_shape[:-1], self.num_values * (1 + num_amounts))

    def get_config(self) -> dict:
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            "num_values": self.num_values,
            "min_time_constant": self.min_time_constant,
            "max_time_constant": self.max_time_constant,
        }
