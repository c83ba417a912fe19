"""One Transformer per behaviour, read by target attention."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jd_tf.layers import TargetAttentionDecoder, TransformerEncoder
from jd_tf.models.ranking.jd_ranker_config import HeadConfig
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import (
    SequenceRankerConfig,
    TransformerConfig,
)
from jd_tf.models.sequence.sequence_ranker import SequenceRanker


@dataclasses.dataclass(frozen=True)
class DMTConfig(SequenceRankerConfig):
    """Sizes of `DMT`.

    Attributes:
        transformer: of every behaviour; the decoder's is as wide.
        head: experts of the mixture, towers and the bias tower.

    Example:
    >>> DMTConfig.of(num_experts=2).head.num_experts
    2
    """

    transformer: TransformerConfig = dataclasses.field(
        default_factory=TransformerConfig
    )
    head: HeadConfig = dataclasses.field(default_factory=HeadConfig)


@register_model("dmt", DMTConfig)
class DMT(SequenceRanker):
    """Reads each behaviour's encoded history by target attention.

        h = Encoder(events),   r(q) = Decoder(q, h)
        logit_t = tower_t(sum over experts of gate_te expert_e) + bias_t

        events ─ encoder ─ keys and values ─┐
        candidate q ─────────────── decoder ┴─ r(q) ─ experts ─ towers ─┐
        position, page ─ bias tower, while training ────────────────────┴─ +

    Clicks, carts and orders are read apart, and all r(q) stand side by side.
    This is the published model that `JDRanker` grew from: without overlaps,
    interests of second order, pictures, titles, pairs and trees. The paper's
    blocks normalise after each part, these before it. Arguments, call
    arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("dmt").model_class.__name__
    'DMT'

    References:
        Deep Multifaceted Transformers for Multi-objective Ranking in
        Large-Scale E-commerce Recommender Systems. Gu et al., CIKM 2020.
    """

    config_class = DMTConfig

    def make_layers(self) -> None:
        super().make_layers()
        self.make_bias_tower()

    def make_reader(self, name: str) -> list[Any]:
        sizes, shared = self.config.transformer, {"dtype": self.dtype_policy}
        dropout_rate = self.config.head.dropout_rate
        encoder = TransformerEncoder(
            **dataclasses.asdict(sizes),
            dropout_rate=dropout_rate,
            name=f"{name}_encoder",
            **shared,
        )
        decoder = TargetAttentionDecoder(
            sizes.num_heads,
            sizes.feedforward_dim,
            dropout_rate,
            name=f"{name}_decoder",
            **shared,
        )
        return [encoder, decoder]

    def build_reader(self, reader: Sequence[Any], shape: tuple) -> None:
        encoder, decoder = reader
        encoder.build(shape)
        decoder.build(shape, shape)

    def encode_events(
        self,
        reader: Sequence[Any],
        tokens: Any,
        length: Any,
        training: bool = False,
    ) -> tuple[dict[str, Any], Any]:
        encoder, decoder = reader
        memory = encoder(tokens, length, training=training)
        return decoder.encode_memory(memory), memory

    def read_events(
        self,
        reader: Sequence[Any],
        candidates: Any,
        state: Mapping[str, Any],
        training: bool = False,
    ) -> Any:
        _, decoder = reader
        return decoder.attend(
            candidates,
            state["keys"],
            state["values"],
            state["length"],
            training,
        )
