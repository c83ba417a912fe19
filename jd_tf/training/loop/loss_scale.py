"""The scale of losses whose gradients pass through float16."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from jd_tf.training.gradients import Gradient, scaled

_FIRST = 2.0**15
_GROWTH_STEPS = 2000


class LossScale:
    """A factor of the loss that keeps small gradients from becoming 0.

    float16 has nothing between 0 and 6e-8. Losses are multiplied by the scale
    before gradients are taken, and gradients divided by it after. Gradients
    that overflowed are not applied: the step is skipped and the scale halved;
    after 2,000 steps in a row it is doubled. Under a policy that computes in
    float32 or bfloat16, which have the same range, there is no scale.

    Args:
        model: whose policy decides.

    Example:
    >>> import keras
    >>> layer = keras.layers.Dense(1, dtype="mixed_float16")
    >>> float(LossScale(layer).value), LossScale(keras.layers.Dense(1)).active
    (32768.0, False)

    References:
        Micikevicius et al., "Mixed Precision Training" (ICLR 2018).
    """

    def __init__(self, model: keras.layers.Layer):
        self.active = model.compute_dtype == "float16"
        first = _FIRST if self.active else 1.0
        self.value = tf.Variable(first, trainable=False, name="loss_scale")
        self._steps = tf.Variable(0, trainable=False, name="loss_scale_steps")

    def scaled(self, losses: tf.Tensor) -> tf.Tensor:
        """Multiplies losses by the scale."""
        return losses * self.value if self.active else losses

    def unscaled(
        self, gradients: Sequence[Gradient | None]
    ) -> list[Gradient | None]:
        """Divides gradients of scaled losses by the scale."""
        if not self.active:
            return list(gradients)
        factor = 1.0 / self.value
        return [g if g is None else scaled(g, factor) for g in gradients]

    def overflowed(self, norms: tf.Tensor) -> tf.Tensor:
        """Returns whether the scale is too large for gradients (V,).

        At a scale of 1 it is not: then the numbers themselves are wrong.
        """
        return ~tf.reduce_all(tf.math.is_finite(norms)) & (self.value > 1.0)

    def update(self, overflowed: tf.Tensor) -> None:
        """Halves the scale, or counts a good step."""
        steps = tf.where(overflowed, 0, self._steps + 1)
        grow = steps >= _GROWTH_STEPS
        factor = tf.where(overflowed, 0.5, tf.where(grow, 2.0, 1.0))
        self.value.assign(tf.maximum(self.value * factor, 1.0))
        self._steps.assign(tf.where(grow, 0, steps))

    def named_variables(self) -> dict[str, tf.Variable]:
        """Returns its variables by name, none without a scale."""
        if not self.active:
            return {}
        return {"loss_scale/value": self.value, "loss_scale/steps": self._steps}
