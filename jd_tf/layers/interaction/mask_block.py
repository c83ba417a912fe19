"""Features multiplied by a mask that all of them choose."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_int
from jd_tf.layers.interaction.cross_network import side_by_side
from jd_tf.layers.split_layer import SplitLayer

_EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="jd_tf")
class MaskBlock(SplitLayer):
    """Lets every example weigh its features before they are summed up.

        mask = W_2 relu(W_1 x + b_1) + b_2,   x = [candidate, user]
        output = relu(LN(W (mask * [LN(candidate), LN(user)])))

    LN normalizes a vector to mean 0 and variance 1, then scales and shifts
    it; the paper does so a field, here the user's and the candidate's side
    are one vector each, so that numbers need no field. The user's half of
    W_1 x and LN(user) are computed once a request.

    Args:
        units: int. Width of the output.
        mask_units: int. Inner width of what makes the mask.

    Call arguments:
        candidate_features: (B, N, Dc) float.
        user_features: (B, Du) float.

    Returns:
        (B, N, units) float.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> layer = MaskBlock(units=4, mask_units=8)
        >>> layer(np.ones((1, 3, 5)), np.ones((1, 6))).shape
        TensorShape([1, 3, 4])

    References:
        MaskNet: Introducing Feature-Wise Multiplication to CTR Ranking Models
        by Instance-Guided Mask. Wang, She, Zhang, DLP-KDD 2021 (equations 4
        to 8).
    """

    def __init__(self, units: int, mask_units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = check_int("units", units, 1)
        self.mask_units = check_int("mask_units", mask_units, 1)
        self.output_dims = (self.units,)

    def build(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ):
        candidate_dim = candidate_features_shape[-1]
        user_dim = user_features_shape[-1]
        dim = candidate_dim + user_dim
        self.make_halves(candidate_dim, user_dim, self.mask_units)
        self.mask = self.add_dense("mask", self.mask_units, dim)
        self.hidden = self.add_dense("hidden", dim, self.units, use_bias=False)
        self.candidate_norm, self.user_norm, self.output_norm = (
            self.add_part(
                keras.layers.LayerNormalization,
                f"{name}_norm",
                (None, width),
                epsilon=_EPSILON,
            )
            for name, width in (
                ("candidate", candidate_dim),
                ("user", user_dim),
                ("output", self.units),
            )
        )

    def call(
        self,
        candidate_features: Any,
        user_features: Any,
        training: bool | None = None,
    ) -> Any:
        num_candidates = ops.shape(candidate_features)[1]
        hidden = self.first_product(
            candidate_features, self.encode_user(user_features)
        )
        mask = self.mask(ops.relu(hidden))
        normalized = side_by_side(
            self.candidate_norm(candidate_features),
            self.user_norm(user_features),
        )
        normalized = ops.reshape(normalized, (-1, normalized.shape[-1]))
        output = ops.relu(self.output_norm(self.hidden(mask * normalized)))
        return ops.reshape(output, (-1, num_candidates, self.units))
