"""How much a candidate looks like what the user went to."""

import math
from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_int
from jd_tf.layers.masking import length_mask


@keras.saving.register_keras_serializable(package="jd_tf")
class ContentMatch(keras.layers.Layer):
    """Compares frozen content vectors with a profile of the history's.

    What `IdOverlap` is to ids, this is to pictures and titles: a new item
    has no learned embedding, but it may look like what the user went to. All
    vectors, brought to length 1, pass one learned linear map, in which
    likeness is what makes people click rather than what a backbone found.
    For each of V values that events carry, the mapped events of a history are
    averaged once a user,

        profile_v = sum_l value_lv mapped_l / (1 + sum_l value_lv),

    where the one pulls profiles of few events to nothing, and a candidate is
    told the product of its own mapped vector with every profile, in H parts
    of the map apart (similarity of multimodal vectors to behaviour, as in
    Sheng et al., CIKM 2024, with the tiers replaced by a learned map so that
    the history is summed up before candidates are known).

    Args:
        match_dim: int. Width K of the map, a multiple of `num_heads`.
        num_heads: int. Parts H that are compared apart.

    Call arguments:
        candidate_vectors: (B, N, M) float.
        candidate_present: (B, N) bool, True where there is a vector;
            `candidate_vectors` may hold anything elsewhere.
        history_vectors: (B, L, M) float.
        history_present: (B, L) bool.
        length: (B,) integer. Real events; padding may hold anything.
        values: (B, L, V) float >= 0, or None: every event counts one.

    Returns:
        (B, N, V H) float, V = 1 without `values`; zero without a vector.

    Raises:
        ValueError: an argument out of range, or vectors of two widths.
    """

    def __init__(self, match_dim: int = 32, num_heads: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.match_dim = check_int("match_dim", match_dim, 1)
        self.num_heads = check_int("num_heads", num_heads, 1)
        if match_dim % num_heads:
            raise ValueError(
                "`match_dim` must be a multiple of `num_heads`. "
                f"Got: {match_dim} and {num_heads}."
            )

    def num_features(self, num_values: int) -> int:
        """Features of a candidate, if events carry `num_values` values."""
        return max(num_values, 1) * self.num_heads

    def build(
        self,
        candidate_vectors_shape: tuple,
        candidate_present_shape: tuple | None = None,
        history_vectors_shape: tuple | None = None,
        history_present_shape: tuple | None = None,
        length_shape: tuple | None = None,
        values_shape: tuple | None = None,
    ):
        dim = candidate_vectors_shape[-1]
        if history_vectors_shape and history_vectors_shape[-1] != dim:
            raise ValueError(
                "`candidate_vectors` and `history_vectors` must be of one "
                f"width. Got: {dim} and {history_vectors_shape[-1]}."
            )
        # Orthogonal: likeness is the cosine until something better is known.
        self.mapping = keras.layers.Dense(
            self.match_dim,
            kernel_initializer="orthogonal",
            dtype=self.dtype_policy,
            name="mapping",
        )
        self.mapping.build((None, dim))

    def encode_history(
        self, vectors: Any, present: Any, length: Any, values: Any = None
    ) -> Any:
        """Sums a history up, once a user.

        Args:
            vectors: (B, L, M) float.
            present: (B, L) bool.
            length: (B,) integer. Real events.
            values: (B, L, V) float >= 0, or None.

        Returns:
            (B, V, K) float, the profiles.
        """
        real = length_mask(length, ops.shape(present)[1]) & present
        if values is None:
            values = ops.ones_like(vectors[..., :1])
        # Zero, not zero times: padding may hold anything.
        values = ops.where(real[..., None], ops.cast(values, "float32"), 0.0)
        mapped = ops.cast(self._map(vectors, real), "float32")
        sums = ops.matmul(ops.transpose(values, (0, 2, 1)), mapped)
        profile = sums / (1.0 + ops.sum(values, axis=1)[..., None])
        return ops.cast(profile, self.compute_dtype)

    def match(self, vectors: Any, present: Any, profile: Any) -> Any:
        """Compares candidates with the profiles of their users.

        Args:
            vectors: (B, N, M) float.
            present: (B, N) bool.
            profile: of `encode_history`.

        Returns:
            (B, N, V H) float.
        """
        parts = (self.num_heads, self.match_dim // self.num_heads)
        mapped = self._map(vectors, present)
        num_candidates, num_values = ops.shape(mapped)[1], profile.shape[1]
        mapped = ops.reshape(mapped, (-1, num_candidates, *parts))
        profile = ops.cast(profile, self.compute_dtype)
        profile = ops.reshape(profile, (-1, num_values, *parts))
        matches = ops.einsum("bnhk,bvhk->bnvh", mapped, profile)
        width = num_values * self.num_heads
        return ops.reshape(matches, (-1, num_candidates, width))

    def _map(self, vectors: Any, present: Any) -> Any:
        """Learned map of vectors of length 1, zero where there is none."""
        vectors = ops.cast(vectors, "float32")
        vectors = ops.where(present[..., None], vectors, 0.0)
        square = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
        # Not the root of zero, whose gradient is infinite.
        vectors *= ops.rsqrt(ops.maximum(square, 1e-24))
        # A factor of sqrt(M / K) for a map of unit vectors to unit vectors.
        dim = vectors.shape[-1]
        vectors *= math.sqrt(max(dim / self.match_dim, 1.0))
        flat = ops.cast(ops.reshape(vectors, (-1, dim)), self.compute_dtype)
        mapped = ops.reshape(
            self.mapping(flat), (-1, ops.shape(present)[1], self.match_dim)
        )
        nothing = ops.zeros((), self.compute_dtype)
        return ops.where(present[..., None], mapped, nothing)

    def call(
        self,
        candidate_vectors: Any,
        candidate_present: Any,
        history_vectors: Any,
        history_present: Any,
        length: Any,
        values: Any = None,
    ) -> Any:
        profile = self.encode_history(
            history_vectors, history_present, length, values
        )
        return self.match(candidate_vectors, candidate_present, profile)

    def compute_output_shape(
        self,
        candidate_vectors_shape: tuple,
        candidate_present_shape: tuple,
        history_vectors_shape: tuple,
        history_present_shape: tuple,
        length_shape: tuple,
        values_shape: tuple | None = None,
    ) -> tuple:
        num_values = values_shape[-1] if values_shape is not None else 1
        width = self.num_features(num_values)
        return (*candidate_present_shape, width)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "match_dim": self.match_dim,
            "num_heads": self.num_heads,
        }
