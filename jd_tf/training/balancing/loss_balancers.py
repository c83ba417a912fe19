"""Loss weights of objectives: fixed, by running means, by uncertainty."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from jd_tf.columns import SchemaError

_SMALLEST_MEAN = 1e-6
# No weight of `Uncertainty` leaves [exp(-8), exp(8)], about 1 / 3000 to 3000.
_MAX_SPREAD = 8.0


class LossBalancer:
    """Fixed weights of objectives in the loss; base of all balancers.

    Once a step a balancer returns the objectives' weights, and is given the
    norms of their gradients. Its state lives in `variables`, so that a
    checkpoint holds it and a resumed run balances as an uninterrupted one.
    What it learns by gradient goes in `trainable_variables`, through `total`;
    the optimizer of the network takes its steps.

    Args:
        objective_names: T names.
        objective_weights: T floats >= 0, or () for 1 each.

    Example:
    >>> balancer = LossBalancer(("click", "order"), (1.0, 4.0))
    >>> losses, weight_sums = tf.constant([0.5, 0.25]), tf.constant([9.0, 9.0])
    >>> weights = balancer.weights(losses, weight_sums)
    >>> float(balancer.total(losses, weight_sums, weights))
    1.5
    """

    # Whether weights depend on what `observe` is given.
    needs_norms = False

    def __init__(
        self,
        objective_names: Sequence[str],
        objective_weights: Sequence[float] = (),
    ):
        weights = tuple(objective_weights) or (1.0,) * len(objective_names)
        if len(weights) != len(objective_names) or min(weights) < 0:
            raise SchemaError(
                "`objective_weights` needs a number >= 0 for each of "
                f"{tuple(objective_names)}. Got: {weights}."
            )
        self.objective_names = tuple(objective_names)
        self.objective_weights = weights
        self.variables: dict[str, tf.Variable] = {}
        self.trainable_variables: list[keras.Variable] = []

    @property
    def fixed(self) -> tf.Tensor:
        """The objectives' fixed weights, (T,) float32."""
        return tf.constant(self.objective_weights, tf.float32)

    def weights(self, losses: tf.Tensor, weight_sums: tf.Tensor) -> tf.Tensor:
        """Returns the weights of this step; no gradient flows through them.

        Args:
            losses: (T,) the objectives' mean losses.
            weight_sums: (T,) of their samples; 0: not in this batch.

        Returns:
            (T,) float32.
        """
        return self.fixed

    def total(
        self, losses: tf.Tensor, weight_sums: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """Returns the scalar to minimise; `weights` are those of `weights`."""
        return tf.reduce_sum(losses * weights)

    def observe(
        self, losses: tf.Tensor, weight_sums: tf.Tensor, norms: tf.Tensor
    ) -> None:
        """Takes in what a step did; this one learns nothing from it.

        `norms`, (T,), are those of the gradients of `losses` by what all
        objectives share.
        """

    def _add_variables(self, *names: str) -> None:
        """Adds (T,) zeros to the state."""
        zeros = tf.zeros(len(self.objective_names))
        for name in names:
            variable = tf.Variable(zeros, trainable=False, name=name)
            self.variables[name] = variable


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
        check_decay(decay)
        self.decay = decay
        self._add_variables("sums", "counts")

    def weights(self, losses: tf.Tensor, weight_sums: tf.Tensor) -> tf.Tensor:
        """Takes this step into the means and returns fixed weight / mean."""
        losses = tf.stop_gradient(losses)
        present = weight_sums > 0
        sums, counts = self.variables["sums"], self.variables["counts"]
        new_sums = self.decay * sums + losses
        new_counts = self.decay * counts + 1.0
        sums.assign(tf.where(present, new_sums, sums))
        counts.assign(tf.where(present, new_counts, counts))
        means = tf.math.divide_no_nan(sums, counts)
        # An objective not met yet has no mean; its loss is 0 anyway.
        means = tf.where(counts > 0, means, tf.ones_like(means))
        return self.fixed / tf.maximum(means, _SMALLEST_MEAN)


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
        self.log_variances = keras.Variable(
            tf.zeros(len(self.objective_names)), name="log_variances"
        )
        self.trainable_variables = [self.log_variances]

    def weights(self, losses: tf.Tensor, weight_sums: tf.Tensor) -> tf.Tensor:
        """Returns shares over variances, as the steps before have led to."""
        return tf.stop_gradient(self.fixed * tf.exp(-self._spread()))

    def total(
        self, losses: tf.Tensor, weight_sums: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """Returns the weighted losses and the cost of large variances."""
        fixed = tf.where(weight_sums > 0, self.fixed, 0.0)
        spread = self._spread()
        return tf.reduce_sum(fixed * (tf.exp(-spread) * losses + spread / 2))

    def _spread(self) -> tf.Tensor:
        # Not cut off: beyond a cut is no slope to come back by.
        spread = tf.convert_to_tensor(self.log_variances)
        return _MAX_SPREAD * tf.tanh(spread / _MAX_SPREAD)


def check_decay(decay: float) -> None:
    """Raises a ValueError unless `decay` is in [0, 1)."""
    if not 0 <= decay < 1:
        raise ValueError(f"`decay` must be in [0, 1). Got: {decay}.")
