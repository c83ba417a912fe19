"""Fusion by learned weights, equal for every request."""

from typing import Any

import keras

from jd_tf.layers.fusion.learned_fusion import LearnedFusion


@keras.saving.register_keras_serializable(package="jd_tf")
class GlobalFusion(LearnedFusion):
    """Fuses objectives by one learned weight vector.

    The baseline of `PersonalizedFusion`: the same bounds, form, loss and
    training, without the session.

    Args:
        num_objectives: int. T.
        form, bad: see `Fusion`.
        min_share, max_scale, initial_shares: see `LearnedFusion`.

    Call arguments:
        logits: (B, N, T) float; no gradient passes to them.
        session_features: (B, F) float. Only their number B is read.

    Returns:
        Score (B, N) float, and weights (B, T) float, equal in every row.

    Example:
        >>> layer = GlobalFusion(2, initial_shares=(1.0, 3.0))
        >>> score, weights = layer(np.zeros((1, 3, 2)), np.ones((1, 4)))
        >>> print(np.round(weights, 2))
        [[0.25 0.75]]
    """

    def build(self, logits_shape: tuple, session_features_shape: tuple):
        super().build(logits_shape, session_features_shape)
        self.gate_bias = self.add_weight(
            (self.num_objectives,), "zeros", autocast=False, name="gate_bias"
        )
        self.gate_bias.assign(self._initial_gate())

    def request_weights(self, session_features: Any) -> Any:
        """Returns weights (B, T) for features (B, F)."""
        weights = self._weights_of_gate(self.gate_bias.value)
        return self._for_every_request(weights, session_features)
