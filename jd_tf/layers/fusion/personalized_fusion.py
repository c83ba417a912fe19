"""Fusion by weights that depend on the session."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_units
from jd_tf.layers.fusion.learned_fusion import LearnedFusion


@keras.saving.register_keras_serializable(package="jd_tf")
class PersonalizedFusion(LearnedFusion):
    """Fuses objectives by weights of the session, never of the candidate.

    A small network reads features of the session so far and gives each
    request its own positive, bounded weights; `LearnedFusion` has the
    bounds. At the start the gate ignores the session: every request has the
    initial shares.

    Args:
        num_objectives: int. T.
        units: tuple of ints. Hidden widths of the gate; may be empty.
        activation: str or callable. Of the hidden layers.
        form, bad: see `Fusion`.
        min_share, max_scale, initial_shares: see `LearnedFusion`.
        stop_session_gradient: bool. Whether no gradient passes to the
            features either; needed where another loss trains them.

    Call arguments:
        logits: (B, N, T) float; no gradient passes to them.
        session_features: (B, F) float, of the order of one.

    Returns:
        Score (B, N) float, and weights (B, T) float.

    Raises:
        ValueError: an argument out of range, or F unknown.

    Example:
        >>> layer = PersonalizedFusion(num_objectives=2, units=(8,))
        >>> score, weights = layer(np.zeros((1, 3, 2)), np.ones((1, 4)))
        >>> score.shape, weights.numpy().tolist()
        (TensorShape([1, 3]), [[0.5, 0.5]])

    References:
        JD.com's talk on ranking its home feed: fusion by a gate over the
        session.
    """

    def __init__(
        self,
        num_objectives: int,
        units: Sequence[int] = (32,),
        activation: Any = "relu",
        form: str = "log_linear",
        min_share: float = 0.01,
        max_scale: float = 16.0,
        initial_shares: Sequence[float] = (),
        stop_session_gradient: bool = True,
        bad: Sequence[int] = (),
        **kwargs,
    ):
        super().__init__(
            num_objectives,
            form,
            min_share,
            max_scale,
            initial_shares,
            bad,
            **kwargs,
        )
        self.units = check_units("units", units, minimum_count=0)
        self.activation = keras.activations.get(activation)
        self.stop_session_gradient = bool(stop_session_gradient)

    def build(self, logits_shape: tuple, session_features_shape: tuple):
        super().build(logits_shape, session_features_shape)
        dim = session_features_shape[-1]
        if not dim:
            raise ValueError(
                "`session_features` must have at least one feature. "
                f"Got: {tuple(session_features_shape)}."
            )
        dims = (dim, *self.units)
        self.hidden = [
            self.add_dense(
                f"hidden_{index}",
                dims[index],
                units,
                activation=self.activation,
                dtype="float32",
            )
            for index, units in enumerate(self.units)
        ]
        self.gate = self.add_dense(
            "gate",
            dims[-1],
            self.num_objectives,
            kernel_initializer="zeros",
            dtype="float32",
        )
        self.gate.bias.assign(self._initial_gate())

    def request_weights(self, session_features: Any) -> Any:
        """Returns weights (B, T) for features (B, F)."""
        hidden = ops.cast(session_features, "float32")
        if self.stop_session_gradient:
            hidden = ops.stop_gradient(hidden)
        for layer in self.hidden:
            hidden = layer(hidden)
        weights = self._weights_of_gate(self.gate(hidden))
        return ops.cast(weights, self.compute_dtype)
