"""A stack of pre-norm Transformer blocks over a history."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_rate
from jd_tf.layers.masking import length_mask
from jd_tf.layers.sequence.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="jd_tf")
class TransformerEncoder(BaseLayer):
    """Encodes a padded history into a memory of the same shape.

    Blocks as in `TransformerBlock`, then a last layer norm, since the sum of
    a pre-norm stack grows with its depth. Padding keys are never attended
    to and padded positions come out as zero.

    Args:
        num_layers: int. Blocks.
        num_heads: int. Attention heads of each; divides D.
        feedforward_dim: int. Inner width of each feed-forward part.
        dropout_rate: float. Dropout after each part of each block.
        activation: str or callable. Of the inner feed-forward layers.
        causal: bool. Whether an event attends to itself and older ones only,
            so that its memory is that of a history which begins with it.
        num_distances: int. See `TransformerBlock`.

    Call arguments:
        inputs: (B, L, D) float. Events; padding may hold anything finite.
        length: (B,) integer. Real events.
        training: bool. Whether dropout is active.

    Returns:
        (B, L, D) float. The memory, zero in padding.

    Raises:
        ValueError: an argument out of range, or D no multiple of
            `num_heads`.

    Example:
        >>> layer = TransformerEncoder(2, num_heads=2, feedforward_dim=16)
        >>> layer(np.ones((2, 5, 8)), np.array([5, 3])).shape
        TensorShape([2, 5, 8])

    References:
        Attention Is All You Need. Vaswani et al., NeurIPS 2017.
        On Layer Normalization in the Transformer Architecture. Xiong et al.,
        ICML 2020.
    """

    def __init__(
        self,
        num_layers: int,
        num_heads: int,
        feedforward_dim: int,
        dropout_rate: float = 0.0,
        activation: Any = "gelu",
        causal: bool = False,
        num_distances: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_layers = check_int("num_layers", num_layers, 1)
        self.num_heads = check_int("num_heads", num_heads, 1)
        self.feedforward_dim = check_int("feedforward_dim", feedforward_dim, 1)
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)
        self.activation = keras.activations.get(activation)
        self.causal = causal
        self.num_distances = check_int("num_distances", num_distances, 0)

    def build(self, inputs_shape: tuple):
        self.blocks = [
            self.add_part(
                TransformerBlock,
                f"block_{index}",
                inputs_shape,
                self.num_heads,
                self.feedforward_dim,
                self.dropout_rate,
                self.activation,
                self.causal,
                self.num_distances,
            )
            for index in range(self.num_layers)
        ]
        self.norm = self.add_part(
            keras.layers.LayerNormalization, "norm", inputs_shape, epsilon=1e-6
        )

    def call(
        self, inputs: Any, length: Any, training: bool | None = None
    ) -> Any:
        return self.extend(inputs, length, training=training)[0]

    def extend(
        self,
        inputs: Any,
        length: Any,
        kept: Sequence[Any] = (),
        kept_length: Any = 0,
        window: int = 0,
        training: bool | None = None,
    ) -> tuple[Any, list[dict[str, Any]]]:
        """Encodes new events; see `AttentionBlock.extend`.

        `kept` has the keys and values of each block, or none; so has what is
        returned beside the memory (B, K, D).
        """
        memory, states = inputs, []
        for block, old in zip(
            self.blocks, kept or [None] * self.num_layers, strict=True
        ):
            memory, state = block.extend(
                memory, length, old, kept_length, window, training=training
            )
            states.append(state)
        memory = self.norm(memory)
        real = length_mask(length, ops.shape(inputs)[1])
        return memory * ops.cast(real[..., None], memory.dtype), states

    def read(
        self,
        inputs: Any,
        states: Sequence[Mapping[str, Any]],
        length: Any,
        training: bool | None = None,
    ) -> Any:
        """Encodes candidates (B, N, D); see `AttentionBlock.read`.

        `states` are of `extend`, with `length` (B,) real events.
        """
        for block, state in zip(self.blocks, states, strict=True):
            inputs = block.read(
                inputs, **state, length=length, training=training
            )
        return self.norm(inputs)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)
