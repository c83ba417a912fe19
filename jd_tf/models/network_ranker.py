"""A base of rankers whose network reads user and candidate side by side."""

from typing import Any

from keras import ops

from jd_tf.layers.base_layer import Composite
from jd_tf.models.base import Tensors
from jd_tf.models.pooled_ranker import PooledRanker


class NetworkRanker(Composite, PooledRanker):
    """Hands the features of `PooledRanker` to a network of its own.

    A subclass makes its layers in `make_parts` and implements `network`.
    Arguments, call arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("deep_fm").model_class, NetworkRanker)
    True
    """

    def make_parts(self, candidate_dim: int, user_dim: int) -> None:
        """Makes and builds the layers of the network.

        Args:
            candidate_dim: width of a candidate's features.
            user_dim: width of those of user and request.
        """
        raise NotImplementedError

    def network(
        self, user: Any, candidates: Any, context: Any, training: bool
    ) -> tuple[Any, Any]:
        """Computes conditional logits.

        Args:
            user: (B, Du) float, of the user and the request.
            candidates: (B, N, Dc) float.
            context: of `encode_request`.
            training: whether dropout is active.

        Returns:
            Logits (B, N, T), and the activation that objectives share.
        """
        raise NotImplementedError

    def make_network(self) -> None:
        self.make_parts(*self.feature_dims)

    def build_network(self, candidate_dim: int, user_dim: int) -> None:
        """Does nothing: the parts are built."""

    def network_state(self, interests: Any) -> dict[str, Any]:
        """See `MultiTaskRanker`."""
        return {"interests": interests}

    @property
    def representation_dim(self) -> int:
        """See `MultiTaskRanker`."""
        return self.feature_dims[1]

    def experts_state(self, user_state: Tensors, context: Any) -> Any:
        """Returns interests and request, (B, Du): there are no experts."""
        parts = [user_state["interests"], context["encoded"]]
        return ops.concatenate(parts, axis=-1)

    def conditional_logits(
        self,
        user_state: Tensors,
        context: Any,
        features: Any,
        num_candidates: Any,
        training: bool = False,
    ) -> tuple[Any, Any]:
        """See `MultiTaskRanker`; here padding is computed.

        The network does the user's part as well, which must run once a
        request and not once a candidate.
        """
        user = self.experts_state(user_state, context)
        logits, shared = self.network(user, features, context, training)
        return ops.cast(logits, "float32"), shared


def split_shapes(candidate_dim: int, user_dim: int) -> dict[str, tuple]:
    """Returns what `build` of a layer over user and candidate takes."""
    return {
        "candidate_features_shape": (None, None, candidate_dim),
        "user_features_shape": (None, user_dim),
    }
