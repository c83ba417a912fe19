"""Products of features up to a chosen order."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_int
from jd_tf.layers.split_layer import SplitLayer


@keras.saving.register_keras_serializable(package="jd_tf")
class CrossNetwork(SplitLayer):
    """Crosses features with themselves, once a layer (DCN-V2).

        x_{l+1} = x_0 * (W_l x_l + b_l) + x_l,   x_0 = [candidate, user]

    After L layers there are products of up to L + 1 features. With `rank` r
    a matrix is a product of two, W_l x = U_l (V_l x + a_l), which takes 2 D r
    in place of D^2 multiplications. The user's half of the first product is
    computed once a request; later layers read products with the candidate.

    Args:
        num_layers: int. Layers L.
        rank: int. Inner width r of the matrices; 0 for full ones.

    Call arguments:
        candidate_features: (B, N, Dc) float.
        user_features: (B, Du) float.

    Returns:
        (B, N, Dc + Du) float, the candidate's features first.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> layer = CrossNetwork(num_layers=2, rank=4)
        >>> layer(np.ones((1, 3, 5)), np.ones((1, 6))).shape
        TensorShape([1, 3, 11])

    References:
        DCN V2: Improved Deep & Cross Network and Practical Lessons for
        Web-scale Learning to Rank Systems. Wang et al., WWW 2021 (equations 1
        and 2).
    """

    def __init__(self, num_layers: int, rank: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_layers = check_int("num_layers", num_layers, 1)
        self.rank = check_int("rank", rank, 0)

    def build(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ):
        candidate_dim = candidate_features_shape[-1]
        user_dim = user_features_shape[-1]
        dim = candidate_dim + user_dim
        inner, self.output_dims = self.rank or dim, (dim,)
        self.make_halves(candidate_dim, user_dim, inner)
        self.products = [
            self.add_dense(f"product_{index}", dim, inner)
            for index in range(1, self.num_layers)
        ]
        self.expansions = [
            self.add_dense(f"expansion_{index}", inner, dim)
            for index in range(self.num_layers if self.rank else 0)
        ]

    def call(
        self,
        candidate_features: Any,
        user_features: Any,
        training: bool | None = None,
    ) -> Any:
        first = side_by_side(candidate_features, user_features)
        shape = (-1, ops.shape(candidate_features)[1], first.shape[-1])
        # As matrices: products of two axes are faster than those of three.
        first = crossed = ops.reshape(first, (-1, first.shape[-1]))
        product = self.first_product(
            candidate_features, self.encode_user(user_features)
        )
        for index in range(self.num_layers):
            if index:
                product = self.products[index - 1](crossed)
            if self.rank:
                product = self.expansions[index](product)
            crossed += first * product
        return ops.reshape(crossed, shape)


def side_by_side(candidate_features: Any, user_features: Any) -> Any:
    """Returns [candidate, user] of every candidate, (B, N, Dc + Du)."""
    batch, num_candidates = ops.shape(candidate_features)[:2]
    shape = (batch, num_candidates, user_features.shape[-1])
    user = ops.broadcast_to(user_features[:, None], shape)
    user = ops.cast(user, candidate_features.dtype)
    return ops.concatenate([candidate_features, user], axis=-1)
