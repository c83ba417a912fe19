"""One network that all objectives share, and a tower for each."""

from jd_tf.layers import SplitMLP
from jd_tf.layers.split_layer import SplitLayer
from jd_tf.models.network_config import TowersRankerConfig
from jd_tf.models.pooled_ranker import PooledRanker
from jd_tf.models.registry import register_model


@register_model("shared_bottom", TowersRankerConfig)
class SharedBottom(PooledRanker):
    """Learns all objectives from one representation.

        h = MLP(x),   logit_t = tower_t(h)

        features x ─ experts (one) ─┬─ tower of objective 1
                                    └─ tower of objective 2 ...

    The user's half of the first product is in the user state. Arguments and
    outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("shared_bottom").model_class.__name__
    'SharedBottom'

    References:
        Multitask Learning. Caruana, Machine Learning 28, 1997.
    """

    config_class = TowersRankerConfig

    def make_experts(self) -> SplitLayer:
        """See `MultiTaskRanker`."""
        head = self.config.head
        return SplitMLP(
            head.expert_units,
            last_activation="relu",
            dropout_rate=head.dropout_rate,
            name="experts",
            dtype=self.dtype_policy,
        )
