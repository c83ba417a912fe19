"""Sizes and switches of JDRanker, in groups."""

import dataclasses
from typing import ClassVar

from jd_tf.models.ranker_config import ConfigGroup, RankerConfig

IMAGE_MODES = ("", "concat", "transfer")


@dataclasses.dataclass(frozen=True)
class ItemsConfig(ConfigGroup):
    """Widths of embeddings and tokens.

    Attributes:
        model_dim: width D of tokens, memories and interests.
        item_embedding_dim: width of the table of item ids.
        feature_embedding_dim: width of the tables of an item's other ids.
        context_embedding_dim: width of the tables of context ids.
        numeric_embedding_dim: width in which each feature of `item_dense` and
            `session_dense` is embedded, piecewise linear, beside itself; 0
            leaves it out.
    """

    model_dim: int = 64
    item_embedding_dim: int = 32
    feature_embedding_dim: int = 16
    context_embedding_dim: int = 8
    numeric_embedding_dim: int = 0


@dataclasses.dataclass(frozen=True)
class SequenceConfig(ConfigGroup):
    """Settings of the encoders, decoders and id-overlap features.

    Attributes:
        use_sequence: whether encoders, interests and decoders are there;
            without them, id-overlap features and content matches stay.
        num_encoder_layers: Transformer blocks per behaviour.
        num_heads: attention heads of encoders and decoders.
        feedforward_dim: inner width of the Transformer blocks.
        decoder_feedforward_dim: inner width of the decoders' feed-forward
            part; 0 leaves it out.
        num_age_buckets: logarithmic buckets of recency.
        use_position: whether events know their place.
        use_recency: whether events know their age.
        use_second_order: whether second-order interests are read.
        use_fine_grained: whether fine-grained behaviour is read at all; the
            next three say which.
        use_dwell: whether dwell seconds are read.
        use_action_counts: whether counters of actions are read.
        use_action_ids: whether categorical actions are read.
        use_item_dense: whether dense features of past events are read, as
            part of the event and as differences to candidates.
        use_overlap: whether candidates get id-overlap features.
        num_event_weights: learned weights V by which overlaps are counted,
            beside their number; each reads time and actions of the event,
            and fades at a rate of its own, at which dwell and counted
            actions are summed up too.
    """

    use_sequence: bool = True
    num_encoder_layers: int = 1
    num_heads: int = 4
    feedforward_dim: int = 128
    decoder_feedforward_dim: int = 0
    num_age_buckets: int = 64
    use_position: bool = True
    use_recency: bool = True
    use_second_order: bool = True
    use_fine_grained: bool = True
    use_dwell: bool = True
    use_action_counts: bool = True
    use_action_ids: bool = True
    use_item_dense: bool = True
    use_overlap: bool = True
    num_event_weights: int = 4


@dataclasses.dataclass(frozen=True)
class ContentConfig(ConfigGroup):
    """Settings of pictures and titles.

    Attributes:
        use_images: "transfer" aligns image vectors by multi-gate experts,
            "concat" puts them beside the embeddings as they are, "" leaves
            them out.
        num_image_rows: items the image table has room for.
        image_dim: width of an image vector.
        use_titles: whether the schema's texts are read; they go the way of
            the images.
        title_embedding_dim: width of a word's vector.
        use_content_matches: whether candidates are compared with the
            pictures and titles of the histories.
        content_match_dim: width of the map in which they are compared.
        num_transfer_experts: experts of pictures, and as many of titles.
        transfer_dim: width of what the experts make of both.
    """

    CHOICES: ClassVar = {"use_images": IMAGE_MODES}

    use_images: str = ""
    num_image_rows: int = 0
    image_dim: int = 64
    use_titles: bool = False
    title_embedding_dim: int = 32
    use_content_matches: bool = True
    content_match_dim: int = 32
    num_transfer_experts: int = 4
    transfer_dim: int = 32


@dataclasses.dataclass(frozen=True)
class PairsConfig(ConfigGroup):
    """Settings of item pairs; all but `num_events` come with their file.

    Attributes:
        use_pairs: whether pairs of events and candidates are read.
        columns: id columns that have pairs.
        kinds: kinds of pairs, `behavior:objective` each.
        num_rows: items of each column that its table has room for.
        num_pairs: pairs, likewise.
        digest: of the file, so that a run goes on with its own.
        num_events: newest events of a history that are read.
    """

    use_pairs: bool = False
    columns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    num_rows: tuple[int, ...] = ()
    num_pairs: tuple[int, ...] = ()
    digest: str = ""
    num_events: int = 10


@dataclasses.dataclass(frozen=True)
class TreesConfig(ConfigGroup):
    """Boosted trees on the numbers that the ranker computes.

    Attributes:
        num_trees: trees of all objectives together at most, fitted after the
            main training; 0 leaves them out.
        num_leaves: leaves of a tree at most.
    """

    num_trees: int = 0
    num_leaves: int = 16


@dataclasses.dataclass(frozen=True)
class HeadConfig(ConfigGroup):
    """The mixture of experts, the towers and the bias tower.

    Attributes:
        num_experts: experts E of the mixture.
        expert_units: widths of an expert's layers.
        tower_units: widths of a tower's hidden layers.
        bias_units: widths of the bias tower's hidden layers.
        dropout_rate: dropout in encoders, decoders, experts and towers.
    """

    num_experts: int = 4
    expert_units: tuple[int, ...] = (128, 64)
    tower_units: tuple[int, ...] = (32,)
    bias_units: tuple[int, ...] = (16,)
    dropout_rate: float = 0.0


@dataclasses.dataclass(frozen=True)
class JDRankerConfig(RankerConfig):
    """Sizes and switches of `JDRanker`.

    Attributes:
        items: how ids become vectors.
        sequence: how histories are read.
        content: how pictures and titles are read.
        pairs: how pairs of items are read.
        trees: boosted trees beside the network.
        head: experts, towers and bias tower.

    Example:
    >>> from jd_tf.models.config_fields import replace_fields
    >>> replace_fields(JDRankerConfig(), {"num_heads": 2}).sequence.num_heads
    2
    """

    items: ItemsConfig = dataclasses.field(default_factory=ItemsConfig)
    sequence: SequenceConfig = SequenceConfig()
    content: ContentConfig = ContentConfig()
    pairs: PairsConfig = PairsConfig()
    trees: TreesConfig = TreesConfig()
    head: HeadConfig = HeadConfig()
