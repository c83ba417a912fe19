"""Gates by scenario over features, and by user over towers."""

import dataclasses
from typing import Any

import keras
from keras import ops

from jd_tf.layers import GateUnit, SplitMLP, StackedMLP
from jd_tf.models.network_config import TokensRankerConfig
from jd_tf.models.network_ranker import NetworkRanker, split_shapes
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class PEPNetConfig(TokensRankerConfig):
    """Sizes of `PEPNet`; `hidden_units` are those of each tower.

    Attributes:
        gate_units: width of the hidden layer of a gate.

    Example:
    >>> PEPNetConfig.of(gate_units=16).gate_units
    16
    """

    gate_units: int = 32


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
    feature gate. Arguments and outputs are those of `RankingModel`.

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

    def make_parts(self, candidate_dim: int, user_dim: int) -> None:
        network, gate_units = self.config.network, self.config.gate_units
        units, num_tasks = network.hidden_units, len(self.schema.objectives)
        scenario = self._scenario_columns
        self.feature_gate = self.add_part(
            GateUnit,
            "feature_gate",
            (None, scenario.stop - scenario.start + user_dim),
            candidate_dim + user_dim,
            gate_units,
        )
        self.first = self.add_part(
            SplitMLP,
            "first",
            split_shapes(candidate_dim, user_dim),
            units[:1],
            num_tasks,
            last_activation="relu",
        )
        # The last of them is the logits'.
        self.deeper = [
            self.add_part(
                StackedMLP,
                f"layer_{level}",
                (None, None, num_tasks, units[level - 1]),
                (*units, 1)[level : level + 1],
                last_activation="relu" if level < len(units) else None,
            )
            for level in range(1, len(units) + 1)
        ]
        prior_dim = self.context_encoder.output_dim + user_dim
        self.layer_gates = [
            self.add_part(
                GateUnit,
                f"gate_{level}",
                (None, prior_dim),
                num_tasks * width,
                gate_units,
            )
            for level, width in enumerate(units)
        ]
        self.dropout = self.add_part(
            keras.layers.Dropout,
            "dropout",
            (None, None),
            network.dropout_rate,
        )

    @property
    def _scenario_columns(self) -> slice:
        """Returns the place of the scenario in the encoded request."""
        schema, width = self.schema, self.config.items.context_embedding_dim
        names = [column.name for column in schema.context_columns]
        if schema.scenario_column not in names:
            return slice(0, self.context_encoder.output_dim)
        place = names.index(schema.scenario_column)
        return slice(place * width, (place + 1) * width)

    def network(
        self, user: Any, candidates: Any, context: Any, training: bool
    ) -> tuple[Any, Any]:
        request, width = context["encoded"], candidates.shape[-1]
        scenario = request[:, self._scenario_columns]
        prior = ops.concatenate([scenario, ops.stop_gradient(user)], axis=-1)
        gate = self.feature_gate(prior)
        candidates *= gate[:, None, :width]
        user *= gate[:, width:]
        prior = ops.concatenate([request, ops.stop_gradient(user)], axis=-1)
        hidden = self.first(candidates, user)
        for layer_gate, layer in zip(
            self.layer_gates, self.deeper, strict=True
        ):
            shape = (-1, 1, hidden.shape[-2], hidden.shape[-1])
            hidden *= ops.reshape(layer_gate(prior), shape)
            hidden = layer(self.dropout(hidden, training=training))
        return hidden[..., 0], candidates
