"""All products of two fields, summed up."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int


@keras.saving.register_keras_serializable(package="jd_tf")
class FactorizationMachine(BaseLayer):
    """Sums the element-wise products of all pairs of fields.

    A field is a vector v_i (K,): the embedding of an id, or a number times a
    learned vector. The sum over pairs i < j of v_i * v_j is
    ((sum v)^2 - sum v^2) / 2, and both sums fall into the user's and the
    candidate's: the user's is computed once a request. The sum of the K
    entries of the result is the second-order term of the paper.

    Args:
        dim: int. Width K of a field.
        num_candidate_fields: int. Fields at the front of
            `candidate_features`; what follows are numbers.
        num_user_fields: int. Likewise of `user_features`.

    Call arguments:
        candidate_features: (B, N, num_candidate_fields * K + numbers) float.
        user_features: (B, num_user_fields * K + numbers) float.

    Returns:
        (B, N, K) float.

    Raises:
        ValueError: an argument out of range, or features narrower than their
            fields.

    Example:
        >>> layer = FactorizationMachine(2, 1, 1)
        >>> layer(np.array([[[3.0, 1.0]]]), np.array([[2.0, 5.0]])).numpy()
        array([[[6., 5.]]], dtype=float32)

    References:
        Factorization Machines. Rendle, ICDM 2010 (lemma 3.1).
    """

    def __init__(
        self,
        dim: int,
        num_candidate_fields: int,
        num_user_fields: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.dim = check_int("dim", dim, 1)
        self.num_candidate_fields = check_int(
            "num_candidate_fields", num_candidate_fields, 0
        )
        self.num_user_fields = check_int("num_user_fields", num_user_fields, 0)

    def build(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ):
        self.vectors = {}
        for name, shape, fields in (
            ("candidate", candidate_features_shape, self.num_candidate_fields),
            ("user", user_features_shape, self.num_user_fields),
        ):
            numbers = shape[-1] - fields * self.dim
            if numbers < 0:
                raise ValueError(
                    f"`{name}_features` must hold {fields} fields of width "
                    f"{self.dim}. Got: {tuple(shape)}."
                )
            self.vectors[name] = self.add_weight(
                (numbers, self.dim), "uniform", name=f"{name}_vectors"
            )

    def call(self, candidate_features: Any, user_features: Any) -> Any:
        candidate, candidate_squares = self._sums(
            "candidate", candidate_features, self.num_candidate_fields
        )
        user, user_squares = self._sums(
            "user", user_features, self.num_user_fields
        )
        total = candidate + user[:, None]
        squares = candidate_squares + user_squares[:, None]
        return 0.5 * (ops.square(total) - squares)

    def _sums(self, name: str, features: Any, fields: int) -> tuple:
        """Returns the sums (..., K) of all fields, and of their squares."""
        lead = ops.shape(features)[:-1]
        split = fields * self.dim
        vectors = ops.cast(self.vectors[name], self.compute_dtype)
        found, numbers = features[..., :split], features[..., split:]
        found = ops.reshape(found, (*lead, fields, self.dim))
        total = ops.sum(found, axis=-2) + ops.matmul(numbers, vectors)
        squares = ops.sum(ops.square(found), axis=-2)
        squares += ops.matmul(ops.square(numbers), ops.square(vectors))
        return total, squares

    def compute_output_shape(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ) -> tuple:
        return (*candidate_features_shape[:2], self.dim)
