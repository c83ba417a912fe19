"""A small ranker: mean-pooled histories, id overlaps, a mixture of experts."""

import dataclasses

from jd_tf.models.pooled_ranker import PooledRanker
from jd_tf.models.ranker_config import RankerConfig
from jd_tf.models.ranking.jd_ranker_config import HeadConfig, ItemsConfig
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class PooledMMoEConfig(RankerConfig):
    """Sizes of `PooledMMoE`; `head.bias_units` is not used.

    Example:
    >>> PooledMMoEConfig.of(model_dim=32).items.model_dim
    32
    """

    items: ItemsConfig = dataclasses.field(default_factory=ItemsConfig)
    head: HeadConfig = dataclasses.field(default_factory=HeadConfig)


@register_model("pooled_mmoe", PooledMMoEConfig)
class PooledMMoE(PooledRanker):
    """Averages histories and compares their ids with the candidates'.

    A baseline that a sequence model has to beat. Arguments, call arguments and
    outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.schema import Behavior, IdColumn, Objective, Schema
    >>> schema = Schema(
    ...     name="shop",
    ...     item_columns=(IdColumn("item_id", num_buckets=100),),
    ...     behaviors=(Behavior("click", max_length=50),),
    ...     objectives=(Objective("click"),),
    ...     max_candidates=20,
    ... )
    >>> PooledMMoE(schema).reusable
    True

    References:
        Deep Neural Networks for YouTube Recommendations. Covington, Adams,
        Sargin, RecSys 2016.
        Modeling Task Relationships in Multi-task Learning with Multi-gate
        Mixture-of-Experts. Ma et al., KDD 2018.
    """

    config_class = PooledMMoEConfig
