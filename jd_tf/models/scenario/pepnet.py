"""Gates by scenario over features, and by user over towers."""

import dataclasses
from typing import Any

import keras
from keras import ops

from jd_tf.layers import GateUnit, SplitMLP, StackedMLP
from jd_tf.models.network_config import NetworkConfig
from jd_tf.models.network_ranker import NetworkRanker
from jd_tf.models.ranker_config import ConfigGroup, RankerConfig
from jd_tf.models.ranking.jd_ranker_config import ItemsConfig
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class GatesConfig(ConfigGroup):
    """The gates.

    Attributes:
        gate_units: width of the hidden layer of a gate.
    """

    gate_units: int = 32


@dataclasses.dataclass(frozen=True)
class PEPNetConfig(RankerConfig):
    """Sizes of `PEPNet`; `hidden_units` are those of each tower.

    Example:
    >>> PEPNetConfig.of(gate_units=16).gates.gate_units
    16
    """

    items: ItemsConfig = dataclasses.field(default_factory=ItemsConfig)
    gates: GatesConfig = dataclasses.field(default_factory=GatesConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)


@register_model("pepnet", PEPNetConfig)
class PEPNet(NetworkRanker):
    """Scales features by scenario, and every layer of the towers by user.

        x' = gate([scenario, stop(user)]) * x,   x = [candidate, user]
        h_t^l = gate^l([request, stop(user')])_t * relu(W_t^l h_t^(l-1) + b)

        x ─ feature_gate ─ x' ─ layer 0 * gate 0 ─ layer 1 * gate 1 ─ logits

    stop lets no gradient pass. Gates read the scenario (all context, if the
    schema names no scenario) and the user, not the candidate's ids, which
    the paper's gates read as well: so all of them, and the user's half of
    the first product, run once a request. Objectives share embeddings and
    feature gate. Arguments, call arguments and outputs are those of
    `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("pepnet").model_class.__name__
    'PEPNet'

    References:
        PEPNet: Parameter and Embedding Personalized Network for Infusing with
        Personalized Prior Information. Chang et al., KDD 2023 (equations 3
        to 8).
    """

    config_class = PEPNetConfig

    def make_network(self) -> None:
        units, shared = self.config.network.hidden_units, self._shared
        num_tasks = len(self.schema.objectives)
        self.first = SplitMLP(
            units[:1], num_tasks, last_activation="relu", name="first", **shared
        )
        self.deeper = [
            StackedMLP(
                (width,),
                last_activation="relu",
                name=f"layer_{level}",
                **shared,
            )
            for level, width in enumerate(units[1:], 1)
        ]
        self.dropout = keras.layers.Dropout(
            self.config.network.dropout_rate, name="dropout", **shared
        )
        self.output_layer = StackedMLP((1,), name="output_layer", **shared)
        self.layer_gates = [
            GateUnit(
                num_tasks * width,
                self.config.gates.gate_units,
                name=f"gate_{level}",
                **shared,
            )
            for level, width in enumerate(units)
        ]

    @property
    def _shared(self) -> dict[str, Any]:
        return {"dtype": self.dtype_policy}

    @property
    def _scenario_columns(self) -> slice:
        """Where the scenario stands in the encoded request."""
        schema, width = self.schema, self.config.items.context_embedding_dim
        names = [column.name for column in schema.context_columns]
        if schema.scenario_column not in names:
            return slice(0, self.context_encoder.output_dim)
        place = names.index(schema.scenario_column)
        return slice(place * width, (place + 1) * width)

    def build_network(self, candidate_dim: int, user_dim: int) -> None:
        scenario = self._scenario_columns
        self.feature_gate = GateUnit(
            candidate_dim + user_dim,
            self.config.gates.gate_units,
            name="feature_gate",
            **self._shared,
        )
        gate_dim = scenario.stop - scenario.start + user_dim
        self.feature_gate.build((None, gate_dim))
        self.first.build((None, None, candidate_dim), (None, user_dim))
        units = self.config.network.hidden_units
        slices = len(self.schema.objectives)
        for layer, width in zip(
            [*self.deeper, self.output_layer], units, strict=True
        ):
            layer.build((None, None, slices, width))
        self.dropout.build((None, None, slices, units[0]))
        for gate in self.layer_gates:
            gate.build((None, self.context_encoder.output_dim + user_dim))

    def network(
        self,
        user: Any,
        candidates: Any,
        context: Any,
        training: bool = False,
    ) -> tuple[Any, Any]:
        request, width = context["encoded"], candidates.shape[-1]
        scenario = request[:, self._scenario_columns]
        prior = ops.concatenate([scenario, ops.stop_gradient(user)], axis=-1)
        gate = self.feature_gate(prior)
        candidates *= gate[:, None, :width]
        user *= gate[:, width:]
        prior = ops.concatenate([request, ops.stop_gradient(user)], axis=-1)
        hidden = self.first(candidates, user)
        for level, layer_gate in enumerate(self.layer_gates):
            if level:
                hidden = self.dropout(hidden, training=training)
                hidden = self.deeper[level - 1](hidden)
            shape = (-1, 1, hidden.shape[-2], hidden.shape[-1])
            hidden *= ops.reshape(layer_gate(prior), shape)
        return self.output_layer(hidden)[..., 0], candidates
