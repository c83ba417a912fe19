"""A network that all scenarios share and each bends."""

import dataclasses
from typing import Any

from jd_tf.layers import PartitionedNormalization, SplitMLP, StarMLP
from jd_tf.models.base import Tensors
from jd_tf.models.network_ranker import NetworkRanker
from jd_tf.models.ranker_config import ConfigGroup, RankerConfig
from jd_tf.models.ranking.jd_ranker_config import ItemsConfig
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class TopologyConfig(ConfigGroup):
    """The networks of the scenarios, and the auxiliary one.

    Attributes:
        hidden_units: widths of the networks of the scenarios.
        auxiliary_units: widths of the hidden layers of the auxiliary network,
            which knows the scenario as a feature.
    """

    hidden_units: tuple[int, ...] = (128, 64)
    auxiliary_units: tuple[int, ...] = (16,)


@dataclasses.dataclass(frozen=True)
class STARConfig(RankerConfig):
    """Sizes of `STAR`.

    Example:
    >>> STARConfig.of(auxiliary_units=(8,)).network.auxiliary_units
    (8,)
    """

    items: ItemsConfig = dataclasses.field(default_factory=ItemsConfig)
    network: TopologyConfig = dataclasses.field(default_factory=TopologyConfig)


@register_model("star", STARConfig)
class STAR(NetworkRanker):
    """Gives every scenario a network of its own around a shared one.

        logit = StarMLP_s([PN_s(candidate), PN_s(user)]) + MLP([x, request])

        user, candidate ─ norms of the scenario ─┬─ star ─────┬─ logits
        request (the scenario's vector) ─────────┴─ auxiliary ┘

    s is the scenario of the request: the schema's `scenario_column`, by its
    vocabulary; others, and all without such a column, count as one. The
    user's norm, the scenario's matrices and the user's half of the first
    products run once a request. `StarMLP` and `PartitionedNormalization` have
    the equations. Arguments, call arguments and outputs are those of
    `RankingModel`.

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

    def make_network(self) -> None:
        shared = {"dtype": self.dtype_policy}
        num_tasks = len(self.schema.objectives)
        number = 1 + len(self.schema.scenarios)
        self.user_norm, self.candidate_norm = (
            PartitionedNormalization(number, name=f"{name}_norm", **shared)
            for name in ("user", "candidate")
        )
        units = self.config.network.hidden_units
        self.star = StarMLP(number, (*units, num_tasks), name="star", **shared)
        units = self.config.network.auxiliary_units
        self.auxiliary = SplitMLP(
            (*units, num_tasks), name="auxiliary", **shared
        )

    def build_network(self, candidate_dim: int, user_dim: int) -> None:
        user, candidate = (None, user_dim), (None, None, candidate_dim)
        self.user_norm.build(user, (None,))
        self.candidate_norm.build(candidate, (None,))
        self.star.build(candidate, user, (None,))
        request = (None, self.context_encoder.output_dim)
        self.auxiliary.build(candidate, request)

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
        self,
        user: Any,
        candidates: Any,
        context: Any,
        training: bool = False,
    ) -> tuple[Any, Any]:
        scenario = context["scenario"]
        user = self.user_norm(user, scenario)
        candidates = self.candidate_norm(candidates, scenario)
        logits = self.star(candidates, user, scenario)
        auxiliary = self.auxiliary(candidates, context["encoded"])
        return logits + auxiliary[:, :, 0], candidates
