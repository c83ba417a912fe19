"""Logarithmic scaling of raw counts, prices and seconds."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer


@keras.saving.register_keras_serializable(package="jd_tf")
class LogScaling(BaseLayer):
    """Scales dense features of any magnitude to the order of one.

    y = scale * sign(x) * log(1 + |x|) + bias, with a learned scale and bias
    for every feature. Prices, counters and seconds are heavy-tailed; their
    logarithm is not, and it keeps zero at zero and signs apart. No batch
    statistic is involved, so a row never depends on its batch mates.

    Call arguments:
        inputs: (..., F) float, finite. Pass float32: half precision
            overflows above 65,504.

    Returns:
        (..., F) float.

    Example:
        >>> prices = np.array([[0.0, np.e**3 - 1.0]])
        >>> print(np.round(LogScaling()(prices), 3))
        [[0. 3.]]
    """

    def __init__(self, **kwargs):
        # Keras would cast counts to half precision, and so to infinity.
        super().__init__(**{**kwargs, "autocast": False})
        self.supports_masking = True

    def build(self, inputs_shape: tuple):
        shape = (inputs_shape[-1],)
        self.scale = self.add_weight(shape, "ones", name="scale")
        self.bias = self.add_weight(shape, "zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        inputs = ops.cast(inputs, "float32")
        logs = ops.sign(inputs) * ops.log1p(ops.abs(inputs))
        scale = ops.cast(self.scale, "float32")
        bias = ops.cast(self.bias, "float32")
        return ops.cast(scale * logs + bias, self.compute_dtype)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)
