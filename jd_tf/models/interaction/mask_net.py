"""Features behind masks that all of them choose."""

import dataclasses
from typing import Any

import keras
from keras import ops

from jd_tf.layers import MaskBlock, StackedMLP
from jd_tf.models.network_config import FieldsConfig, NetworkConfig
from jd_tf.models.network_ranker import NetworkRanker
from jd_tf.models.ranker_config import ConfigGroup, RankerConfig
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class MasksConfig(ConfigGroup):
    """The mask blocks.

    Attributes:
        num_blocks: blocks side by side.
        block_units: width of a block's output.
        mask_units: inner width of what makes a mask.
    """

    num_blocks: int = 3
    block_units: int = 64
    mask_units: int = 64


@dataclasses.dataclass(frozen=True)
class MaskNetConfig(RankerConfig):
    """Sizes of `MaskNet`.

    Example:
    >>> MaskNetConfig.of(num_blocks=2).masks.num_blocks
    2
    """

    items: FieldsConfig = dataclasses.field(default_factory=FieldsConfig)
    masks: MasksConfig = dataclasses.field(default_factory=MasksConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)


@register_model("mask_net", MaskNetConfig)
class MaskNet(NetworkRanker):
    """Reads features through several masks, then a deep network.

        h_k = relu(LN(W_k (mask_k(x) * LN(x)))),   logit_t = w_t MLP([h_1 ...])

        vectors, numbers x ─┬─ block 1 ─┬─ deep ─ output ─ logits
                            └─ block 2 ─┘

    The parallel MaskNet of the paper; `MaskBlock` says what a block does and
    which half of it runs once a request. Arguments, call arguments and
    outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("mask_net").model_class.__name__
    'MaskNet'

    References:
        MaskNet: Introducing Feature-Wise Multiplication to CTR Ranking Models
        by Instance-Guided Mask. Wang, She, Zhang, DLP-KDD 2021 (section 4.5).
    """

    config_class = MaskNetConfig

    def make_network(self) -> None:
        masks, network = self.config.masks, self.config.network
        shared = {"dtype": self.dtype_policy}
        self.blocks = [
            MaskBlock(
                masks.block_units,
                masks.mask_units,
                name=f"block_{number}",
                **shared,
            )
            for number in range(masks.num_blocks)
        ]
        self.deep = StackedMLP(
            network.hidden_units,
            last_activation="relu",
            dropout_rate=network.dropout_rate,
            name="deep",
            **shared,
        )
        self.output_layer = keras.layers.Dense(
            len(self.schema.objectives), name="output_layer", **shared
        )

    def build_network(self, candidate_dim: int, user_dim: int) -> None:
        for block in self.blocks:
            block.build((None, None, candidate_dim), (None, user_dim))
        masks, network = self.config.masks, self.config.network
        width = masks.num_blocks * masks.block_units
        self.deep.build((None, None, 1, width))
        self.output_layer.build((None, None, network.hidden_units[-1]))

    def network(
        self,
        user: Any,
        candidates: Any,
        context: Any,
        training: bool = False,
    ) -> tuple[Any, Any]:
        masked = [block(candidates, user) for block in self.blocks]
        masked = ops.concatenate(masked, axis=-1)[:, :, None]
        deep = self.deep(masked, training=training)[:, :, 0]
        return self.output_layer(deep), deep
