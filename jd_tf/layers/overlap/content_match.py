"""Similarity of a candidate's content to the history's."""

import math
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int
from jd_tf.layers.masking import length_mask


@keras.saving.register_keras_serializable(package="jd_tf")
class ContentMatch(BaseLayer):
    """Compares content embeddings of candidates with the history's.

    Does for images and titles what `IdOverlap` does for ids: a new item has
    no learned embedding, but its content may be similar to that of earlier
    events. All embeddings, scaled to length 1, pass one learned linear map,
    so that similarity is learned from clicks. For each of V weights w of the
    events, the mapped events of a history are averaged once a user,

        profile_v = sum_l w_lv mapped_l / (1 + sum_l w_lv),

    where the 1 shrinks profiles of few events, and a candidate gets the
    product of its own mapped embedding with every profile, separately for
    each of H parts of the map. The paper below counts tiers of similarity;
    the learned map allows to sum up the history before candidates are known.

    Args:
        match_dim: int. Width K of the map, a multiple of `num_heads`.
        num_heads: int. Parts H that are compared separately.

    Call arguments:
        candidate_vectors: (B, N, M) float.
        candidate_present: (B, N) bool, True where there is an embedding;
            `candidate_vectors` may hold anything elsewhere.
        history_vectors: (B, L, M) float.
        history_present: (B, L) bool.
        length: (B,) integer. Real events; padding may hold anything.
        event_weights: (B, L, V) float >= 0, or None: 1 for every event.

    Returns:
        (B, N, V H) float, V = 1 without `event_weights`; zero without an
        embedding.

    Raises:
        ValueError: an argument out of range, or vectors of two widths.

    Example:
        >>> layer = ContentMatch(match_dim=8, num_heads=2)
        >>> outputs = layer(
        ...     np.ones((1, 3, 16)),
        ...     np.array([[True, True, False]]),
        ...     np.ones((1, 5, 16)),
        ...     np.ones((1, 5), bool),
        ...     np.array([4]),
        ... )
        >>> outputs.shape
        TensorShape([1, 3, 2])

    References:
        Enhancing Taobao Display Advertising with Multimodal Representations:
        Challenges, Approaches and Insights. Sheng et al., CIKM 2024.
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

    def num_features(self, num_weights: int) -> int:
        """Returns the features of a candidate, of `num_weights` weights V."""
        return max(num_weights, 1) * self.num_heads

    def build(
        self,
        candidate_vectors_shape: tuple,
        history_vectors_shape: tuple | None = None,
        event_weights_shape: tuple | None = None,
    ):
        dim = candidate_vectors_shape[-1]
        if history_vectors_shape and history_vectors_shape[-1] != dim:
            raise ValueError(
                "`candidate_vectors` and `history_vectors` must be of one "
                f"width. Got: {dim} and {history_vectors_shape[-1]}."
            )
        # Orthogonal: similarity starts as the cosine.
        self.mapping = self.add_dense(
            "mapping", dim, self.match_dim, kernel_initializer="orthogonal"
        )

    def encode_history(
        self,
        vectors: Any,
        present: Any,
        length: Any,
        event_weights: Any = None,
    ) -> tuple[Any, Any]:
        """Computes the profiles of a history, once a user.

        Arguments are those of the call.

        Returns:
            (B, V, K) float, the profiles, and (B, V) float32, the sums of
            the weights.
        """
        real = length_mask(length, ops.shape(present)[1])
        real &= ops.cast(present, "bool")
        if event_weights is None:
            event_weights = ops.ones_like(vectors[..., :1])
        # `where`, not a product: padding may hold anything.
        weights = ops.cast(event_weights, "float32")
        weights = ops.where(real[..., None], weights, 0.0)
        mapped = ops.cast(self._map(vectors, real), "float32")
        sums = ops.matmul(ops.transpose(weights, (0, 2, 1)), mapped)
        total = ops.sum(weights, axis=1)
        profile = sums / (1.0 + total[..., None])
        return ops.cast(profile, self.compute_dtype), total

    def fade(self, profile: Any, total: Any, factors: Any) -> Any:
        """Returns the profiles of event weights multiplied by `factors`.

        Args:
            profile: of `encode_history`.
            total: likewise.
            factors: (B, V) float32.
        """
        factors *= (1.0 + total) / (1.0 + factors * total)
        return profile * ops.cast(factors, profile.dtype)[..., None]

    def match(self, vectors: Any, present: Any, profile: Any) -> Any:
        """Compares candidates with the profiles of `encode_history`.

        Other arguments, and what is returned, are those of the call.
        """
        parts = (self.num_heads, self.match_dim // self.num_heads)
        mapped = self._map(vectors, present)
        num_candidates, num_profiles = ops.shape(mapped)[1], profile.shape[1]
        mapped = ops.reshape(mapped, (-1, num_candidates, *parts))
        profile = ops.cast(profile, self.compute_dtype)
        profile = ops.reshape(profile, (-1, num_profiles, *parts))
        matches = ops.einsum("bnhk,bvhk->bnvh", mapped, profile)
        width = num_profiles * self.num_heads
        return ops.reshape(matches, (-1, num_candidates, width))

    def _map(self, vectors: Any, present: Any) -> Any:
        """Maps vectors scaled to length 1; zero where there is none."""
        vectors = ops.cast(vectors, "float32")
        present = ops.cast(present, "bool")
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
        event_weights: Any = None,
    ) -> Any:
        profile, _ = self.encode_history(
            history_vectors, history_present, length, event_weights
        )
        return self.match(candidate_vectors, candidate_present, profile)

    def compute_output_shape(
        self,
        candidate_vectors_shape: tuple,
        history_vectors_shape: tuple | None = None,
        event_weights_shape: tuple | None = None,
    ) -> tuple:
        num_weights = event_weights_shape[-1] if event_weights_shape else 1
        width = self.num_features(num_weights)
        return (*candidate_vectors_shape[:-1], width)
