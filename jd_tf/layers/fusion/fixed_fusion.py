"""Fusion by weights that are given."""

from collections.abc import Sequence
from typing import Any

import keras

from jd_tf.layers.checks import check_weights
from jd_tf.layers.fusion.objective_fusion import Fusion


@keras.saving.register_keras_serializable(package="jd_tf")
class FixedFusion(Fusion):
    """Fuses objectives by given weights; nothing is learned.

    In the additive form, with business values as weights, the score is the
    expected business value. The weights are a variable that no
    gradient reaches: `assign` changes them in a trained model, and a
    checkpoint keeps them.

    Args:
        objective_weights: tuple of T floats >= 0.
        form, bad: see `Fusion`.

    Call arguments:
        logits: (B, N, T) float; no gradient passes to them.
        session_features: (B, F) float. Only their number B is read.

    Returns:
        Score (B, N) float, and weights (B, T) float, equal in every row.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> layer = FixedFusion((1.0, 5.0), form="additive")
        >>> score, weights = layer(np.zeros((1, 3, 2)), np.ones((1, 4)))
        >>> score.numpy().tolist()
        [[3.0, 3.0, 3.0]]
    """

    def __init__(
        self,
        objective_weights: Sequence[float],
        form: str = "log_linear",
        bad: Sequence[int] = (),
        **kwargs,
    ):
        weights = tuple(objective_weights)
        super().__init__(len(weights), form, bad, **kwargs)
        self.objective_weights = check_weights(
            "objective_weights", weights, self.num_objectives
        )

    def build(self, logits_shape: tuple, session_features_shape: tuple):
        super().build(logits_shape, session_features_shape)
        self.weight_vector = self.add_weight(
            (self.num_objectives,),
            "zeros",
            trainable=False,
            autocast=False,
            name="weight_vector",
        )
        self.weight_vector.assign(self.objective_weights)

    def assign(self, objective_weights: Sequence[float]) -> None:
        """Replaces the weights of a built layer.

        Args:
            objective_weights: T floats >= 0.

        Raises:
            ValueError: another number of them, or one out of range.
        """
        weights = check_weights(
            "objective_weights", objective_weights, self.num_objectives
        )
        if not weights:
            raise ValueError("`objective_weights` must not be empty.")
        self.weight_vector.assign(weights)

    def request_weights(self, session_features: Any) -> Any:
        """Returns weights (B, T) for features (B, F)."""
        return self._for_every_request(self.weight_vector, session_features)
