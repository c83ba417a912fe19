"""A history to the user's vector after each of its events."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from jd_tf.layers import TemporalEncoding, TransformerEncoder
from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.masking import length_mask
from jd_tf.models.blocks.event_ages import seconds_before
from jd_tf.models.blocks.event_encoder import (
    NUM_AGE_BUCKETS,
    add_fine_grained,
    event_details,
)
from jd_tf.schema import Behavior


@keras.saving.register_keras_serializable(package="jd_tf")
class TimelineEncoder(BaseLayer):
    """Encodes what a user was after each event of his history.

    Place i of the output knows the events from i on, which are older, and
    nothing of newer ones: neither what nor when nor how many they were. So it
    is exactly the output at place 0 of a history that begins with event i,
    and every event of a timeline is a training example of the next one. Behind
    the oldest event a learned vector stands for the empty history.

    To that end places are known by their distance alone, and times by the
    seconds since the event before.

    Args:
        behavior: of the schema, or its dict.
        model_dim: int. Width D of tokens and outputs.
        use_sequence: bool. Whether a Transformer reads the events; else
            outputs are means of tokens.
        num_layers, num_heads, feedforward_dim: of the `TransformerEncoder`.
        use_recency: bool. Whether events know the time since the one before.
        use_fine_grained: bool. Whether dwell, counts and actions are read.
        dropout_rate: float. Of tokens and in the Transformer.

    Call arguments:
        tokens: (B, L, D) float, newest first.
        history: dict of the behaviour's columns, by their full names.
        training: bool. Whether dropout is active.

    Returns:
        (B, L + 1, D) float; place `length` is of the empty history, and what
        is beyond has no meaning.

    Example:
    >>> from jd_tf.schema import Behavior
    >>> encoder = TimelineEncoder(Behavior("click", 50), model_dim=8)
    >>> history = {
    ...     "click_length": np.array([3]),
    ...     "click_event_time": np.array([[-1, -2, -3]]),
    ... }
    >>> encoder(np.ones((1, 3, 8)), history).shape
    TensorShape([1, 4, 8])

    References:
        Self-Attentive Sequential Recommendation. Kang and McAuley, ICDM 2018.
    """

    def __init__(
        self,
        behavior: Behavior | Mapping[str, Any],
        model_dim: int,
        use_sequence: bool = True,
        num_layers: int = 2,
        num_heads: int = 2,
        feedforward_dim: int = 128,
        use_recency: bool = True,
        use_fine_grained: bool = True,
        dropout_rate: float = 0.0,
        **kwargs: Any,
    ):
        # Ages in seconds overflow half precision after 18 hours.
        super().__init__(**{**kwargs, "autocast": False})
        if not isinstance(behavior, Behavior):
            behavior = Behavior(**behavior)
        self.keep(locals())

    @property
    def event_details(self) -> dict[str, int]:
        """Fine-grained columns that are read: name to inner width, or 0."""
        return event_details(self.behavior) if self.use_fine_grained else {}

    @property
    def columns(self) -> list[str]:
        """Names of the columns of `history` that are read."""
        names = [*self.event_details, *["event_time"] * self.use_recency]
        names.append("length")
        return [f"{self.behavior.name}_{name}" for name in names]

    def build(
        self, tokens_shape: Any = None, history_shape: Any = None
    ) -> None:
        shape = (None, None, self.model_dim)
        self.temporal_encoding = None
        if self.use_recency:
            self.temporal_encoding = self.add_part(
                TemporalEncoding,
                "temporal_encoding",
                shape,
                self.behavior.max_length,
                NUM_AGE_BUCKETS,
                use_position=False,
            )
        self.fine_grained = add_fine_grained(
            self, self.behavior, self.event_details
        )
        self.nothing = self.add_weight(
            (self.model_dim,), "uniform", name="nothing"
        )
        self.dropout = self.add_part(
            keras.layers.Dropout, "dropout", shape, self.dropout_rate
        )
        if self.use_sequence:
            self.token_norm = self.add_part(
                keras.layers.LayerNormalization,
                "token_norm",
                shape,
                epsilon=1e-6,
            )
            self.encoder = self.add_part(
                TransformerEncoder,
                "encoder",
                shape,
                self.num_layers,
                self.num_heads,
                self.feedforward_dim,
                self.dropout_rate,
                causal=True,
                num_distances=self.behavior.max_length + 1,
            )

    def call(
        self, tokens: Any, history: Mapping[str, Any], training: bool = False
    ) -> Any:
        name = self.behavior.name
        length = history[f"{name}_length"]
        tokens = ops.cast(tokens, self.compute_dtype)
        if self.temporal_encoding is not None:
            times = history[f"{name}_event_time"]
            tokens = self.temporal_encoding(
                tokens, seconds_before(times, length)
            )
        if self.fine_grained is not None:
            details = {n: history[f"{name}_{n}"] for n in self.event_details}
            tokens = self.fine_grained(tokens, **details, training=training)
        tokens = ops.pad(tokens, [[0, 0], [0, 1], [0, 0]])
        place = ops.arange(ops.shape(tokens)[1], dtype="int32")
        is_nothing = place[None, :] == ops.cast(length, "int32")[:, None]
        nothing = ops.cast(self.nothing, self.compute_dtype)
        tokens = ops.where(is_nothing[..., None], nothing, tokens)
        if not self.use_sequence:
            return _means(self.dropout(tokens, training=training), length + 1)
        tokens = self.dropout(self.token_norm(tokens), training=training)
        return self.encoder(tokens, length + 1, training=training)

    def compute_output_shape(
        self, tokens_shape: tuple, history_shape: Any = None
    ) -> tuple:
        batch, events, dim = tokens_shape
        return (batch, None if events is None else events + 1, dim)


def _means(tokens: Any, length: Any) -> Any:
    """Returns the mean of each token and all older ones, (B, L, D)."""
    real = length_mask(length, ops.shape(tokens)[1])[..., None]
    summed = ops.flip(ops.where(real, tokens, 0.0), axis=1)
    summed = ops.flip(ops.cumsum(summed, axis=1), axis=1)
    place = ops.arange(ops.shape(tokens)[1], dtype="int32")
    count = ops.cast(length, "int32")[:, None] - place[None, :]
    return summed / ops.cast(ops.maximum(count, 1), tokens.dtype)[..., None]
