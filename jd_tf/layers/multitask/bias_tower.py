"""Position bias of an impression's logits."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_units


@keras.saving.register_keras_serializable(package="jd_tf")
class BiasTower(BaseLayer):
    """Computes the position's part of an impression's logits.

    A shallow network over position, page and the like, added to the main
    logits in training and left out in serving, so that the main network
    need not explain why the first place is clicked more. Starts at exactly
    zero effect, and its last layer has no bias: an objective's overall rate
    is learned by the main network.

    Args:
        num_values: dict of str to int. Column name to the number of its
            values: 0 to `num_values - 1`; others count as the nearest.
        units: tuple of ints. Hidden widths; the first is the width of the
            learned vectors, which are summed over the columns.
        num_outputs: int. Objectives T.
        activation: str or callable. Of the hidden layers.

    Call arguments:
        inputs: dict of column name to (B, N) integer.

    Returns:
        (B, N, T) float. Logits to add to the main ones.

    Raises:
        ValueError: an argument out of range, or a column that is missing.

    Example:
        >>> layer = BiasTower({"position": 10}, units=(8,), num_outputs=2)
        >>> layer({"position": np.array([[0, 1, 2]])}).shape
        TensorShape([1, 3, 2])

    References:
        Recommending What Video to Watch Next: A Multitask Ranking System. Zhao
        et al., RecSys 2019 (section 4.3).
    """

    def __init__(
        self,
        num_values: dict,
        units: tuple,
        num_outputs: int,
        activation: Any = "relu",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(num_values, dict) or not num_values:
            raise ValueError(
                "`num_values` must be a dict of column name to number of "
                f"values. Got: {num_values!r}."
            )
        self.num_values = {
            name: check_int(f"num_values[{name!r}]", size, 1)
            for name, size in num_values.items()
        }
        self.units = check_units("units", units)
        self.num_outputs = check_int("num_outputs", num_outputs, 1)
        self.activation = keras.activations.get(activation)

    def build(self, inputs_shape: dict):
        missing = [name for name in self.num_values if name not in inputs_shape]
        if missing:
            raise ValueError(
                f"`inputs` must hold the column(s) {missing}. "
                f"Got: {sorted(inputs_shape)}."
            )
        self.tables = {
            name: self.add_weight(
                (size, self.units[0]), "uniform", name=f"{name}_table"
            )
            for name, size in self.num_values.items()
        }
        self.first_bias = self.add_weight(
            (self.units[0],), "zeros", name="first_bias"
        )
        self.hidden = [
            self.add_dense(
                f"hidden_{index}",
                self.units[index - 1],
                units,
                activation=self.activation,
            )
            for index, units in enumerate(self.units[1:], start=1)
        ]
        self.output_layer = self.add_dense(
            "output_layer",
            self.units[-1],
            self.num_outputs,
            use_bias=False,
            kernel_initializer="zeros",
        )

    def call(self, inputs: dict) -> Any:
        hidden = ops.cast(self.first_bias, self.compute_dtype)
        for name, size in self.num_values.items():
            value = ops.cast(ops.clip(inputs[name], 0, size - 1), "int32")
            table = ops.cast(self.tables[name], self.compute_dtype)
            hidden = hidden + ops.take(table, value, axis=0)
        hidden = self.activation(hidden)
        for layer in self.hidden:
            hidden = layer(hidden)
        return self.output_layer(hidden)

    def compute_output_shape(self, inputs_shape: dict) -> tuple:
        shape = inputs_shape[next(iter(self.num_values))]
        return (*shape, self.num_outputs)
