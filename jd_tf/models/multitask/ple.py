"""Experts that objectives share and experts of their own, level by level."""

import dataclasses

from jd_tf.layers import ProgressiveExtraction
from jd_tf.layers.split_layer import SplitLayer
from jd_tf.models.network_config import TowersRankerConfig
from jd_tf.models.pooled_ranker import PooledRanker
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class PLEConfig(TowersRankerConfig):
    """Sizes of `PLE`; `expert_units` are the widths of the levels.

    Attributes:
        num_task_experts: experts of each objective alone, a level.
        num_shared_experts: experts that all objectives share, a level.

    Example:
    >>> PLEConfig.of(num_shared_experts=1).num_task_experts
    2
    """

    num_task_experts: int = 2
    num_shared_experts: int = 2


@register_model("ple", PLEConfig)
class PLE(PooledRanker):
    """Keeps what an objective learns alone apart from what all learn.

        level:  x_t' = sum over own and shared experts of gate_t * expert
        logit_t = tower_t(x_t of the last level)

        features ─ experts of 1, shared, of 2 ─ ... ─┬─ tower 1
                                                     └─ tower 2

    `ProgressiveExtraction` says how levels follow each other. The user's half
    of the first level is in the user state. Arguments and outputs are those of
    `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("ple").model_class.__name__
    'PLE'

    References:
        Progressive Layered Extraction (PLE): A Novel Multi-Task Learning
        Model for Personalized Recommendations. Tang et al., RecSys 2020.
    """

    config_class = PLEConfig

    def make_experts(self) -> SplitLayer:
        head = self.config.head
        return ProgressiveExtraction(
            len(self.schema.objectives),
            head.expert_units,
            self.config.num_task_experts,
            self.config.num_shared_experts,
            dropout_rate=head.dropout_rate,
            name="experts",
            dtype=self.dtype_policy,
        )
