"""Sizes and switches of TwoTower, in groups."""

import dataclasses

from jd_tf.columns import SchemaError
from jd_tf.models.ranker_config import ConfigGroup


@dataclasses.dataclass(frozen=True)
class TimelineConfig(ConfigGroup):
    """Settings of the user tower.

    Attributes:
        behavior: the history that is read and whose next event is predicted;
            "" for the schema's first.
        use_sequence: whether a Transformer reads the history; without it the
            user is the mean of his items' vectors.
        num_encoder_layers: Transformer blocks.
        num_heads: attention heads of each.
        feedforward_dim: inner width of the blocks.
        use_recency: whether events know the time since the one before.
        use_fine_grained: whether events know how they went.
        use_context: whether the request's columns are read.
        num_interests: vectors of a user; an item is as near as to the nearest.
        dropout_rate: of the history's tokens and in the blocks.
    """

    behavior: str = ""
    use_sequence: bool = True
    num_encoder_layers: int = 2
    num_heads: int = 2
    feedforward_dim: int = 256
    use_recency: bool = True
    use_fine_grained: bool = True
    use_context: bool = True
    num_interests: int = 1
    dropout_rate: float = 0.5


@dataclasses.dataclass(frozen=True)
class ItemTowerConfig(ConfigGroup):
    """Settings of the item tower.

    Attributes:
        model_dim: width D of the vectors of users and items.
        item_embedding_dim: width of the table of item ids.
        feature_embedding_dim: width of the tables of an item's other ids.
        context_embedding_dim: width of the tables of context ids.
        use_features: whether anything but the item id is read.
        use_item_dense: whether the dense features are read as well.
        normalize: whether vectors have length 1: the score is a cosine.
        temperature: scores are divided by it.
    """

    model_dim: int = 64
    item_embedding_dim: int = 64
    feature_embedding_dim: int = 32
    context_embedding_dim: int = 8
    use_features: bool = True
    use_item_dense: bool = True
    normalize: bool = False
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise SchemaError(
                f"`temperature` must be positive. Got: {self.temperature!r}."
            )


@dataclasses.dataclass(frozen=True)
class SoftmaxConfig(ConfigGroup):
    """Settings of the training loss and of what counts as a hit.

    Attributes:
        max_full_items: up to so many items the softmax is over all of the
            catalogue; above it, over the batch's targets and uniform draws.
        num_uniform: items of the catalogue drawn for a batch.
        use_log_q: whether scores are corrected for how often an item is
            drawn.
        remove_own_items: whether items of a user's timeline are no negatives
            of his other events.
        repeats: whether items of the history may be recommended again.
    """

    max_full_items: int = 50_000
    num_uniform: int = 2_000
    use_log_q: bool = True
    remove_own_items: bool = True
    repeats: bool = False


@dataclasses.dataclass(frozen=True)
class TwoTowerConfig(ConfigGroup):
    """Sizes and switches of `TwoTower`.

    Attributes:
        timeline: how a user's history is read.
        items: how an item becomes a vector.
        softmax: how both are trained.

    Example:
    >>> TwoTowerConfig.of(num_interests=4).timeline.num_interests
    4
    """

    timeline: TimelineConfig = TimelineConfig()
    items: ItemTowerConfig = ItemTowerConfig()
    softmax: SoftmaxConfig = SoftmaxConfig()
