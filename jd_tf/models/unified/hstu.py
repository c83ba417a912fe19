"""Sequential transduction units over events and candidates."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from jd_tf.layers import HSTUBlock
from jd_tf.layers.sequence.kept_events import layer_states
from jd_tf.models.base import Tensors
from jd_tf.models.registry import register_model
from jd_tf.models.sequence.sequence_config import TimelineRankerConfig
from jd_tf.models.sequence.timeline_ranker import TimelineRanker


@register_model("hstu", TimelineRankerConfig)
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
    objectives learn from impressions; HSTU's paper predicts the next action.
    Behaviours are merged into one timeline. Arguments, call arguments and
    outputs are those of `RankingModel`.

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

    config_class = TimelineRankerConfig

    def make_stack(self) -> None:
        stack = self.config.stack
        self.units = [
            HSTUBlock(
                stack.num_heads,
                self.window + 1,
                dropout_rate=self.config.head.dropout_rate,
                name=f"unit_{number}",
                dtype=self.dtype_policy,
            )
            for number in range(stack.num_layers)
        ]
        self.make_candidate_map()

    def build_stack(self) -> int:
        dim = self.config.items.model_dim
        for unit in self.units:
            unit.build((None, None, dim))
        self.build_candidate_map()
        return dim

    def extend_stack(
        self, tokens: Any, timeline: Tensors, kept: list[Any], training: bool
    ) -> tuple[Any, list[dict[str, Any]]]:
        length, before = timeline["length"], timeline["kept_length"]
        times, states = timeline["event_time"], []
        for unit, old in zip(
            self.units, kept or [None] * len(self.units), strict=True
        ):
            tokens, state = unit.extend(
                tokens, length, old, before, self.window, times, training
            )
            states.append(state)
        return self.last_norm(tokens), states

    def encode_request(self, user_state: Tensors, request: Tensors) -> Any:
        context = super().encode_request(user_state, request)
        return {**context, "time": request["request_time"]}

    def read_user(
        self,
        tokens: Any,
        numbers: Sequence[Any],
        user_state: Tensors,
        context: Any,
        training: bool = False,
    ) -> list[Any]:
        inputs = ops.concatenate([tokens, *numbers], axis=-1)
        candidates = self.candidate_map(inputs)
        given = {
            "length": user_state["length"],
            "time": context["time"],
            "event_time": user_state["event_time"],
            "training": training,
        }
        states = layer_states(user_state)
        for unit, state in zip(self.units, states, strict=True):
            candidates = unit.read(candidates, **state, **given)
        return [self.last_norm(candidates)]
