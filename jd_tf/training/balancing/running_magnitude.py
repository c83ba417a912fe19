"""Loss weights that bring objectives to one magnitude."""

from collections.abc import Sequence

import tensorflow as tf

from jd_tf.training.balancing.loss_balancer import LossBalancer

_SMALLEST_MEAN = 1e-6


class RunningMagnitude(LossBalancer):
    """Divides each objective's loss by its own running mean.

    A rare objective has a small loss and small gradients: one order in a
    hundred impressions costs 0.06 where clicks cost 0.5. Divided by its
    running mean each starts a step at about 1, and the fixed weights follow
    what is wanted rather than what is frequent.

        mean = sum_s decay^(t - s) loss_s / sum_s decay^(t - s)

    over the steps s that had samples of the objective; the denominator
    corrects the bias of the first steps. No gradient flows through it.

    Args:
        objective_names: T names.
        objective_weights: T floats >= 0, or () for 1 each.
        decay: float, of the mean; 0.99 remembers about 100 steps.

    Example:
    >>> balancer = RunningMagnitude(("click", "order"))
    >>> losses = tf.constant([0.5, 0.25])
    >>> balancer.weights(losses, tf.ones(2)).numpy().tolist()
    [2.0, 4.0]
    """

    def __init__(
        self,
        objective_names: Sequence[str],
        objective_weights: Sequence[float] = (),
        decay: float = 0.99,
    ):
        super().__init__(objective_names, objective_weights)
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` must be in [0, 1). Got: {decay}.")
        self.decay = decay
        zeros = tf.zeros(len(self.objective_names))
        self.variables = {
            "sums": tf.Variable(zeros, trainable=False, name="sums"),
            "counts": tf.Variable(zeros, trainable=False, name="counts"),
        }

    def weights(
        self, losses: tf.Tensor, sample_weight_sums: tf.Tensor
    ) -> tf.Tensor:
        """Takes this step into the means and returns fixed weight / mean."""
        losses = tf.stop_gradient(losses)
        present = sample_weight_sums > 0
        sums, counts = self.variables["sums"], self.variables["counts"]
        new_sums = self.decay * sums + losses
        new_counts = self.decay * counts + 1.0
        sums.assign(tf.where(present, new_sums, sums))
        counts.assign(tf.where(present, new_counts, counts))
        means = tf.math.divide_no_nan(sums, counts)
        # An objective not met yet has no mean; its loss is 0 anyway.
        means = tf.where(counts > 0, means, tf.ones_like(means))
        fixed = tf.constant(self.objective_weights, tf.float32)
        return fixed / tf.maximum(means, _SMALLEST_MEAN)
