"""Loss weights by the uncertainty of objectives."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from jd_tf.training.balancing.loss_balancer import LossBalancer

# No objective's weight leaves [exp(-8), exp(8)], about 1 / 3000 to 3000.
_MOST = 8.0


class Uncertainty(LossBalancer):
    """Learns a variance for each objective and divides its loss by it.

    For classification:

        total = sum_t share_t (exp(-s_t) loss_t + s_t / 2)

    with s_t = log variance_t learned beside the network, from 0, and bounded
    by a tanh. It is least at exp(-s_t) = 1 / (2 loss_t), so in the long run
    each objective adds the same, whatever its magnitude; until then it moves
    at the learning rate, which smooths what a running mean would follow. An
    objective without samples in a batch leaves its own variance alone.

    Args:
        objective_names: T names.
        objective_weights: T floats >= 0, or () for 1 each; the shares.

    Example:
    >>> balancer = Uncertainty(("click", "order"), (1.0, 4.0))
    >>> balancer.weights(tf.ones(2), tf.ones(2)).numpy().tolist()
    [1.0, 4.0]

    References:
        Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to
        Weigh Losses for Scene Geometry and Semantics" (CVPR 2018).
    """

    def __init__(
        self,
        objective_names: Sequence[str],
        objective_weights: Sequence[float] = (),
    ):
        super().__init__(objective_names, objective_weights)
        count = len(self.objective_names)
        self.log_variances = keras.Variable(
            tf.zeros(count), name="log_variances"
        )
        self.trainable_variables = [self.log_variances]

    def weights(
        self, losses: tf.Tensor, sample_weight_sums: tf.Tensor
    ) -> tf.Tensor:
        """Shares over variances, as the steps before have led to."""
        del losses, sample_weight_sums
        fixed = tf.constant(self.objective_weights, tf.float32)
        return tf.stop_gradient(fixed * tf.exp(-self._bounded()))

    def total(
        self,
        losses: tf.Tensor,
        sample_weight_sums: tf.Tensor,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """The weighted losses, and what large variances cost."""
        del weights
        fixed = tf.constant(self.objective_weights, tf.float32)
        fixed = tf.where(sample_weight_sums > 0, fixed, tf.zeros_like(fixed))
        spread = self._bounded()
        return tf.reduce_sum(fixed * (tf.exp(-spread) * losses + spread / 2))

    def _bounded(self) -> tf.Tensor:
        # Not cut off: beyond a cut is no slope to come back by.
        spread = tf.convert_to_tensor(self.log_variances)
        return _MOST * tf.tanh(spread / _MOST)
