"""Logits over all impressions from conditional logits."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_given, check_logits


def bounded(values: Any, given: Sequence[int]) -> Any:
    """Limits each objective of (..., T) by the one it presupposes, or -1.

    For probabilities too: two equal logits can have sigmoids that differ in
    the last bit, depending on their place in the tensor.
    """
    found = ops.unstack(values, len(given), axis=-1)
    for index, parent in enumerate(given):
        if parent >= 0:
            found[index] = ops.minimum(found[index], found[parent])
    return ops.stack(found, axis=-1)


@keras.saving.register_keras_serializable(package="jd_tf")
class EntireSpaceLogits(BaseLayer):
    """Turns logits of p(t | given) into logits of p(t) = p(given) p(t | given).

    An order follows a click. Learning it on clicks alone leaves out the
    impressions that were not clicked, which serving must rank too; here both
    factors learn from every impression. Chains are allowed: click, cart
    given click, order given cart. No probability is computed: with a and b
    the two logits,

        logit(sigmoid(a) sigmoid(b)) = -log(exp(-a) + exp(-b) + exp(-a - b)),

    taken as two softplus, which never overflow and whose gradients add up to
    between 1 and 2. The layer has no weights.

    Args:
        given: tuple of ints. For each objective the index of the one it is
            conditioned on, which must come before it, or -1 for none.

    Call arguments:
        inputs: (..., T) float. Logits, conditional where `given` is not -1.

    Returns:
        (..., T) float. Logits over all impressions.

    Raises:
        ValueError: an index out of range or not before its own place, or
            `inputs` not of T logits.

    Example:
        >>> layer = EntireSpaceLogits(given=(-1, 0))  # an order needs a click
        >>> logits = layer(np.zeros((1, 3, 2)))  # 1/2 and 1/2 given a click
        >>> print(np.round(1 / (1 + np.exp(-logits[0, 0])), 2))
        [0.5  0.25]

    References:
        Entire Space Multi-Task Model: An Effective Approach for Estimating
        Post-Click Conversion Rate. Ma et al., SIGIR 2018 (equation 1).
    """

    def __init__(self, given: tuple, **kwargs):
        super().__init__(**kwargs)
        self.given = check_given(given)

    def build(self, inputs_shape: tuple):
        check_logits(inputs_shape, self.given)

    def call(self, inputs: Any) -> Any:
        # In float32: half precision has three digits for a sum of logits.
        conditional = ops.cast(inputs, "float32")
        logits: list[Any] = []
        for index, parent in enumerate(self.given):
            logit = conditional[..., index]
            if parent >= 0:
                # exp(-b) + exp(-a - b) is exp(-b) (1 + exp(-a)).
                given = logits[parent]
                logit -= ops.softplus(-given)
                logit -= ops.softplus(logit - given)
                # Rounding must not make it likelier than its condition.
                logit = ops.minimum(given, logit)
            logits.append(logit)
        return ops.cast(ops.stack(logits, axis=-1), self.compute_dtype)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)
