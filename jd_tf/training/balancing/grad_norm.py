"""Loss weights that level the gradient norms of objectives (GradNorm)."""

from collections.abc import Sequence

import tensorflow as tf

from jd_tf.columns import SchemaError
from jd_tf.training.balancing.loss_balancers import LossBalancer, check_decay

_SMALLEST = 1e-8
# Share of the way to its target that the logarithm of a weight goes in a step.
_RATE = 0.05
# Steps whose mean is an objective's first loss.
_FIRST_STEPS = 20


class GradNorm(LossBalancer):
    """Learns weights under which every objective's gradient has its share.

    With norm_t the norm of the weighted loss' gradient by something all
    objectives read, an objective should have its share (its fixed weight) of
    the mean norm, more if it has learned less than the others:

        target_t = share_t * mean norm * rate_t ^ strength
        rate_t   = (loss_t / first loss_t) / weighted mean of these

    where `first loss` is the mean of the first steps that had samples of the
    objective: a single batch may hold none, or one. Two things differ from
    the paper. It follows the gradient of sum |norm_t - target_t| by the
    weights at a rate to be tuned; norm_t is weight_t times the norm of the
    unweighted gradient, so the weights at which that sum is 0 are known, and
    here each goes a step towards its own in the logarithm, for any
    magnitude of the losses: one that is 10,000 times smaller than another
    takes no longer. And norms are running means, as those of an objective of
    which a batch holds one positive or none jump by more than the differences
    to be balanced.

    Weights add up to as much as the fixed ones. Each step calls `observe`
    with the norms of its unweighted losses; weights of the next step follow.

    Args:
        objective_names: T names.
        objective_weights: T floats >= 0, or () for 1 each; the shares. An
            objective of 0 stays out.
        strength: float >= 0, how much more those that learn slowly get.
        decay: float in [0, 1), of the running means of norms and losses.

    Example:
    >>> balancer = GradNorm(("click", "order"))
    >>> losses, present = tf.constant([0.5, 0.5]), tf.ones(2)
    >>> balancer.observe(losses, present, norms=tf.constant([1.0, 9.0]))
    >>> weights = balancer.weights(losses, present).numpy()
    >>> bool(weights[0] > 1 > weights[1])
    True

    References:
        Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss
        Balancing in Deep Multitask Networks" (ICML 2018).
    """

    needs_norms = True

    def __init__(
        self,
        objective_names: Sequence[str],
        objective_weights: Sequence[float] = (),
        strength: float = 0.5,
        decay: float = 0.98,
    ):
        super().__init__(objective_names, objective_weights)
        if not any(self.objective_weights):
            raise SchemaError("one of `objective_weights` must be above 0.")
        if not strength >= 0:
            raise ValueError(f"`strength` must be >= 0. Got: {strength}.")
        check_decay(decay)
        self.strength = strength
        self.decay = decay
        # Sums of decayed steps and of what they held, as in any mean that
        # must be right from the first step on.
        self._add_variables("norms", "losses", "counts", "first", "steps")
        self._add_variables("weights")
        self.variables["weights"].assign(self.fixed)

    def weights(self, losses: tf.Tensor, weight_sums: tf.Tensor) -> tf.Tensor:
        """Returns the weights that the steps before have led to."""
        return tf.convert_to_tensor(self.variables["weights"])

    def observe(
        self, losses: tf.Tensor, weight_sums: tf.Tensor, norms: tf.Tensor
    ) -> None:
        """Moves the weights of the next step; no gradient flows through it."""
        state = self.variables
        losses, norms = tf.stop_gradient(losses), tf.stop_gradient(norms)
        # A step that is not finite must not stay in the means for good.
        finite = tf.math.is_finite(losses) & tf.math.is_finite(norms)
        present = (weight_sums > 0) & finite & (self.fixed > 0)
        for name, found in (
            ("norms", norms),
            ("losses", losses),
            ("counts", 1.0),
        ):
            mean = self.decay * state[name] + found
            state[name].assign(tf.where(present, mean, state[name]))
        early = present & (state["steps"] < _FIRST_STEPS)
        state["first"].assign_add(tf.where(early, losses, 0.0))
        state["steps"].assign_add(tf.cast(early, tf.float32))

        known = state["counts"] > 0
        norm = tf.math.divide_no_nan(state["norms"], state["counts"])
        weights = tf.convert_to_tensor(state["weights"])
        targets = self._targets(known, weights * norm)
        # No weight helps one whose gradient is nothing.
        known &= norm > _SMALLEST
        wanted = targets / tf.maximum(norm, _SMALLEST)
        way = tf.math.log(tf.maximum(wanted, _SMALLEST))
        way -= tf.math.log(tf.maximum(weights, _SMALLEST))
        moved = tf.where(known, weights * tf.exp(_RATE * way), weights)
        total = tf.reduce_sum(self.fixed)
        state["weights"].assign(moved * total / tf.reduce_sum(moved))

    def _targets(self, known: tf.Tensor, norms: tf.Tensor) -> tf.Tensor:
        """Returns the gradient norm each weighted objective should have."""
        state = self.variables
        share = tf.where(known, self.fixed, 0.0)
        share = tf.math.divide_no_nan(share, tf.reduce_sum(share))
        first = tf.math.divide_no_nan(state["first"], state["steps"])
        loss = tf.math.divide_no_nan(state["losses"], state["counts"])
        left = tf.math.divide_no_nan(loss, first)
        rate = tf.math.divide_no_nan(left, tf.reduce_sum(share * left))
        return share * tf.reduce_sum(norms) * tf.pow(rate, self.strength)
