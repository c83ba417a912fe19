"""A gated recurrent unit whose updates attention may weaken."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int
from jd_tf.layers.masking import length_mask


@keras.saving.register_keras_serializable(package="jd_tf")
class AttentionalGRU(BaseLayer):
    """Follows a history from its oldest event to its newest.

    For the event x of a step, its weight a and the state h before it

        u = a sigmoid(W_u x + U_u h + b_u)
        r =   sigmoid(W_r x + U_r h + b_r)
        h' = (1 - u) h + u tanh(W_c x + r (U_c h) + b_c)

    An event of weight 0 leaves the state as it is, and of weight 1 is that of
    a plain unit. There may be several weights for each event, each with a
    state of its own; products of events are computed once for all of them.

    Args:
        units: int. Width D of a state.

    Call arguments:
        inputs: (B, L, Dx) float. Events, newest first; padding may hold
            anything finite.
        length: (B,) integer. Real events.
        weights: (B, N, L) float in 0 to 1, or None for a plain unit.

    Returns:
        With weights (B, N, D) float, the states after the newest event; a
        plain unit returns the states after each event, (B, L, D), zero in
        padding.

    Raises:
        ValueError: `units` below 1.

    Example:
        >>> events, length = np.ones((1, 5, 8)), np.array([5])
        >>> layer = AttentionalGRU(units=4)
        >>> layer(events, length).shape
        TensorShape([1, 5, 4])
        >>> layer(events, length, np.ones((1, 3, 5))).shape
        TensorShape([1, 3, 4])

    References:
        Deep Interest Evolution Network for Click-Through Rate Prediction.
        Zhou et al., AAAI 2019 (equations 2 to 5, 14 and 15).
        Learning Phrase Representations using RNN Encoder-Decoder for
        Statistical Machine Translation. Cho et al., EMNLP 2014.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = check_int("units", units, 1)

    def build(
        self, inputs_shape: tuple, weights_shape: tuple | None = None
    ) -> None:
        # Each of the three starts as the layer that it is.
        fan_in = keras.initializers.VarianceScaling(
            mode="fan_in", distribution="uniform"
        )
        self.input_part = self.add_dense(
            "input_part",
            inputs_shape[-1],
            3 * self.units,
            kernel_initializer=fan_in,
        )
        self.state_kernel = self.add_weight(
            (self.units, 3 * self.units), fan_in, name="state_kernel"
        )

    def call(self, inputs: Any, length: Any, weights: Any = None) -> Any:
        return self.follow(self.input_part(inputs), length, weights)

    def follow(self, parts: Any, length: Any, weights: Any = None) -> Any:
        """Does the work of the call on the products of the events.

        Args:
            parts: (B, L, 3 D) float, `input_part` of the events.
            length: as of the call.
            weights: as of the call.
        """
        parts = ops.cast(parts, self.compute_dtype)
        rows, num_events = tf.shape(parts)[0], tf.shape(parts)[1]
        real = ops.cast(length_mask(length, num_events), self.compute_dtype)
        several = real[:, None, :]
        if weights is not None:
            several = several * ops.cast(weights, self.compute_dtype)
        # Oldest first: padding, which changes nothing, then the history; one
        # step of padding at least, for a loop of no steps has no result.
        steps = tf.pad(several, [[0, 0], [0, 0], [0, 1]])
        steps = tf.transpose(steps, (2, 0, 1))[::-1, ..., None]
        parts = tf.pad(parts, [[0, 0], [0, 1], [0, 0]])
        parts = tf.transpose(parts, (1, 0, 2))[::-1, :, None]
        kernel = ops.cast(self.state_kernel, self.compute_dtype)
        state = tf.zeros((rows, tf.shape(several)[1], self.units), parts.dtype)

        def after(state: Any, event: Any) -> Any:
            part, weight = event
            flat = tf.reshape(state, (-1, self.units)) @ kernel
            flat = tf.reshape(flat, (rows, -1, 3 * self.units))
            own = tf.split(flat, 3, axis=-1)
            update, reset, new = tf.split(part, 3, axis=-1)
            update = weight * tf.sigmoid(update + own[0])
            new = tf.tanh(new + tf.sigmoid(reset + own[1]) * own[2])
            # A graph's loop wants the shape that it began with.
            return tf.ensure_shape(state + update * (new - state), state.shape)

        states = tf.scan(after, (parts, steps), initializer=state)
        if weights is None:
            states = tf.transpose(states[:0:-1, :, 0], (1, 0, 2))
            return states * real[..., None]
        return states[-1]

    def compute_output_shape(
        self, inputs_shape: tuple, weights_shape: tuple | None = None
    ) -> tuple:
        count = weights_shape or inputs_shape
        return (*count[:2], self.units)
