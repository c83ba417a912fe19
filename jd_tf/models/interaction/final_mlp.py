"""Two deep networks that see features through gates of their own."""

import dataclasses
from typing import Any

from keras import ops

from jd_tf.layers import BilinearFusion, GateUnit, SplitMLP, StackedMLP
from jd_tf.layers.interaction.cross_network import side_by_side
from jd_tf.models.network_config import FieldsConfig, NetworkConfig
from jd_tf.models.network_ranker import NetworkRanker
from jd_tf.models.ranker_config import ConfigGroup, RankerConfig
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class StreamsConfig(ConfigGroup):
    """The gates of the streams, and their fusion.

    Attributes:
        gate_units: width of the hidden layer of a gate.
        num_heads: slices of both streams that are multiplied; must divide the
            last of `hidden_units`.
    """

    gate_units: int = 32
    num_heads: int = 4


@dataclasses.dataclass(frozen=True)
class FinalMLPConfig(RankerConfig):
    """Sizes of `FinalMLP`; `hidden_units` are those of each stream.

    Example:
    >>> FinalMLPConfig.of(num_heads=2).streams.num_heads
    2
    """

    items: FieldsConfig = dataclasses.field(default_factory=FieldsConfig)
    streams: StreamsConfig = dataclasses.field(default_factory=StreamsConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)


@register_model("final_mlp", FinalMLPConfig)
class FinalMLP(NetworkRanker):
    """Multiplies the outputs of two deep networks over gated features.

        o_1 = MLP_1(2 sigmoid(g_1(user)) * x)
        o_2 = MLP_2(2 sigmoid(g_2(candidate)) * x),   x = [candidate, user]
        logit_t = b_t + w_t o_1 + v_t o_2 + sum_h o_1h^T W_ht o_2h

        x ─┬─ user_gate ────── first ──┬─ fusion ─ logits
           └─ candidate_gate ─ second ─┘

    The user's gate, and his half of the first stream's first product, run
    once a request; the candidate's gate changes the user's features, too, so
    that the second stream runs once a candidate. Arguments, call arguments
    and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("final_mlp").model_class.__name__
    'FinalMLP'

    References:
        FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction. Mao et
        al., AAAI 2023 (equations 4 to 10).
    """

    config_class = FinalMLPConfig

    def make_network(self) -> None:
        network, shared = self.config.network, {"dtype": self.dtype_policy}
        streams = {
            "last_activation": "relu",
            "dropout_rate": network.dropout_rate,
            **shared,
        }
        units = network.hidden_units
        self.first = SplitMLP(units, name="first", **streams)
        self.second = StackedMLP(units, name="second", **streams)
        self.fusion_layer = BilinearFusion(
            len(self.schema.objectives),
            self.config.streams.num_heads,
            name="fusion_layer",
            **shared,
        )

    def build_network(self, candidate_dim: int, user_dim: int) -> None:
        dim, shared = candidate_dim + user_dim, {"dtype": self.dtype_policy}
        hidden = self.config.streams.gate_units
        # Their widths are those of the features.
        self.user_gate = GateUnit(dim, hidden, name="user_gate", **shared)
        self.candidate_gate = GateUnit(
            dim, hidden, name="candidate_gate", **shared
        )
        self.user_gate.build((None, user_dim))
        self.candidate_gate.build((None, None, candidate_dim))
        self.first.build((None, None, candidate_dim), (None, user_dim))
        self.second.build((None, None, 1, dim))
        shape = (None, None, self.config.network.hidden_units[-1])
        self.fusion_layer.build(shape, shape)

    def network(
        self,
        user: Any,
        candidates: Any,
        context: Any,
        training: bool = False,
    ) -> tuple[Any, Any]:
        width = candidates.shape[-1]
        gate = self.user_gate(user)
        gated = candidates * gate[:, None, :width], user * gate[:, width:]
        first = self.first(*gated, training=training)[:, :, 0]
        both = side_by_side(candidates, user) * self.candidate_gate(candidates)
        second = self.second(both[:, :, None], training=training)[:, :, 0]
        shared = ops.concatenate([first, second], axis=-1)
        return self.fusion_layer(first, second), shared
