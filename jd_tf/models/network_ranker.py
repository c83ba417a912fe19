"""A base of rankers whose network reads user and candidate side by side."""

from typing import Any

from keras import ops

from jd_tf.models.base import Tensors
from jd_tf.models.pooled_ranker import PooledRanker


class NetworkRanker(PooledRanker):
    """Hands the features of `PooledRanker` to a network of its own.

    A subclass makes its layers in `make_network`, builds them in
    `build_network` and implements `network`. Arguments, call arguments and
    outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("deep_fm").model_class, NetworkRanker)
    True
    """

    def network(
        self,
        user: Any,
        candidates: Any,
        context: Any,
        training: bool = False,
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

    def network_state(self, interests: Any) -> dict[str, Any]:
        """See `MultiTaskRanker`."""
        return {"interests": interests}

    def conditional_logits(
        self,
        user_state: Tensors,
        context: Any,
        features: Any,
        training: bool = False,
    ) -> tuple[Any, Any]:
        """See `MultiTaskRanker`."""
        interests = user_state["interests"]
        user = ops.concatenate([interests, context["encoded"]], axis=-1)
        logits, shared = self.network(user, features, context, training)
        return ops.cast(logits, "float32"), shared
