"""Several equal networks side by side, run as one."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_rate, check_units


@keras.saving.register_keras_serializable(package="jd_tf")
class StackedMLP(BaseLayer):
    """Runs S multi-layer perceptrons, each on its own slice, at once.

    Slice s of the last but one axis goes through network s: the experts of
    a mixture, or the towers of several objectives. The weights of a layer are
    one variable for all S networks, but its products are S: TensorFlow runs
    these in parallel, each fused with bias and activation, and on a CPU
    faster than one batched product, forwards and backwards.

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

    Example:
        >>> StackedMLP(units=(16, 4))(np.ones((2, 3, 8))).shape
        TensorShape([2, 3, 4])
    """

    def __init__(
        self,
        units: Sequence[int],
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
            self.kernels.append(
                self.add_weight(
                    (num_slices, dim, units),
                    stacked_glorot(num_slices),
                    name=f"kernel_{index}",
                )
            )
            self.biases.append(
                self.add_weight(
                    (num_slices, 1, units), "zeros", name=f"bias_{index}"
                )
            )
            dim = units
        self.dropout = self.add_part(
            keras.layers.Dropout, "dropout", (None, None), self.dropout_rate
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        shape = ops.shape(inputs)
        num_slices, dim = inputs.shape[-2:]
        inputs = ops.reshape(inputs, (-1, num_slices, dim))
        slices = ops.unstack(inputs, num_slices, axis=1)
        hidden = ops.stack(self.each(slices, training), axis=1)
        return ops.reshape(hidden, (*shape[:-1], self.units[-1]))

    def each(
        self, slices: Sequence[Any], training: bool | None = None
    ) -> list[Any]:
        """Runs every network on its slice (M, D), to (M, units[-1])."""
        hidden, last = list(slices), len(self.units) - 1
        for index in range(last + 1):
            # Cast before they are taken apart: one cast instead of S.
            kernels, biases = (
                ops.unstack(
                    ops.cast(weights[index], self.compute_dtype),
                    len(hidden),
                    axis=0,
                )
                for weights in (self.kernels, self.biases)
            )
            activation = (
                self.activation if index < last else self.last_activation
            )
            hidden = [
                # `bias_add` fuses with the product; a plain sum does not.
                activation(tf.nn.bias_add(ops.matmul(one, kernel), bias[0]))
                for one, kernel, bias in zip(
                    hidden, kernels, biases, strict=True
                )
            ]
            if index < last:
                hidden = [self.dropout(h, training=training) for h in hidden]
        return hidden

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return (*inputs_shape[:-1], self.units[-1])


def stacked_glorot(number: int) -> keras.initializers.Initializer:
    """Returns an initializer of stacked kernels, each as if alone.

    Keras reads the first axis of a three-dimensional kernel as a
    convolution's window and divides by it; the scale undoes that.
    """
    return keras.initializers.VarianceScaling(number, "fan_avg", "uniform")
