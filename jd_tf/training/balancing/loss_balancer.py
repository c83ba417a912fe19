"""How much each objective counts in the sum that is minimised."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from jd_tf.columns import SchemaError


class LossBalancer:
    """Fixed weights, and the interface of all balancers.

    A balancer is asked once a step for the objectives' weights, and shown how
    hard each pulled. What it remembers lives in `variables`, so that a
    checkpoint holds it and a resumed run balances as an uninterrupted one.
    What it learns by gradient goes in `trainable_variables`, and `total` says
    how; the optimizer of the network takes its steps.

    Args:
        objective_names: T names.
        objective_weights: T floats >= 0, or () for 1 each.
    """

    # Whether weights depend on what `observe` is told.
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

    def total(
        self, losses: tf.Tensor, masses: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """The scalar to minimise.

        Args:
            losses: (T,) the objectives' mean losses.
            masses: (T,) sums of sample weights; 0: not in this batch.
            weights: (T,) of `weights`.
        """
        del masses
        return tf.reduce_sum(losses * weights)

    def observe(
        self, losses: tf.Tensor, masses: tf.Tensor, norms: tf.Tensor
    ) -> None:
        """Shown what a step did; this one learns nothing from it.

        Args:
            losses: (T,) the objectives' mean losses, not weighted.
            masses: (T,) sums of sample weights; 0: not in this batch.
            norms: (T,) norms of the gradients of `losses` by what all
                objectives share.
        """
