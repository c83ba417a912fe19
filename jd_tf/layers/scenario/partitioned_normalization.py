"""Vectors normalized with a scale and shift for each scenario."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int

_EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="jd_tf")
class PartitionedNormalization(BaseLayer):
    """Brings vectors to mean 0 and variance 1, then to their scenario's scale.

        y = (gamma * gamma_s) (x - mean) / sqrt(var + e) + (beta + beta_s)

    Mean and variance are of the vector's own entries. The paper takes them
    over the batch, which would mix requests, count padding and need a batch
    of one scenario.

    Args:
        num_scenarios: int. Scenarios S.

    Call arguments:
        inputs: (B, D) or (B, N, D) float.
        scenarios: (B,) integer from 0; others count as the nearest.

    Returns:
        As `inputs`.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> layer = PartitionedNormalization(num_scenarios=3)
        >>> print(np.round(layer(np.array([[1.0, 3.0]]), np.array([2])), 2))
        [[-1.  1.]]

    References:
        One Model to Serve All: Star Topology Adaptive Recommender for
        Multi-Domain CTR Prediction. Sheng et al., CIKM 2021 (equation 4).
    """

    def __init__(self, num_scenarios: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_scenarios = check_int("num_scenarios", num_scenarios, 1)

    def build(self, inputs_shape: tuple, scenarios_shape: tuple):
        width, number = inputs_shape[-1], self.num_scenarios
        self.gamma = self.add_weight((width,), "ones", name="gamma")
        self.beta = self.add_weight((width,), "zeros", name="beta")
        self.scenario_gamma = self.add_weight(
            (number, width), "ones", name="scenario_gamma"
        )
        self.scenario_beta = self.add_weight(
            (number, width), "zeros", name="scenario_beta"
        )

    def call(self, inputs: Any, scenarios: Any) -> Any:
        # Half precision has too few digits for a variance.
        x = ops.cast(inputs, "float32")
        x -= ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
        x *= ops.rsqrt(variance + _EPSILON)
        scale, shift = (
            of_scenarios(ops.cast(own, "float32"), scenarios)
            for own in (self.scenario_gamma, self.scenario_beta)
        )
        scale *= ops.cast(self.gamma, "float32")
        shift += ops.cast(self.beta, "float32")
        if len(inputs.shape) > 2:
            scale, shift = scale[:, None], shift[:, None]
        return ops.cast(x * scale + shift, self.compute_dtype)

    def compute_output_shape(
        self, inputs_shape: tuple, scenarios_shape: tuple
    ) -> tuple:
        return tuple(inputs_shape)


def of_scenarios(weights: Any, scenarios: Any) -> Any:
    """Returns the weights (S, ...) of each request's scenario, (B, ...).

    As a product, whose gradient is dense: scenarios are few, and optimizers
    take sparse gradients for those of embedding tables.
    """
    number = weights.shape[0]
    chosen = ops.clip(ops.cast(scenarios, "int32"), 0, number - 1)
    chosen = ops.one_hot(chosen, number, dtype=weights.dtype)
    flat = ops.matmul(chosen, ops.reshape(weights, (number, -1)))
    return ops.reshape(flat, (-1, *weights.shape[1:]))
