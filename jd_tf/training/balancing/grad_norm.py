"""Objectives brought to one pull on what they share (GradNorm)."""

from collections.abc import Sequence

import tensorflow as tf

from jd_tf.columns import SchemaError
from jd_tf.training.balancing.loss_balancer import LossBalancer

_SMALLEST = 1e-8


class GradNorm(LossBalancer):
    """Learns weights under which every objective pulls as hard as it should.

    Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing
    in Deep Multitask Networks" (ICML 2018). The pull of an objective is the
    norm of its weighted loss' gradient by something all objectives read. An
    objective should pull with its share (its fixed weight) of the mean pull,
    more if it has learned less than the others:

        target_t = share_t * mean_pull * rate_t ^ strength
        rate_t   = (loss_t / first loss_t) / weighted mean of these

    where `first loss` is the mean of the first steps that had samples of the
    objective: a single batch may hold none, or one. Two things differ from
    the paper. It follows the gradient of sum |pull_t - target_t| by the
    weights at a rate to be tuned; pull_t is weight_t times the norm of the
    unweighted gradient, so the weights at which that sum is 0 are known, and
    here each goes a step towards its own in the logarithm, for any
    magnitude of the losses: one that is 10,000 times smaller than another
    takes no longer. And norms are running means, as those of an objective of
    which a batch holds one positive or none jump by more than the differences
    to be balanced.

    Weights add up to as much as the fixed ones. They need the gradients, so
    whoever takes the steps calls `observe` with each step's norms, of the
    unweighted losses; weights of the next step follow.

    Args:
        objective_names: T names.
        objective_weights: T floats >= 0, or () for 1 each; the shares. An
            objective of 0 stays out.
        strength: float >= 0, how much more those that learn slowly pull.
        rate: float in (0, 1], share of the way to its target that the
            logarithm of a weight goes in a step.
        decay: float in [0, 1), of the running means of norms and losses.
        first_steps: int, steps whose mean is an objective's first loss.
    """

    needs_norms = True

    def __init__(
        self,
        objective_names: Sequence[str],
        objective_weights: Sequence[float] = (),
        strength: float = 0.5,
        rate: float = 0.05,
        decay: float = 0.98,
        first_steps: int = 20,
    ):
        super().__init__(objective_names, objective_weights)
        if not any(self.objective_weights):
            raise SchemaError("one of `objective_weights` must be above 0.")
        if not strength >= 0:
            raise ValueError(f"`strength` must be >= 0. Got: {strength}.")
        if not 0 < rate <= 1:
            raise ValueError(f"`rate` must be in (0, 1]. Got: {rate}.")
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` must be in [0, 1). Got: {decay}.")
        if first_steps < 1:
            raise ValueError(
                f"`first_steps` must be at least 1. Got: {first_steps}."
            )
        self.strength = strength
        self.rate = rate
        self.decay = decay
        self.first_steps = first_steps
        zeros = tf.zeros(len(self.objective_names))
        self.variables = {
            name: tf.Variable(zeros, trainable=False, name=name)
            # Sums of decayed steps and of what they held, as in any mean
            # that must be right from the first step on.
            for name in ("norms", "losses", "counts", "first", "steps")
        }
        fixed = tf.constant(self.objective_weights, tf.float32)
        self.variables["weights"] = tf.Variable(
            fixed, trainable=False, name="weights"
        )

    def weights(self, losses: tf.Tensor, masses: tf.Tensor) -> tf.Tensor:
        """The weights that the steps before have led to."""
        del losses, masses
        return tf.convert_to_tensor(self.variables["weights"])

    def observe(
        self, losses: tf.Tensor, masses: tf.Tensor, norms: tf.Tensor
    ) -> None:
        """Moves the weights of the next step; no gradient flows through it."""
        kept = self.variables
        losses, norms = tf.stop_gradient(losses), tf.stop_gradient(norms)
        fixed = tf.constant(self.objective_weights, tf.float32)
        # A step that is not finite must not stay in the means for good.
        fine = tf.math.is_finite(losses) & tf.math.is_finite(norms)
        present = (masses > 0) & fine & (fixed > 0)
        for name, found in (("norms", norms), ("losses", losses)):
            mean = self.decay * kept[name] + found
            kept[name].assign(tf.where(present, mean, kept[name]))
        counts = self.decay * kept["counts"] + 1.0
        kept["counts"].assign(tf.where(present, counts, kept["counts"]))
        early = present & (kept["steps"] < self.first_steps)
        zero = tf.zeros_like(losses)
        kept["first"].assign_add(tf.where(early, losses, zero))
        kept["steps"].assign_add(tf.where(early, zero + 1.0, zero))

        known = kept["counts"] > 0
        norm = tf.math.divide_no_nan(kept["norms"], kept["counts"])
        weights = tf.convert_to_tensor(kept["weights"])
        pulls = weights * norm
        targets = self._targets(known, pulls)
        # One whose gradient is nothing is not helped by any weight.
        known &= norm > _SMALLEST
        wanted = targets / tf.maximum(norm, _SMALLEST)
        way = tf.math.log(tf.maximum(wanted, _SMALLEST))
        way -= tf.math.log(tf.maximum(weights, _SMALLEST))
        moved = tf.where(known, weights * tf.exp(self.rate * way), weights)
        total = tf.reduce_sum(fixed)
        kept["weights"].assign(moved * total / tf.reduce_sum(moved))

    def _targets(self, known: tf.Tensor, pulls: tf.Tensor) -> tf.Tensor:
        """(T,) how hard each objective should pull."""
        kept = self.variables
        fixed = tf.constant(self.objective_weights, tf.float32)
        share = tf.where(known, fixed, tf.zeros_like(fixed))
        share = tf.math.divide_no_nan(share, tf.reduce_sum(share))
        first = tf.math.divide_no_nan(kept["first"], kept["steps"])
        loss = tf.math.divide_no_nan(kept["losses"], kept["counts"])
        left = tf.math.divide_no_nan(loss, first)
        rate = tf.math.divide_no_nan(left, tf.reduce_sum(share * left))
        return share * tf.reduce_sum(pulls) * tf.pow(rate, self.strength)
