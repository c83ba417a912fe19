"""Two deep networks that see features through gates of their own."""

import dataclasses
from typing import Any

from keras import ops

from jd_tf.layers import BilinearFusion, GateUnit, SplitMLP, StackedMLP
from jd_tf.layers.interaction.cross_network import side_by_side
from jd_tf.models.network_config import FieldsRankerConfig
from jd_tf.models.network_ranker import NetworkRanker, split_shapes
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class FinalMLPConfig(FieldsRankerConfig):
    """Sizes of `FinalMLP`; `hidden_units` are those of each stream.

    Attributes:
        gate_units: width of the hidden layer of a gate.
        num_heads: slices of both streams that are multiplied; must divide the
            last of `hidden_units`.

    Example:
    >>> FinalMLPConfig.of(num_heads=2).gate_units
    32
    """

    gate_units: int = 32
    num_heads: int = 4


@register_model("final_mlp", FinalMLPConfig)
class FinalMLP(NetworkRanker):
    """Multiplies the outputs of two deep networks over gated features.

        o_1 = MLP_1(2 sigmoid(g_1(user)) * x)
        o_2 = MLP_2(2 sigmoid(g_2(candidate)) * x),   x = [candidate, user]
        logit_t = b_t + w_t o_1 + v_t o_2 + sum_h o_1h^T W_ht o_2h

        x ─┬─ user_gate ────── first ──┬─ fusion ─ logits
           └─ candidate_gate ─ second ─┘

    The user's gate, and his half of the first stream's first product, run once
    a request; the candidate's gate changes the user's features, too, so that
    the second stream runs once a candidate. Arguments and outputs are those of
    `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("final_mlp").model_class.__name__
    'FinalMLP'

    References:
        FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction. Mao et
        al., AAAI 2023 (equations 4 to 10).
    """

    config_class = FinalMLPConfig

    def make_parts(self, candidate_dim: int, user_dim: int) -> None:
        config, network = self.config, self.config.network
        dim, width = candidate_dim + user_dim, network.hidden_units[-1]
        gate = dim, config.gate_units
        self.user_gate = self.add_part(
            GateUnit, "user_gate", (None, user_dim), *gate
        )
        self.candidate_gate = self.add_part(
            GateUnit, "candidate_gate", (None, None, candidate_dim), *gate
        )
        self.first = self.add_part(
            SplitMLP,
            "first",
            split_shapes(candidate_dim, user_dim),
            **network.deep,
        )
        self.second = self.add_part(
            StackedMLP, "second", (None, None, 1, dim), **network.deep
        )
        shape = (None, None, width)
        self.fusion_layer = self.add_part(
            BilinearFusion,
            "fusion_layer",
            {"first_shape": shape, "second_shape": shape},
            len(self.schema.objectives),
            config.num_heads,
        )

    def network(
        self, user: Any, candidates: Any, context: Any, training: bool
    ) -> tuple[Any, Any]:
        width = candidates.shape[-1]
        gate = self.user_gate(user)
        gated = candidates * gate[:, None, :width], user * gate[:, width:]
        first = self.first(*gated, training=training)[:, :, 0]
        both = side_by_side(candidates, user) * self.candidate_gate(candidates)
        second = self.second(both[:, :, None], training=training)[:, :, 0]
        shared = ops.concatenate([first, second], axis=-1)
        return self.fusion_layer(first, second), shared
