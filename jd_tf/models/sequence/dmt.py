"""One Transformer per behaviour, read by target attention."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jd_tf.layers import TargetAttentionDecoder, TransformerEncoder
from jd_tf.models.ranking.jd_ranker_config import HeadConfig
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import StackRankerConfig
from jd_tf.models.sequence.sequence_ranker import SequenceRanker


@dataclasses.dataclass(frozen=True)
class DMTConfig(StackRankerConfig):
    """Sizes of `DMT`: a mixture of experts by default.

    Example:
    >>> DMTConfig().head.num_experts
    4
    """

    head: HeadConfig = dataclasses.field(default_factory=HeadConfig)


@register_model("dmt", DMTConfig)
class DMT(SequenceRanker):
    """Reads each behaviour's encoded history by target attention.

        h = Encoder(events),   r(q) = Decoder(q, h)
        logit_t = tower_t(sum over experts of gate_te expert_e) + bias_t

        events ─ encoder ─ keys and values ─┐
        candidate q ─────────────── decoder ┴─ r(q) ─ experts ─ towers ─┐
        position, page ─ bias tower, while training ────────────────────┴─ +

    Clicks, carts and orders are read apart. `JDRanker` is this published model
    with overlaps, interests of second order, pictures, titles, pairs and
    trees. The paper's blocks normalise after each part, these before it.
    Arguments, call arguments and outputs are those of `RankingModel`.

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
        stack = self.config.stack
        shared = {
            "dropout_rate": self.config.head.dropout_rate,
            "dtype": self.dtype_policy,
        }
        encoder = TransformerEncoder(
            **dataclasses.asdict(stack), name=f"{name}_encoder", **shared
        )
        decoder = TargetAttentionDecoder(
            stack.num_heads,
            stack.feedforward_dim,
            name=f"{name}_decoder",
            **shared,
        )
        return [encoder, decoder]

    def build_reader(self, reader: list[Any], shape: tuple) -> None:
        reader[0].build(shape)
        reader[1].build(shape, shape)

    def encode_events(
        self, reader: list[Any], tokens: Any, length: Any, training: bool
    ) -> tuple[dict[str, Any], Any]:
        memory = reader[0](tokens, length, training=training)
        return reader[1].encode_memory(memory), memory

    def read_events(
        self,
        reader: list[Any],
        candidates: Any,
        state: Mapping[str, Any],
        training: bool,
    ) -> Any:
        memory = (state[name] for name in ("keys", "values", "length"))
        return reader[1].attend(candidates, *memory, training=training)
