"""Features behind masks that all of them choose."""

import dataclasses
from typing import Any

from keras import ops

from jd_tf.layers import MaskBlock, StackedMLP
from jd_tf.models.network_config import FieldsRankerConfig
from jd_tf.models.network_ranker import NetworkRanker, split_shapes
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class MaskNetConfig(FieldsRankerConfig):
    """Sizes of `MaskNet`.

    Attributes:
        num_blocks: mask blocks side by side.
        block_units: width of a block's output.
        mask_units: inner width of what makes a mask.

    Example:
    >>> MaskNetConfig.of(num_blocks=2).block_units
    64
    """

    num_blocks: int = 3
    block_units: int = 64
    mask_units: int = 64


@register_model("mask_net", MaskNetConfig)
class MaskNet(NetworkRanker):
    """Reads features through several masks, then a deep network.

        h_k = relu(LN(W_k (mask_k(x) * LN(x)))),   logit_t = w_t MLP([h_1 ...])

        vectors, numbers x ─┬─ block 1 ─┬─ deep ─ output ─ logits
                            └─ block 2 ─┘

    The parallel MaskNet of the paper; `MaskBlock` says what a block does and
    which half of it runs once a request. Arguments and outputs are those of
    `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("mask_net").model_class.__name__
    'MaskNet'

    References:
        MaskNet: Introducing Feature-Wise Multiplication to CTR Ranking Models
        by Instance-Guided Mask. Wang, She, Zhang, DLP-KDD 2021 (section 4.5).
    """

    config_class = MaskNetConfig

    def make_parts(self, candidate_dim: int, user_dim: int) -> None:
        config, network = self.config, self.config.network
        shapes = split_shapes(candidate_dim, user_dim)
        sizes = config.block_units, config.mask_units
        self.blocks = [
            self.add_part(MaskBlock, f"block_{number}", shapes, *sizes)
            for number in range(config.num_blocks)
        ]
        width = config.num_blocks * config.block_units
        self.deep = self.add_part(
            StackedMLP, "deep", (None, None, 1, width), **network.deep
        )
        self.output_layer = self.add_dense(
            "output_layer",
            network.hidden_units[-1],
            len(self.schema.objectives),
        )

    def network(
        self, user: Any, candidates: Any, context: Any, training: bool
    ) -> tuple[Any, Any]:
        masked = [block(candidates, user) for block in self.blocks]
        masked = ops.concatenate(masked, axis=-1)[:, :, None]
        deep = self.deep(masked, training=training)[:, :, 0]
        return self.output_layer(deep), deep
