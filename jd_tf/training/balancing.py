"""How much each objective counts in the sum that is minimised."""

from collections.abc import Sequence

import tensorflow as tf

from jd_tf.columns import SchemaError


class LossBalancer:
    """Fixed weights, and the interface of all balancers.

    A balancer is asked once a step for the objectives' weights. What it
    remembers lives in `variables`, so that a checkpoint holds it and a
    resumed run balances as an uninterrupted one. What it learns by gradient
    goes in `trainable_variables`, and `total` says how.

    Args:
        objective_names: T names.
        objective_weights: T floats >= 0, or () for 1 each.
    """

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
        self.trainable_variables: list[tf.Variable] = []

    def weights(self, losses: tf.Tensor, masses: tf.Tensor) -> tf.Tensor:
        """The weights of this step; no gradient flows through them.

        Args:
            losses: (T,) the objectives' mean losses.
            masses: (T,) sums of sample weights; 0: not in this batch.

        Returns:
            (T,) float32.
        """
        del losses, masses
        return tf.constant(self.objective_weights, tf.float32)

    def total(self, losses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The scalar to minimise.

        Args:
            losses: (T,) the objectives' mean losses.
            weights: (T,) of `weights`.
        """
        return tf.reduce_sum(losses * weights)
