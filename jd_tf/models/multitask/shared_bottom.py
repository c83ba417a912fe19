"""One network that all objectives share, and a tower for each."""

import dataclasses

from jd_tf.layers import SplitMLP
from jd_tf.layers.split_layer import SplitLayer
from jd_tf.models.network_config import TowersConfig
from jd_tf.models.pooled_ranker import PooledRanker
from jd_tf.models.ranker_config import RankerConfig
from jd_tf.models.ranking.jd_ranker_config import ItemsConfig
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class SharedBottomConfig(RankerConfig):
    """Sizes of `SharedBottom`.

    Example:
    >>> SharedBottomConfig.of(model_dim=32).items.model_dim
    32
    """

    items: ItemsConfig = dataclasses.field(default_factory=ItemsConfig)
    head: TowersConfig = dataclasses.field(default_factory=TowersConfig)


@register_model("shared_bottom", SharedBottomConfig)
class SharedBottom(PooledRanker):
    """Learns all objectives from one representation.

        h = MLP(x),   logit_t = tower_t(h)

        features x ─ experts (one) ─┬─ tower of objective 1
                                    └─ tower of objective 2 ...

    The user's half of the first product is in the user state. Arguments, call
    arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("shared_bottom").model_class.__name__
    'SharedBottom'

    References:
        Multitask Learning. Caruana, Machine Learning 28, 1997.
    """

    config_class = SharedBottomConfig

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
