"""Logits over all impressions from conditional logits."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_given, check_int, check_logits

# Logarithms of conditional amounts stay between its two signs: 9 million
# times the unit, or a part of it.
_LARGEST = 16.0


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

    The last objectives may be amounts, such as the price paid: a "logit" is
    the logarithm of an expected amount in some unit, and

        log E[amount] = log sigmoid(a) + log E[amount | given].

    Conditional logarithms b are bounded, as 16 tanh(b / 16): their exponential
    does not overflow, and there is a slope to come back by.

    Args:
        given: tuple of ints. For each objective the index of the one it is
            conditioned on, which must come before it, or -1 for none.
        num_amounts: int. Amounts among them, the last; none is conditioned
            on an amount.

    Call arguments:
        inputs: (..., T) float. Logits, conditional where `given` is not -1.

    Returns:
        (..., T) float. Logits, and logarithms, over all impressions.

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

    def __init__(self, given: tuple, num_amounts: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.given = check_given(given)
        self.num_amounts = check_int("num_amounts", num_amounts, 0)
        self._num_outcomes = len(self.given) - self.num_amounts
        if max(self.given) >= self._num_outcomes or not self._num_outcomes:
            raise ValueError(
                "`given` must be indices of outcomes, which come before the "
                f"{num_amounts} amounts. Got: {self.given}."
            )

    def build(self, inputs_shape: tuple):
        check_logits(inputs_shape, self.given)

    def call(self, inputs: Any) -> Any:
        # In float32: half precision has three digits for a sum of logits.
        conditional = ops.cast(inputs, "float32")
        logits: list[Any] = []
        for index, parent in enumerate(self.given):
            logit = conditional[..., index]
            if index >= self._num_outcomes:
                logit = _LARGEST * ops.tanh(logit / _LARGEST)
                if parent >= 0:
                    logit += ops.log_sigmoid(logits[parent])
            elif parent >= 0:
                # exp(-b) + exp(-a - b) is exp(-b) (1 + exp(-a)).
                given = logits[parent]
                logit -= ops.softplus(-given)
                logit -= ops.softplus(logit - given)
                # Rounding must not make it likelier than its condition.
                logit = ops.minimum(given, logit)
            logits.append(logit)
        return ops.cast(ops.stack(logits, axis=-1), self.compute_dtype)

    def expected(self, logits: Any) -> Any:
        """Returns probabilities, and amounts, (..., T) of what it returned."""
        return expectations(logits, self.num_amounts)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)


def expectations(logits: Any, num_amounts: int = 0) -> Any:
    """Returns sigmoids of (..., T) logits, but exponentials of the amounts'."""
    if not num_amounts:
        return ops.sigmoid(logits)
    # Padding may hold anything, and must not become infinite.
    logarithms = ops.minimum(logits[..., -num_amounts:], _LARGEST)
    parts = ops.sigmoid(logits[..., :-num_amounts]), ops.exp(logarithms)
    return ops.concatenate(parts, axis=-1)
