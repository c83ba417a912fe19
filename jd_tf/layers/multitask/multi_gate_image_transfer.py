"""Experts and gates that map frozen vectors to the ranker's space."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_units
from jd_tf.layers.masking import softmax
from jd_tf.layers.multitask.stacked_mlp import StackedMLP, stacked_glorot


@keras.saving.register_keras_serializable(package="jd_tf")
class MultiGateImageTransfer(BaseLayer):
    """Aligns content embeddings trained elsewhere with the ranker's own.

    An image vector encodes the content of a picture, not its effect on
    clicks. Each of M modalities has E experts, networks over its vector.
    Each of G gates (one for the history of each behaviour, one for the
    candidates) reads the ranker's own embeddings of the item (of its id and
    category) and mixes the experts:

        sum_me gate_me(gate_inputs) * expert_me(vector_m)

    with the gate's softmax over all M * E experts. Experts are shared by all
    gates. Vectors of a `VectorTable` stay as they are; those of a
    `TextEncoder` learn through the experts.

    Each vector is scaled to length sqrt(V) first, a root mean square of one:
    backbones differ in their scale by orders of magnitude, and a new
    training of a backbone must not shift the experts' inputs. An item
    without a vector has a learned one in its place.

    Args:
        output_dim: int. Width of the result.
        num_experts: int. Experts E of each modality.
        num_gates: int. Gates G.
        hidden_units: tuple of ints. Widths of each expert before its last
            layer.
        activation: str or callable. Of the experts' hidden layers.

    Call arguments:
        vectors: list of M tensors (..., V_m) float, one a modality.
        present: list of M tensors (...) bool, True where there is a vector;
            `vectors` may hold anything elsewhere.
        gate_inputs: (..., D) float. Embeddings of the item.
        gate_index: int. The gate to use.

    Returns:
        (..., output_dim) float.

    Raises:
        ValueError: an argument out of range, or a modality that is missing.

    Example:
        >>> layer = MultiGateImageTransfer(output_dim=4, num_gates=2)
        >>> vectors, present = [np.ones((1, 3, 16))], [np.ones((1, 3), bool)]
        >>> layer(vectors, present, np.ones((1, 3, 8)), gate_index=1).shape
        TensorShape([1, 3, 4])

    References:
        JD.com's talk on ranking its home feed: multi-gate transfer of image
        vectors.
        Modeling Task Relationships in Multi-task Learning with Multi-gate
        Mixture-of-Experts. Ma et al., KDD 2018 (the gates).
    """

    def __init__(
        self,
        output_dim: int,
        num_experts: int = 4,
        num_gates: int = 1,
        hidden_units: Sequence[int] = (64,),
        activation: Any = "relu",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.output_dim = check_int("output_dim", output_dim, 1)
        self.num_experts = check_int("num_experts", num_experts, 1)
        self.num_gates = check_int("num_gates", num_gates, 1)
        self.hidden_units = check_units("hidden_units", hidden_units)
        self.activation = keras.activations.get(activation)

    def build(
        self,
        vectors_shape: Sequence,
        present_shape: Sequence,
        gate_inputs_shape: tuple,
    ):
        if not len(vectors_shape) == len(present_shape) > 0:
            raise ValueError(
                "`vectors` and `present` must hold a tensor each for every "
                "modality. "
                f"Got: {len(vectors_shape)} and {len(present_shape)}."
            )
        self.num_modalities = len(vectors_shape)
        num_shares = self.num_modalities * self.num_experts
        self.gate_kernel = self.add_weight(
            (self.num_gates, gate_inputs_shape[-1], num_shares),
            stacked_glorot(self.num_gates),
            name="gate_kernel",
        )
        self.gate_bias = self.add_weight(
            (self.num_gates, num_shares), "zeros", name="gate_bias"
        )
        self.missing: list[Any] = []
        self.first: list[Any] = []
        self.deeper: list[Any] = []
        self.output_kernels: list[Any] = []
        self.output_biases: list[Any] = []
        for index, shape in enumerate(vectors_shape):
            self._build_modality(index, shape[-1])

    def _build_modality(self, index: int, dim: int) -> None:
        first_units, *other_units = self.hidden_units
        # A root mean square of one, as the vectors have.
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.missing.append(
            self.add_weight((dim,), normal, name=f"missing_{index}")
        )
        # All experts read the same vector: their first layers are one.
        self.first.append(
            self.add_dense(
                f"first_{index}",
                dim,
                self.num_experts * first_units,
                activation=self.activation,
                kernel_initializer=keras.initializers.VarianceScaling(
                    1.0, "fan_in", "uniform"
                ),
            )
        )
        if other_units:
            self.deeper.append(
                self.add_part(
                    StackedMLP,
                    f"deeper_{index}",
                    (None, self.num_experts, first_units),
                    other_units,
                    activation=self.activation,
                    last_activation=self.activation,
                )
            )
        self.output_kernels.append(
            self.add_weight(
                (self.num_experts, self.hidden_units[-1], self.output_dim),
                stacked_glorot(self.num_experts),
                name=f"output_kernel_{index}",
            )
        )
        self.output_biases.append(
            self.add_weight(
                (self.num_experts, self.output_dim),
                "zeros",
                name=f"output_bias_{index}",
            )
        )

    def gate_weights(self, gate_inputs: Any, gate_index: int = 0) -> Any:
        """Returns the shares of each expert, (..., M * E) float32.

        All experts of the first modality come first. Shares add up to 1.
        """
        if not 0 <= gate_index < self.num_gates:
            raise ValueError(
                f"`gate_index` must be in [0, {self.num_gates}). "
                f"Got: {gate_index!r}."
            )
        inputs = ops.cast(gate_inputs, self.compute_dtype)
        dim = inputs.shape[-1]
        kernel = ops.cast(self.gate_kernel[gate_index], self.compute_dtype)
        scores = ops.matmul(ops.reshape(inputs, (-1, dim)), kernel)
        scores = ops.cast(scores, "float32")
        scores += ops.cast(self.gate_bias[gate_index], "float32")
        shape = (*ops.shape(inputs)[:-1], scores.shape[-1])
        return ops.reshape(softmax(scores), shape)

    def call(
        self,
        vectors: Sequence,
        present: Sequence,
        gate_inputs: Any,
        gate_index: int = 0,
    ) -> Any:
        shape = ops.shape(gate_inputs)[:-1]
        gates = ops.cast(
            self.gate_weights(gate_inputs, gate_index), self.compute_dtype
        )
        gates = ops.reshape(gates, (-1, self.num_modalities, self.num_experts))
        outputs = 0.0
        for index, (vector, is_there, gate) in enumerate(
            zip(vectors, present, ops.unstack(gates, axis=1), strict=True)
        ):
            hidden = self._hidden(index, vector, is_there)
            # A gated sum of linear layers is one linear layer of the gated
            # inputs.
            hidden = ops.reshape(
                hidden * gate[..., None],
                (-1, self.num_experts * self.hidden_units[-1]),
            )
            kernel = ops.cast(self.output_kernels[index], self.compute_dtype)
            bias = ops.cast(self.output_biases[index], self.compute_dtype)
            kernel = ops.reshape(kernel, (-1, self.output_dim))
            outputs += ops.matmul(hidden, kernel) + ops.matmul(gate, bias)
        return ops.reshape(outputs, (*shape, self.output_dim))

    def _hidden(self, index: int, vector: Any, present: Any) -> Any:
        """Computes a modality's last hidden layers, (tokens, E, units)."""
        dim = vector.shape[-1]
        vector = ops.cast(vector, "float32")
        square = ops.sum(ops.square(vector), axis=-1, keepdims=True)
        # Not the root of zero, whose gradient is infinite.
        vector *= math.sqrt(dim) * ops.rsqrt(ops.maximum(square, 1e-24))
        vector = ops.where(
            present[..., None], vector, ops.cast(self.missing[index], "float32")
        )
        vector = ops.cast(vector, self.compute_dtype)
        hidden = self.first[index](ops.reshape(vector, (-1, dim)))
        hidden = ops.reshape(
            hidden, (-1, self.num_experts, self.hidden_units[0])
        )
        return self.deeper[index](hidden) if self.deeper else hidden

    def compute_output_shape(
        self,
        vectors_shape: Sequence,
        present_shape: Sequence,
        gate_inputs_shape: tuple,
    ) -> tuple:
        return (*gate_inputs_shape[:-1], self.output_dim)
