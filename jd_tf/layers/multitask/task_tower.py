"""One tower per objective, from its features to its logit."""

from collections.abc import Sequence
from typing import Any

import keras

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_rate, check_units
from jd_tf.layers.multitask.stacked_mlp import StackedMLP


@keras.saving.register_keras_serializable(package="jd_tf")
class TaskTower(BaseLayer):
    """Turns each objective's features into its logit.

    Objective t has a network of its own over slice t of the input; all run
    as one `StackedMLP`.

    Args:
        num_tasks: int. Objectives T.
        units: tuple of ints. Hidden widths of each tower; may be empty.
        activation: str or callable. Of the hidden layers.
        dropout_rate: float. Dropout after every hidden layer.

    Call arguments:
        inputs: (B, N, T, D) float.
        training: bool. Whether dropout is active.

    Returns:
        (B, N, T) float. Logits, before the sigmoid.

    Raises:
        ValueError: an argument out of range, or `inputs` not of `num_tasks`
            slices.

    Example:
        >>> TaskTower(num_tasks=2, units=(16,))(np.ones((1, 3, 2, 8))).shape
        TensorShape([1, 3, 2])
    """

    def __init__(
        self,
        num_tasks: int,
        units: Sequence[int] = (),
        activation: Any = "relu",
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_tasks = check_int("num_tasks", num_tasks, 1)
        self.units = check_units("units", units, minimum_count=0)
        self.activation = keras.activations.get(activation)
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)

    def build(self, inputs_shape: tuple):
        if inputs_shape[-2] != self.num_tasks:
            raise ValueError(
                f"`inputs` must have `num_tasks`={self.num_tasks} slices on "
                f"the last but one axis. Got: {tuple(inputs_shape)}."
            )
        self.towers = self.add_part(
            StackedMLP,
            "towers",
            inputs_shape,
            (*self.units, 1),
            activation=self.activation,
            dropout_rate=self.dropout_rate,
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.towers(inputs, training=training)[..., 0]

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape[:-1])
