"""Configs that sequence models have in common."""

import dataclasses

from jd_tf.models.ranker_config import ConfigGroup, RankerConfig
from jd_tf.models.ranking.jd_ranker_config import HeadConfig, ItemsConfig


@dataclasses.dataclass(frozen=True)
class EventsConfig(ConfigGroup):
    """Settings of the tokens of events.

    Attributes:
        use_position: whether events know their place.
        use_recency: whether events know their age, counted from the newest.
        use_fine_grained: whether dwell, counts and actions are read.
        use_overlap: whether candidates get id-overlap features; most papers
            of these models have none.
    """

    use_position: bool = True
    use_recency: bool = True
    use_fine_grained: bool = True
    use_overlap: bool = True


@dataclasses.dataclass(frozen=True)
class TimelineConfig(ConfigGroup):
    """Settings of the one timeline of all behaviours.

    Attributes:
        max_events: events that are read at most, the newest; 0 for all.
        use_gaps: whether events know the seconds since the one before.
        use_fine_grained: whether dwell, counts and actions are read.
        use_overlap: whether candidates get id-overlap features; most papers
            of these models have none.
    """

    max_events: int = 0
    use_gaps: bool = False
    use_fine_grained: bool = True
    use_overlap: bool = True


@dataclasses.dataclass(frozen=True)
class StackConfig(ConfigGroup):
    """Sizes of a stack of blocks.

    Attributes:
        num_layers: blocks.
        num_heads: attention heads of each.
        feedforward_dim: inner width of each; units of `HSTU` have none.
    """

    num_layers: int = 1
    num_heads: int = 4
    feedforward_dim: int = 128


@dataclasses.dataclass(frozen=True)
class SequenceRankerConfig(RankerConfig):
    """Sizes of rankers that read every behaviour apart.

    Attributes:
        items: how ids become vectors.
        events: how events become tokens.
        head: experts, by default one, which all objectives share; towers.

    Example:
    >>> SequenceRankerConfig.of(use_recency=False).events.use_recency
    False
    """

    items: ItemsConfig = dataclasses.field(default_factory=ItemsConfig)
    events: EventsConfig = EventsConfig()
    head: HeadConfig = dataclasses.field(
        default_factory=lambda: HeadConfig(num_experts=1)
    )


@dataclasses.dataclass(frozen=True)
class StackRankerConfig(SequenceRankerConfig):
    """Sizes of those with a Transformer for each behaviour.

    Example:
    >>> StackRankerConfig.of(num_heads=2).stack.num_heads
    2
    """

    stack: StackConfig = StackConfig()


@dataclasses.dataclass(frozen=True)
class TimelineRankerConfig(RankerConfig):
    """Sizes of rankers that read all behaviours as one timeline.

    Attributes:
        items: how ids become vectors.
        timeline: how events become tokens of one timeline.
        stack: what reads them.
        head: experts, by default one, which all objectives share; towers.

    Example:
    >>> TimelineRankerConfig.of(max_events=50).timeline.max_events
    50
    """

    items: ItemsConfig = dataclasses.field(default_factory=ItemsConfig)
    timeline: TimelineConfig = TimelineConfig()
    stack: StackConfig = StackConfig(num_layers=2)
    head: HeadConfig = dataclasses.field(
        default_factory=lambda: HeadConfig(num_experts=1)
    )
