"""A cross network beside a deep network."""

import dataclasses
from typing import Any

import keras
from keras import ops

from jd_tf.layers import CrossNetwork, SplitMLP
from jd_tf.models.network_config import FieldsConfig, NetworkConfig
from jd_tf.models.network_ranker import NetworkRanker
from jd_tf.models.ranker_config import ConfigGroup, RankerConfig
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class CrossConfig(ConfigGroup):
    """The cross network.

    Attributes:
        num_cross_layers: its layers: products of one feature more each.
        rank: inner width of its matrices; 0 for full ones.
    """

    num_cross_layers: int = 2
    rank: int = 32


@dataclasses.dataclass(frozen=True)
class DCNv2Config(RankerConfig):
    """Sizes of `DCNv2`.

    Example:
    >>> DCNv2Config.of(rank=0).cross.rank
    0
    """

    items: FieldsConfig = dataclasses.field(default_factory=FieldsConfig)
    cross: CrossConfig = dataclasses.field(default_factory=CrossConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)


@register_model("dcn_v2", DCNv2Config)
class DCNv2(NetworkRanker):
    """Multiplies features by a cross network, beside a deep network.

        x_{l+1} = x_0 * (U_l (V_l x_l + a_l) + b_l) + x_l
        logit_t = w_t [x_L, MLP(x_0)]

        vectors, numbers x_0 ─┬─ cross ─┬─ output ─ logits
                              └─ deep ──┘

    The parallel structure of the paper, with its low-rank matrices. The
    user's halves of the first products run once a request. Arguments, call
    arguments and outputs are those of `RankingModel`.

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

    def make_network(self) -> None:
        config, shared = self.config, {"dtype": self.dtype_policy}
        self.cross = CrossNetwork(
            config.cross.num_cross_layers,
            config.cross.rank,
            name="cross",
            **shared,
        )
        self.deep = SplitMLP(
            config.network.hidden_units,
            last_activation="relu",
            dropout_rate=config.network.dropout_rate,
            name="deep",
            **shared,
        )
        self.output_layer = keras.layers.Dense(
            len(self.schema.objectives), name="output_layer", **shared
        )

    def build_network(self, candidate_dim: int, user_dim: int) -> None:
        for layer in (self.cross, self.deep):
            layer.build((None, None, candidate_dim), (None, user_dim))
        width = candidate_dim + user_dim + self.config.network.hidden_units[-1]
        self.output_layer.build((None, None, width))

    def network(
        self,
        user: Any,
        candidates: Any,
        context: Any,
        training: bool = False,
    ) -> tuple[Any, Any]:
        deep = self.deep(candidates, user, training=training)[:, :, 0]
        hidden = ops.concatenate([self.cross(candidates, user), deep], axis=-1)
        return self.output_layer(hidden), hidden
