"""A small ranker: mean-pooled histories, id overlaps, a mixture of experts."""

import dataclasses
from typing import Any

from keras import ops

from jd_tf.layers import (
    EntireSpaceLogits,
    FeatureNormalization,
    IdOverlap,
    MixtureOfExperts,
    TaskTower,
)
from jd_tf.layers.masking import length_mask
from jd_tf.models.base import RankingModel, Tensors
from jd_tf.models.blocks.context_encoder import ContextEncoder
from jd_tf.models.blocks.event_ages import newest_time, since_newest
from jd_tf.models.blocks.item_encoder import ItemEncoder
from jd_tf.models.blocks.session_features import SessionFeatures
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
class PooledMMoE(RankingModel):
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

    def make_layers(self) -> None:
        schema, items, head = self.schema, self.config.items, self.config.head
        shared = {"dtype": self.dtype_policy}
        num_tasks = len(schema.objectives)
        self.item_encoder = ItemEncoder(
            schema.item_columns,
            len(schema.behaviors),
            items.model_dim,
            items.item_embedding_dim,
            items.feature_embedding_dim,
            name="item_encoder",
            **shared,
        )
        self.id_overlap = IdOverlap(
            max_values=schema.values_per_id, name="id_overlap", **shared
        )
        self.context_encoder = ContextEncoder(
            schema.context_columns,
            items.context_embedding_dim,
            len(schema.session_dense),
            len(schema.behaviors),
            schema.linear_indices(schema.session_dense),
            name="context_encoder",
            **shared,
        )
        self.item_normalization = FeatureNormalization(
            schema.linear_indices(schema.item_dense),
            name="item_dense",
            **shared,
        )
        self.experts = MixtureOfExperts(
            head.num_experts,
            head.expert_units,
            num_tasks,
            dropout_rate=head.dropout_rate,
            name="experts",
            **shared,
        )
        self.towers = TaskTower(
            num_tasks,
            head.tower_units,
            dropout_rate=head.dropout_rate,
            name="towers",
            **shared,
        )
        self.entire_space = EntireSpaceLogits(
            schema.given_indices, name="entire_space", dtype="float32"
        )
        self.session = SessionFeatures(
            schema.behaviors,
            items.model_dim,
            self.context_encoder.output_dim,
            len(schema.session_dense),
            self.config.fusion.session_seconds,
            name="session_features",
        )

    def build_layers(self) -> None:
        schema, dim = self.schema, self.config.items.model_dim
        num_behaviors, num_tasks = len(schema.behaviors), len(schema.objectives)
        num_dense, num_ids = len(schema.item_dense), len(schema.item_id_columns)
        self.item_encoder.build()
        self.context_encoder.build()
        if num_dense:
            self.item_normalization.build((None, None, num_dense))
        overlap = num_ids * self.id_overlap.num_features(0)
        # The token, and with each mean: their product.
        candidate_dim = dim + num_behaviors * (dim + overlap) + num_dense
        user_dim = num_behaviors * dim + self.context_encoder.output_dim
        self.experts.build((None, None, candidate_dim), (None, user_dim))
        expert_dim = self.config.head.expert_units[-1]
        self.towers.build((None, None, num_tasks, expert_dim))
        self.entire_space.build((None, None, num_tasks))
        self.session.build()

    def encode_histories(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        state, means, read = {}, [], []
        for number, behavior in enumerate(self.schema.behaviors, 1):
            name, length = behavior.name, histories[behavior.length]
            ids = [
                histories[f"{name}_{column.name}"]
                for column in self.schema.item_columns
            ]
            tokens = self.item_encoder(ids, gate_index=number)
            real = length_mask(length, ops.shape(tokens)[1])[..., None]
            total = ops.sum(ops.where(real, tokens, 0.0), axis=1)
            count = ops.cast(ops.maximum(length, 1), total.dtype)
            means.append(total / count[:, None])
            overlap = self.id_overlap.encode_history(
                self.item_encoder.rows(ids), length
            )
            state[f"{name}_mean"] = means[-1]
            state[f"{name}_rows"] = overlap["ids"]
            state[f"{name}_overlap_weights"] = overlap["weights"]
            state[f"{name}_length"] = length
            state[f"{name}_newest_time"] = newest_time(
                histories[f"{name}_event_time"], length
            )
            read.append({"interest": means[-1], "values": tokens[:, None]})
        state["experts"] = self.experts.encode_user(
            ops.concatenate(means, axis=-1)
        )
        if self.fusion is not None and not training:
            columns = {name: histories[name] for name in self.session.columns}
            state["session"] = self.session.encode_histories(columns, read)
        return state

    def encode_request(self, user_state: Tensors, request: Tensors) -> Any:
        time, behaviors = request["request_time"], self.schema.behaviors
        since = since_newest(user_state, behaviors, time)
        return self.context_encoder.of_request(request, since), since

    def candidate_logits(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        training: bool = False,
    ) -> tuple[Any, Any]:
        ids = [candidates[c.name] for c in self.schema.item_columns]
        tokens, rows = self.item_encoder(ids), self.item_encoder.rows(ids)
        parts = [tokens]
        for behavior in self.schema.behaviors:
            mean, *events = (
                user_state[f"{behavior.name}_{part}"]
                for part in ("mean", "rows", "overlap_weights", "length")
            )
            parts.append(tokens * ops.expand_dims(mean, 1))
            parts.append(self.id_overlap.match(rows, *events))
        if self.schema.item_dense:
            parts.append(self.item_normalization(candidates["item_dense"]))
        state = self.experts.add_request(user_state["experts"], context[0])
        mixed = self.experts.mix(
            ops.concatenate(parts, axis=-1), state, training=training
        )
        logits = self.towers(mixed, training=training)
        return self.entire_space(ops.cast(logits, "float32")), mixed

    @property
    def session_dim(self) -> int:
        """Returns the width of the session features."""
        return self.session.output_dim

    def session_features(self, user_state: Tensors, context: Any) -> Any:
        return self.session.at_request(user_state["session"], *context)
