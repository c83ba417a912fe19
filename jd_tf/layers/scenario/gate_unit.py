"""Factors of features, chosen by other features."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_positive


@keras.saving.register_keras_serializable(package="jd_tf")
class GateUnit(BaseLayer):
    """Computes factors between 0 and `scale`: scale * sigmoid(W' relu(W x)).

    With a scale of 2 it starts around 1: features pass.

    Args:
        output_dim: int. Factors K.
        hidden_dim: int. Width of the hidden layer.
        scale: float. Largest factor.

    Call arguments:
        inputs: (..., D) float.

    Returns:
        (..., K) float.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> GateUnit(output_dim=4, hidden_dim=8)(np.ones((1, 3))).shape
        TensorShape([1, 4])

    References:
        PEPNet: Parameter and Embedding Personalized Network for Infusing with
        Personalized Prior Information. Chang et al., KDD 2023 (equations 1
        and 2).
    """

    def __init__(
        self,
        output_dim: int,
        hidden_dim: int,
        scale: float = 2.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.output_dim = check_int("output_dim", output_dim, 1)
        self.hidden_dim = check_int("hidden_dim", hidden_dim, 1)
        self.scale = check_positive("scale", scale)

    def build(self, inputs_shape: tuple):
        self.hidden = self.add_dense(
            "hidden", inputs_shape[-1], self.hidden_dim, activation="relu"
        )
        self.gates = self.add_dense(
            "gates", self.hidden_dim, self.output_dim, activation="sigmoid"
        )

    def call(self, inputs: Any) -> Any:
        lead = ops.shape(inputs)[:-1]
        flat = ops.reshape(inputs, (-1, inputs.shape[-1]))
        gates = self.scale * self.gates(self.hidden(flat))
        return ops.reshape(gates, (*lead, self.output_dim))

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return (*inputs_shape[:-1], self.output_dim)
