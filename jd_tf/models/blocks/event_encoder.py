"""The events of one behaviour: when they were, and how they went."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from jd_tf.layers import FineGrainedBehaviorEncoder, TemporalEncoding
from jd_tf.layers.base_layer import BaseLayer
from jd_tf.models.blocks.real_cells import compute_real
from jd_tf.schema import Behavior

NUM_AGE_BUCKETS = 64


@keras.saving.register_keras_serializable(package="jd_tf")
class EventEncoder(BaseLayer):
    """Adds to the tokens of events their place, age, behaviour and details.

    Args:
        behavior: of the schema, or its dict.
        model_dim: int. Width D of a token.
        use_position: bool. Whether places are added.
        use_recency: bool. Whether ages are added.
        use_fine_grained: bool. Whether dwell, counts and actions are added.
        use_behavior: bool. Whether a vector of the behaviour is added, for
            timelines of several.

    Call arguments:
        tokens: (B, L, D) float, newest first.
        events: dict of `age_seconds` (B, L) float32, counted from the newest
            event, and the columns of `event_details`, named without the
            behaviour.
        training: bool. Whether dropout is active.
        length: (B,) integer. Real events: while training, the details of
            others are left out.

    Returns:
        (B, L, D) float.

    Example:
    >>> from jd_tf.schema import Behavior
    >>> encoder = EventEncoder(Behavior("click", 50), model_dim=8)
    >>> events = {"age_seconds": np.array([[0.0, 60.0, 3600.0]])}
    >>> encoder(np.ones((1, 3, 8)), events).shape
    TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        behavior: Behavior | Mapping[str, Any],
        model_dim: int,
        use_position: bool = True,
        use_recency: bool = True,
        use_fine_grained: bool = True,
        use_behavior: bool = False,
        **kwargs: Any,
    ):
        # Ages in seconds overflow half precision after 18 hours.
        super().__init__(**{**kwargs, "autocast": False})
        if not isinstance(behavior, Behavior):
            behavior = Behavior(**behavior)
        self.keep(locals())

    @property
    def event_details(self) -> dict[str, int]:
        """Fine-grained columns that are read: name to inner width, or 0."""
        return event_details(self.behavior) if self.use_fine_grained else {}

    def build(self, tokens_shape: Any = None, events_shape: Any = None) -> None:
        shape = (None, None, self.model_dim)
        self.temporal_encoding = None
        if self.use_position or self.use_recency:
            self.temporal_encoding = self.add_part(
                TemporalEncoding,
                "temporal_encoding",
                shape,
                self.behavior.max_length,
                NUM_AGE_BUCKETS,
                use_position=self.use_position,
                use_recency=self.use_recency,
            )
        self.fine_grained = add_fine_grained(
            self, self.behavior, self.event_details
        )
        self.behavior_vector: Any = 0.0
        if self.use_behavior:
            self.behavior_vector = self.add_weight(
                (self.model_dim,), "uniform", name="behavior_vector"
            )

    def call(
        self,
        tokens: Any,
        events: Mapping[str, Any],
        training: bool = False,
        length: Any = None,
    ) -> Any:
        tokens = ops.cast(tokens, self.compute_dtype)
        tokens += ops.cast(self.behavior_vector, self.compute_dtype)
        if self.temporal_encoding is not None:
            tokens = self.temporal_encoding(tokens, events["age_seconds"])
        if self.fine_grained is not None:
            details = {name: events[name] for name in self.event_details}
            tokens = encode_details(
                self.fine_grained, tokens, details, length, training
            )
        return tokens

    def compute_output_shape(
        self, tokens_shape: tuple, events_shape: Any = None
    ) -> tuple:
        return tuple(tokens_shape)


def event_details(
    behavior: Behavior,
    use_dwell: bool = True,
    use_action_counts: bool = True,
    use_action_ids: bool = True,
) -> dict[str, int]:
    """Returns fine-grained columns to read: name to inner width, or 0.

    Example:
    >>> event_details(Behavior("click", 50, dwell=True))
    {'dwell_seconds': 0}
    """
    details = {}
    if behavior.dwell and use_dwell:
        details["dwell_seconds"] = 0
    if behavior.action_counters and use_action_counts:
        details["action_counts"] = len(behavior.action_counters)
    if behavior.action_slots and use_action_ids:
        details["action_ids"] = len(behavior.action_slots)
    return details


def add_fine_grained(
    layer: Any, behavior: Behavior, details: Mapping[str, int]
) -> Any:
    """Returns an encoder of details, a part of the layer; None of none."""
    if not details:
        return None
    shapes = {
        f"{name}_shape": (None, None, width) if width else (None, None)
        for name, width in details.items()
    }
    return layer.add_part(
        FineGrainedBehaviorEncoder,
        "fine_grained",
        {"inputs_shape": (None, None, layer.model_dim), **shapes},
        behavior.num_action_ids,
    )


def encode_details(
    fine_grained: FineGrainedBehaviorEncoder,
    tokens: Any,
    details: Mapping[str, Any],
    length: Any,
    training: bool,
) -> Any:
    """Adds details to tokens; while training, to those of real events alone.

    Args:
        fine_grained: of `add_fine_grained`.
        tokens: (B, L, D) float.
        details: what it reads, by name.
        length: (B,) integer. Real events; None: all are computed.
        training: whether dropout is active.
    """
    return compute_real(
        lambda tokens, details: fine_grained(
            tokens, **details, training=training
        ),
        length,
        training and length is not None,
        tokens,
        details,
    )
