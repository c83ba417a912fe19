"""A cross network beside a deep network."""

import dataclasses
from typing import Any

from keras import ops

from jd_tf.layers import CrossNetwork, SplitMLP
from jd_tf.models.network_config import FieldsRankerConfig
from jd_tf.models.network_ranker import NetworkRanker, split_shapes
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class DCNv2Config(FieldsRankerConfig):
    """Sizes of `DCNv2`.

    Attributes:
        num_cross_layers: of the cross network: products of one feature more
            each.
        rank: inner width of its matrices; 0 for full ones.

    Example:
    >>> DCNv2Config.of(rank=0).num_cross_layers
    2
    """

    num_cross_layers: int = 2
    rank: int = 32


@register_model("dcn_v2", DCNv2Config)
class DCNv2(NetworkRanker):
    """Multiplies features by a cross network, beside a deep network.

        x_{l+1} = x_0 * (U_l (V_l x_l + a_l) + b_l) + x_l
        logit_t = w_t [x_L, MLP(x_0)]

        vectors, numbers x_0 ─┬─ cross ─┬─ output ─ logits
                              └─ deep ──┘

    The parallel structure of the paper, with its low-rank matrices. The user's
    halves of the first products run once a request. Arguments and outputs are
    those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("dcn_v2").model_class.__name__
    'DCNv2'

    References:
        DCN V2: Improved Deep & Cross Network and Practical Lessons for
        Web-scale Learning to Rank Systems. Wang et al., WWW 2021 (equations 1
        to 4).
    """

    config_class = DCNv2Config

    def make_parts(self, candidate_dim: int, user_dim: int) -> None:
        config, network = self.config, self.config.network
        shapes = split_shapes(candidate_dim, user_dim)
        self.cross = self.add_part(
            CrossNetwork, "cross", shapes, config.num_cross_layers, config.rank
        )
        self.deep = self.add_part(SplitMLP, "deep", shapes, **network.deep)
        self.output_layer = self.add_dense(
            "output_layer",
            candidate_dim + user_dim + network.hidden_units[-1],
            len(self.schema.objectives),
        )

    def network(
        self, user: Any, candidates: Any, context: Any, training: bool
    ) -> tuple[Any, Any]:
        deep = self.deep(candidates, user, training=training)[:, :, 0]
        hidden = ops.concatenate([self.cross(candidates, user), deep], axis=-1)
        return self.output_layer(hidden), hidden
