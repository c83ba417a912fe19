"""A network that all scenarios share and each bends."""

import dataclasses
from typing import Any

from jd_tf.layers import PartitionedNormalization, SplitMLP, StarMLP
from jd_tf.models.base import Tensors
from jd_tf.models.network_config import TokensRankerConfig
from jd_tf.models.network_ranker import NetworkRanker, split_shapes
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class STARConfig(TokensRankerConfig):
    """Sizes of `STAR`; `network.dropout_rate` is not used.

    Attributes:
        auxiliary_units: widths of the hidden layers of the auxiliary network,
            which knows the scenario as a feature.

    Example:
    >>> STARConfig.of(auxiliary_units=(8,)).auxiliary_units
    (8,)
    """

    auxiliary_units: tuple[int, ...] = (16,)


@register_model("star", STARConfig)
class STAR(NetworkRanker):
    """Gives every scenario a network of its own around a shared one.

        logit = StarMLP_s([PN_s(candidate), PN_s(user)]) + MLP([x, request])

        user, candidate ─ norms of the scenario ─┬─ networks ─┬─ logits
        request (the scenario's vector) ─────────┴─ auxiliary ┘

    s is the scenario of the request: the schema's `scenario_column`, by its
    vocabulary; others, and all without such a column, count as one. The
    user's norm, the scenario's matrices and the user's half of the first
    products run once a request. `StarMLP` and `PartitionedNormalization` have
    the equations. Arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("star").model_class.__name__
    'STAR'

    References:
        One Model to Serve All: Star Topology Adaptive Recommender for
        Multi-Domain CTR Prediction. Sheng et al., CIKM 2021 (equations 2 to
        8).
    """

    config_class = STARConfig

    def make_parts(self, candidate_dim: int, user_dim: int) -> None:
        config, num_tasks = self.config, len(self.schema.objectives)
        number = 1 + len(self.schema.scenarios)
        self.user_norm, self.candidate_norm = (
            self.add_part(
                PartitionedNormalization,
                f"{name}_norm",
                {"inputs_shape": (None, dim), "scenarios_shape": (None,)},
                number,
            )
            for name, dim in (("user", user_dim), ("candidate", candidate_dim))
        )
        self.networks = self.add_part(
            StarMLP,
            "networks",
            {
                **split_shapes(candidate_dim, user_dim),
                "scenarios_shape": (None,),
            },
            number,
            (*config.network.hidden_units, num_tasks),
        )
        self.auxiliary = self.add_part(
            SplitMLP,
            "auxiliary",
            split_shapes(candidate_dim, self.context_encoder.output_dim),
            (*config.auxiliary_units, num_tasks),
        )

    def encode_request(self, user_state: Tensors, request: Tensors) -> Any:
        context = super().encode_request(user_state, request)
        scenario = request["request_time"] * 0
        if self.schema.scenarios:
            names = [column.name for column in self.schema.context_columns]
            place = names.index(self.schema.scenario_column)
            # Row 0 is of none, row 1 of those that nobody knows.
            table = self.context_encoder.tables[place]
            scenario = table.rows(request[self.schema.scenario_column]) - 1
        return {**context, "scenario": scenario}

    def network(
        self, user: Any, candidates: Any, context: Any, training: bool
    ) -> tuple[Any, Any]:
        scenario = context["scenario"]
        user = self.user_norm(user, scenario)
        candidates = self.candidate_norm(candidates, scenario)
        logits = self.networks(candidates, user, scenario)
        auxiliary = self.auxiliary(candidates, context["encoded"])
        return logits + auxiliary[:, :, 0], candidates
