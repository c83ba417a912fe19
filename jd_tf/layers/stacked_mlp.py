"""Several equal networks side by side, run as one."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_rate, check_units


@keras.saving.register_keras_serializable(package="jd_tf")
class StackedMLP(keras.layers.Layer):
    """Runs S multi-layer perceptrons, each on its own slice, at once.

    Slice s of the last but one axis goes through network s: the experts of
    a mixture, or the towers of several objectives. Each layer of all S
    networks is one batched product, and the slices are brought to the front
    once for the whole stack instead of once a layer.

    Args:
        units: tuple of ints. Widths of each network, first layer first.
        activation: str or callable. Of every layer but the last.
        last_activation: str, callable or None. Of the last layer.
        dropout_rate: float. Dropout after every layer but the last.

    Call arguments:
        inputs: (..., S, D) float, at least three axes.
        training: bool. Whether dropout is active.

    Returns:
        (..., S, units[-1]) float.

    Raises:
        ValueError: an argument out of range, or S or D unknown.
    """

    def __init__(
        self,
        units: tuple,
        activation: Any = "relu",
        last_activation: Any = None,
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = check_units("units", units)
        self.activation = keras.activations.get(activation)
        self.last_activation = keras.activations.get(last_activation)
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)

    def build(self, inputs_shape: tuple):
        num_slices, dim = inputs_shape[-2:]
        if num_slices is None or dim is None:
            raise ValueError(
                "The last two axes of `inputs` must be known. "
                f"Got: {tuple(inputs_shape)}."
            )
        self.kernels, self.biases = [], []
        for index, units in enumerate(self.units):
            # Keras takes the first axis of a kernel for a convolution's
            # window and divides by it; the scale takes that back.
            glorot = keras.initializers.VarianceScaling(
                num_slices, "fan_avg", "uniform"
            )
            self.kernels.append(
                self.add_weight(
                    (num_slices, dim, units), glorot, name=f"kernel_{index}"
                )
            )
            self.biases.append(
                self.add_weight(
                    (num_slices, 1, units), "zeros", name=f"bias_{index}"
                )
            )
            dim = units
        self.dropout = keras.layers.Dropout(
            self.dropout_rate, dtype=self.dtype_policy, name="dropout"
        )
        self.dropout.build((num_slices, None, None))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        shape = ops.shape(inputs)
        num_slices, dim = inputs.shape[-2:]
        hidden = ops.reshape(inputs, (-1, num_slices, dim))
        hidden = ops.transpose(hidden, (1, 0, 2))
        last = len(self.units) - 1
        for index, (kernel, bias) in enumerate(
            zip(self.kernels, self.biases, strict=True)
        ):
            kernel = ops.cast(kernel, self.compute_dtype)
            bias = ops.cast(bias, self.compute_dtype)
            hidden = ops.matmul(hidden, kernel) + bias
            if index < last:
                hidden = self.activation(hidden)
                hidden = self.dropout(hidden, training=training)
        hidden = ops.transpose(self.last_activation(hidden), (1, 0, 2))
        return ops.reshape(hidden, (*shape[:-1], self.units[-1]))

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return (*inputs_shape[:-1], self.units[-1])

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
            "last_activation": keras.activations.serialize(
                self.last_activation
            ),
            "dropout_rate": self.dropout_rate,
        }
