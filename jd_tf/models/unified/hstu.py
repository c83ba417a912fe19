"""Sequential transduction units over events and candidates."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import HSTUBlock
from jd_tf.layers.sequence.kept_events import layer_states
from jd_tf.models.base import Tensors
from jd_tf.models.ranker_config import ConfigGroup
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import (
    TimelineConfig,
    TimelineRankerConfig,
)
from jd_tf.models.sequence.timeline_ranker import TimelineRanker


@dataclasses.dataclass(frozen=True)
class UnitsConfig(ConfigGroup):
    """Sizes of the stack of `HSTU`.

    Attributes:
        num_layers: units.
        num_heads: attention heads of each.
        num_age_buckets: logarithmic buckets of the seconds between two
            events, each with a score; 0 does not read times.
    """

    num_layers: int = 2
    num_heads: int = 4
    num_age_buckets: int = 32


@dataclasses.dataclass(frozen=True)
class HSTUConfig(TimelineRankerConfig):
    """Sizes of `HSTU`.

    Example:
    >>> HSTUConfig.of(num_heads=2).units.num_heads
    2
    """

    timeline: TimelineConfig = dataclasses.field(
        default_factory=lambda: TimelineConfig(use_gaps=False)
    )
    units: UnitsConfig = UnitsConfig()


@register_model("hstu", HSTUConfig)
class HSTU(TimelineRanker):
    """Sends events and candidates through one causal stack.

        [u, v, q, k] = silu(W norm(x))
        x' = x + W' (norm(sum of silu(q k + p + t) / n * v) * u)

        events of all behaviours by time ─ units ─ keys, values ─┐
        candidate [q | dense features] ─── units ────────────────┴─ r(q)

    `HSTUBlock` says what p and t are. A candidate stands where the next event
    would: it sees all events and itself, at the time of the request, and no
    other candidate; events see no candidate. Keys and values of events are the
    user state. As in MTGR a candidate's numbers are part of its token, and all
    objectives learn from impressions, while the paper predicts the next
    action of a sequence of items and actions. Behaviours are merged into one
    timeline, each event with a vector of its behaviour. Arguments, call
    arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> get_model("hstu").model_class.__name__
    'HSTU'

    References:
        Actions Speak Louder than Words: Trillion-Parameter Sequential
        Transducers for Generative Recommendations. Zhai et al., ICML 2024.
        MTGR: Industrial-Scale Generative Recommendation Framework in Meituan.
        Han et al., CIKM 2025.
    """

    config_class = HSTUConfig

    def make_stack(self) -> None:
        units, shared = self.config.units, {"dtype": self.dtype_policy}
        self.units = [
            HSTUBlock(
                units.num_heads,
                self.window + 1,
                units.num_age_buckets,
                self.config.head.dropout_rate,
                name=f"unit_{number}",
                **shared,
            )
            for number in range(units.num_layers)
        ]
        self.candidate_map = keras.layers.Dense(
            self.config.items.model_dim, name="candidate_map", **shared
        )
        self.last_norm = keras.layers.LayerNormalization(
            epsilon=1e-6, name="last_norm", **shared
        )

    def build_stack(self) -> int:
        dim = self.config.items.model_dim
        for unit in self.units:
            unit.build((None, None, dim))
        self.candidate_map.build((None, None, dim + self.numbers_dim))
        self.last_norm.build((None, None, dim))
        return dim

    def extend_stack(
        self,
        tokens: Any,
        timeline: Tensors,
        kept: Sequence[Any],
        training: bool = False,
    ) -> tuple[Any, list[dict[str, Any]]]:
        states = []
        for unit, old in zip(
            self.units, kept or [None] * len(self.units), strict=True
        ):
            tokens, state = unit.extend(
                tokens,
                timeline["event_time"],
                timeline["new_length"],
                timeline["length"],
                old,
                self.window,
                training,
            )
            states.append(state)
        return self.last_norm(tokens), states

    def encode_request(self, user_state: Tensors, request: Tensors) -> Any:
        context = super().encode_request(user_state, request)
        return {**context, "time": request["request_time"]}

    def read_stack(
        self,
        tokens: Any,
        numbers: Sequence[Any],
        user_state: Tensors,
        context: Any,
        training: bool = False,
    ) -> Any:
        inputs = ops.concatenate([tokens, *numbers], axis=-1)
        candidates = self.candidate_map(inputs)
        for unit, state in zip(
            self.units, layer_states(user_state), strict=True
        ):
            candidates = unit.read(
                candidates,
                context["time"],
                **state,
                event_time=user_state["event_time"],
                length=user_state["length"],
                training=training,
            )
        return self.last_norm(candidates)
