"""A network for each objective, on tables that all share."""

from jd_tf.layers import SplitMLP
from jd_tf.layers.split_layer import SplitLayer
from jd_tf.models.network_config import TowersRankerConfig
from jd_tf.models.pooled_ranker import PooledRanker
from jd_tf.models.registry import register_model


@register_model("esmm", TowersRankerConfig)
class ESMM(PooledRanker):
    """Learns each objective by a network of its own, on the entire space.

        p(click) = sigmoid(f_1(x)),   p(order) = p(click) sigmoid(f_2(x))

        features x ─┬─ experts 1 ─ tower 1 ─ p(click) ─────┬─ p(order)
                    └─ experts 2 ─ tower 2 ─ p(order|click)┘

    Objectives share the embeddings and nothing else. Every ranker here
    multiplies an objective with the one that it is `given`; the schema says so.
    The user's half of the first products is in the user state. Arguments and
    outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("esmm").model_class.__name__
    'ESMM'

    References:
        Entire Space Multi-Task Model: An Effective Approach for Estimating
        Post-Click Conversion Rate. Ma et al., SIGIR 2018 (equations 1 to 3).
    """

    config_class = TowersRankerConfig

    def make_experts(self) -> SplitLayer:
        head = self.config.head
        return SplitMLP(
            head.expert_units,
            len(self.schema.objectives),
            last_activation="relu",
            dropout_rate=head.dropout_rate,
            name="experts",
            dtype=self.dtype_policy,
        )
