"""Dense features at the scale that training data gave them."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_positive

# Rarer values do not move mean and scale.
_RARE = 0.001


@keras.saving.register_keras_serializable(package="jd_tf")
class FeatureNormalization(BaseLayer):
    """Standardizes dense features by statistics of the training data.

    y = (clip(u, least, greatest) - mean) / scale, where u is x itself for
    `linear` features and sign(x) log(1 + |x|) for all others, as counts,
    prices and seconds are heavy-tailed. The bounds are the extremes that
    `adapt` saw, so that no value, however odd, moves a logit further than a
    known one; y ends at +-`max_value` besides, and is 0, the mean,
    where x is not finite: missing. A rate of one per cent
    matters as much as a price of thousands then, which no learned scale
    reaches in time. A feature that never changes becomes 0.

    An embedding of each feature may precede: every bin between two quantiles
    is filled from 0 to 1 as y passes through it, at once where they are
    equal, and a rectified linear map of the bins is the vector.

    Statistics are weights that no gradient changes. Before `adapt` they are
    mean 0 and scale 1.

    Args:
        linear: ints. Indices of features that are logarithms, rates or the
            like already.
        num_quantiles: int. Quantiles Q that are kept of each feature, its
            least and greatest value included; at least 2.
        max_value: float. Bound of y.
        embedding_dim: int. Width D of a feature's embedding; 0 for none.

    Call arguments:
        inputs: (..., F) float. Pass float32: half precision
            overflows above 65,504.

    Returns:
        (..., F * D + F) float: y last.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> layer = FeatureNormalization(linear=[1])
        >>> layer.adapt(np.array([[0.0, 0.01], [np.e**2 - 1.0, 0.03]]))
        >>> print(np.round(layer(np.array([[np.e - 1.0, 9.0]])), 3))
        [[0. 1.]]

    References:
        On Embeddings for Numerical Features in Tabular Deep Learning.
        Gorishniy, Rubachev, Babenko, NeurIPS 2022.
    """

    def __init__(
        self,
        linear: Sequence[int] = (),
        num_quantiles: int = 33,
        max_value: float = 10.0,
        embedding_dim: int = 0,
        **kwargs,
    ):
        # Keras would cast counts to half precision, and so to infinity.
        super().__init__(**{**kwargs, "autocast": False})
        self.linear = tuple(
            check_int(f"linear[{i}]", index, 0)
            for i, index in enumerate(linear)
        )
        self.num_quantiles = check_int("num_quantiles", num_quantiles, 2)
        self.max_value = check_positive("max_value", max_value)
        self.embedding_dim = check_int("embedding_dim", embedding_dim, 0)
        self.supports_masking = True

    def build(self, inputs_shape: tuple):
        width = inputs_shape[-1]
        if any(index >= width for index in self.linear):
            raise ValueError(
                f"`linear` must name some of {width} features, from 0. "
                f"Got: {self.linear}."
            )
        self._is_linear = np.isin(np.arange(width), self.linear)

        def weight(name: str, shape: tuple, start: Any, learned: Any = False):
            # Without autocast: bfloat16 keeps three digits of a mean.
            return self.add_weight(
                shape, start, trainable=learned, autocast=False, name=name
            )

        self.mean = weight("mean", (width,), "zeros")
        self.scale = weight("scale", (width,), "ones")
        self.quantiles = weight(
            "quantiles", (self.num_quantiles, width), self._all_values
        )
        self.num_rows = self.add_weight(
            (), "zeros", dtype="int64", trainable=False, name="num_rows"
        )
        if dim := self.embedding_dim:
            num_bins = self.num_quantiles - 1
            most = num_bins**-0.5
            start = keras.initializers.RandomUniform(-most, most)
            self.kernel = weight("kernel", (num_bins, width, dim), start, True)
            self.bias = weight("bias", (width, dim), "zeros", True)

    def _all_values(self, shape: tuple, dtype: Any = None) -> Any:
        """Returns quantiles that bound no more than `max_value` does."""
        edges = np.linspace(-self.max_value, self.max_value, shape[0])
        return ops.convert_to_tensor(np.tile(edges[:, None], shape[1]), dtype)

    @property
    def adapted(self) -> bool:
        """Returns whether there are statistics of data."""
        return bool(ops.convert_to_numpy(self.num_rows) > 0)

    def adapt(self, rows: Any) -> None:
        """Sets the statistics to those of a sample of the training data.

        Args:
            rows: (M, F) float, finite, M at least 1. No padding.

        Raises:
            ValueError: a wrong shape, or a number that is not finite.
        """
        rows = np.asarray(rows)
        if not self.built:
            self.build(rows.shape)
        width = self.mean.shape[0]
        if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
            raise ValueError(
                f"Layer {self.name!r} takes (M, {width}) rows, M at least 1. "
                f"Got: {rows.shape}."
            )
        wrong = np.flatnonzero(~np.isfinite(rows).all(axis=0))
        if len(wrong):
            raise ValueError(
                f"Layer {self.name!r} got a number that is not finite in "
                f"feature {wrong[0]}."
            )
        found = [
            self._statistics(index, rows[:, index]) for index in range(width)
        ]
        for weight, values in zip(
            (self.mean, self.scale, self.quantiles),
            zip(*found, strict=True),
            strict=True,
        ):
            weight.assign(np.stack(values, axis=-1))
        self.num_rows.assign(len(rows))

    def _statistics(self, index: int, numbers: np.ndarray) -> tuple:
        """Returns mean, scale and quantiles (Q,) of one feature."""
        values = np.sort(numbers.astype("float64"))
        if not self._is_linear[index]:
            values = np.copysign(np.log1p(np.abs(values)), values)
        steps = np.linspace(0.0, 1.0, self.num_quantiles)
        rare = int(_RARE * (len(values) - 1))
        usual = np.clip(values, values[rare], values[-1 - rare])
        scale = usual.std() if np.ptp(usual) else values.std()
        constant = values[0] == values[-1]
        return (
            usual.mean(),
            1.0 if constant else scale,
            np.quantile(values, steps),
        )

    def normalize(self, inputs: Any, features: Sequence[int] = ()) -> Any:
        """Returns y alone, float32; inputs may be only some `features`."""
        known = np.array(features or range(len(self._is_linear)))
        quantiles = ops.take(self.quantiles, known, axis=1)
        inputs = ops.cast(inputs, "float32")
        logs = ops.sign(inputs) * ops.log1p(ops.abs(inputs))
        values = ops.where(self._is_linear[known], inputs, logs)
        values = ops.clip(values, quantiles[0], quantiles[-1])
        values -= ops.take(self.mean, known)
        values /= ops.take(self.scale, known)
        values = ops.clip(values, -self.max_value, self.max_value)
        return ops.where(ops.isfinite(inputs), values, 0.0)

    def call(self, inputs: Any) -> Any:
        found = self.normalize(inputs)
        if self.embedding_dim:
            found = ops.concatenate([self._embed(found), found], axis=-1)
        return ops.cast(found, self.compute_dtype)

    def _embed(self, values: Any) -> Any:
        """Returns the embeddings of numbers y, side by side."""
        edges = (self.quantiles - self.mean) / self.scale
        edges = ops.clip(edges, -self.max_value, self.max_value)
        low, high, values = edges[:-1], edges[1:], values[..., None, :]
        wide = high > low
        filled = (values - low) / ops.where(wide, high - low, 1.0)
        filled = ops.where(wide, ops.clip(filled, 0.0, 1.0), values >= high)
        vectors = ops.einsum("...qf,qfd->...fd", filled, self.kernel)
        vectors = ops.relu(vectors + self.bias)
        width = self.bias.shape[0] * self.embedding_dim
        return ops.reshape(vectors, (*ops.shape(vectors)[:-2], width))

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        width = inputs_shape[-1] * (1 + self.embedding_dim)
        return (*inputs_shape[:-1], width)
