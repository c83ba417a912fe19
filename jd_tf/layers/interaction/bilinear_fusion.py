"""Logits from two vectors and their products."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_heads, check_int


@keras.saving.register_keras_serializable(package="jd_tf")
class BilinearFusion(BaseLayer):
    """Fuses the outputs of two streams to logits.

        logit_t = b_t + w_t x + v_t y + sum over heads h of x_h^T W_ht y_h

    Heads are equal slices of both vectors.

    Args:
        num_outputs: int. Objectives T.
        num_heads: int. Heads H; both widths must be multiples of it.

    Call arguments:
        first: (B, N, D1) float.
        second: (B, N, D2) float.

    Returns:
        (B, N, T) float.

    Raises:
        ValueError: an argument out of range, or a width that the heads do
            not divide.

    Example:
        >>> layer = BilinearFusion(num_outputs=2, num_heads=2)
        >>> layer(np.ones((1, 3, 4)), np.ones((1, 3, 6))).shape
        TensorShape([1, 3, 2])

    References:
        FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction. Mao et
        al., AAAI 2023 (equations 8 to 10).
    """

    def __init__(self, num_outputs: int, num_heads: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_outputs = check_int("num_outputs", num_outputs, 1)
        self.num_heads = check_int("num_heads", num_heads, 1)

    def build(self, first_shape: tuple, second_shape: tuple):
        heads, outputs = self.num_heads, self.num_outputs
        width, other = (
            check_heads(shape[-1], heads, f"`{name}`")
            for name, shape in (
                ("first", first_shape),
                ("second", second_shape),
            )
        )
        self.first_part = self.add_dense("first_part", first_shape[-1], outputs)
        self.second_part = self.add_dense(
            "second_part", second_shape[-1], outputs, use_bias=False
        )
        self.bilinear = self.add_weight(
            (heads, width, outputs * other),
            # Keras would read the first axis as a convolution's window.
            keras.initializers.VarianceScaling(heads, "fan_avg", "uniform"),
            name="bilinear",
        )

    def call(self, first: Any, second: Any) -> Any:
        heads, outputs = self.num_heads, self.num_outputs
        lead = ops.shape(first)[:2]
        logits = self.first_part(first) + self.second_part(second)
        weights = ops.cast(self.bilinear, self.compute_dtype)
        for left, right, weight in zip(
            ops.split(first, heads, axis=-1),
            ops.split(second, heads, axis=-1),
            ops.unstack(weights, heads, axis=0),
            strict=True,
        ):
            shape = (*lead, outputs, right.shape[-1])
            mapped = ops.reshape(ops.matmul(left, weight), shape)
            logits += ops.sum(mapped * right[:, :, None], axis=-1)
        return logits

    def compute_output_shape(
        self, first_shape: tuple, second_shape: tuple
    ) -> tuple:
        return (*first_shape[:2], self.num_outputs)
