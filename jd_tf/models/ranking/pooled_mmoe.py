"""A small ranker: mean-pooled histories, id overlaps, a mixture of experts."""

import dataclasses
from typing import Any

from keras import ops

from jd_tf.layers import IdOverlap
from jd_tf.layers.masking import length_mask
from jd_tf.models.base import Tensors
from jd_tf.models.blocks.event_ages import newest_time
from jd_tf.models.blocks.item_encoder import ItemEncoder
from jd_tf.models.multi_task_ranker import MultiTaskRanker
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
class PooledMMoE(MultiTaskRanker):
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
        schema, items = self.schema, self.config.items
        shared = {"dtype": self.dtype_policy}
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
            max_values=schema.values_per_id,
            value_rows=[c.value_rows for c in schema.item_id_columns],
            name="id_overlap",
            **shared,
        )
        self.make_head(len(schema.behaviors), items.model_dim)

    def build_readers(self) -> tuple[int, int]:
        """See `MultiTaskRanker`."""
        schema, dim = self.schema, self.config.items.model_dim
        num_behaviors = len(schema.behaviors)
        num_ids = sum(schema.values_per_id)
        self.id_overlap.build((None, None, num_ids), (None, None, num_ids))
        overlap = len(schema.item_id_columns) * self.id_overlap.num_features(0)
        # The token, and with each mean: their product.
        return dim + num_behaviors * (dim + overlap), num_behaviors * dim

    def encode_histories(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        state, means, read = {}, [], []
        for number, behavior in enumerate(self.schema.behaviors, 1):
            name, length = behavior.name, histories[behavior.length]
            ids = self.item_ids(histories, f"{name}_")
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
        return state | self.shared_state(histories, means, read, training)

    def candidate_logits(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        training: bool = False,
    ) -> tuple[Any, Any]:
        ids = self.item_ids(candidates)
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
        logits, mixed = self.conditional_logits(
            user_state, context, ops.concatenate(parts, axis=-1), training
        )
        return self.entire_space(logits), mixed
