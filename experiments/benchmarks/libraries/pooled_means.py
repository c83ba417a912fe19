"""`pooled_mmoe` on what row models read."""

from typing import Any

from keras import ops

from jd_tf.models.base import Tensors
from jd_tf.models.ranking.pooled_mmoe import PooledMMoE, PooledMMoEConfig
from jd_tf.models.registry import register_model

POOLED_MEANS = "pooled_means"


@register_model(POOLED_MEANS, PooledMMoEConfig)
class PooledMeans(PooledMMoE):
    """Leaves out how often a candidate's ids stand in the histories."""

    @property
    def _reading_dims(self) -> tuple[int, int]:
        dim, count = self.item_encoder.output_dim, len(self.schema.behaviors)
        return (1 + count) * dim, count * dim

    def candidate_features(
        self, user_state: Tensors, candidates: Tensors
    ) -> Any:
        """See `PooledRanker`."""
        tokens = self.item_encoder(self.item_ids(candidates))
        parts: list[Any] = [tokens]
        for behavior in self.schema.behaviors:
            mean = user_state[f"{behavior.name}_mean"]
            parts.append(tokens * ops.expand_dims(mean, 1))
        if self.schema.item_dense:
            parts.append(self.item_normalization(candidates["item_dense"]))
        return ops.concatenate(parts, axis=-1)
