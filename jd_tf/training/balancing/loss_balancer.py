"""Fixed loss weights, and the interface of all balancers."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from jd_tf.columns import SchemaError


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

    def weights(
        self, losses: tf.Tensor, sample_weight_sums: tf.Tensor
    ) -> tf.Tensor:
        """The weights of this step; no gradient flows through them.

        Args:
            losses: (T,) the objectives' mean losses.
            sample_weight_sums: (T,); 0: not in this batch.

        Returns:
            (T,) float32.
        """
        del losses, sample_weight_sums
        return tf.constant(self.objective_weights, tf.float32)

    def total(
        self,
        losses: tf.Tensor,
        sample_weight_sums: tf.Tensor,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """The scalar to minimise.

        Args:
            losses: (T,) the objectives' mean losses.
            sample_weight_sums: (T,); 0: not in this batch.
            weights: (T,) of `weights`.
        """
        del sample_weight_sums
        return tf.reduce_sum(losses * weights)

    def observe(
        self,
        losses: tf.Tensor,
        sample_weight_sums: tf.Tensor,
        norms: tf.Tensor,
    ) -> None:
        """Takes in what a step did; this one learns nothing from it.

        Args:
            losses: (T,) the objectives' mean losses, not weighted.
            sample_weight_sums: (T,); 0: not in this batch.
            norms: (T,) norms of the gradients of `losses` by what all
                objectives share.
        """
