"""What a person may change about the ranker."""

import dataclasses

IMAGE_MODES = ("", "concat", "transfer")
FUSION_FORMS = ("log_linear", "additive")
FUSIONS = ("", "fixed", "global", "personalized")


@dataclasses.dataclass(frozen=True)
class JDRankerConfig:
    """Sizes and switches of `JDRanker`.

    Attributes:
        model_dim: width D of tokens, memories and interests.
        item_embedding_dim: width of the table of item ids.
        feature_embedding_dim: width of the tables of an item's other ids.
        context_embedding_dim: width of the tables of context ids.
        num_encoder_layers: Transformer blocks per behaviour.
        num_heads: attention heads of encoders and decoders.
        feedforward_dim: inner width of the Transformer blocks.
        decoder_feedforward_dim: inner width of the decoders' feed-forward
            part; 0 leaves it out.
        num_age_buckets: logarithmic buckets of recency.
        use_position: whether events know their place.
        use_recency: whether events know their age.
        use_second_order: whether second-order interests are read.
        use_fine_grained: whether events know how they went at all; the
            next three say what of it.
        use_dwell: whether events know how long the user stayed.
        use_action_counts: whether events know how often each action was
            done.
        use_action_ids: whether events know which actions were done.
        use_matches: whether candidates are told which of their ids stand in
            the histories.
        num_match_values: learned values V by which matches are counted,
            beside their number; each reads time and actions of the event,
            and fades at a rate of its own, at which dwell and counted
            actions are summed up too.
        use_images: "transfer" aligns image vectors by multi-gate experts,
            "concat" puts them beside the embeddings as they are, "" leaves
            them out.
        num_image_rows: items the image table has room for.
        image_dim: width of an image vector.
        use_titles: whether the schema's texts are read; they go the way of
            the images.
        title_embedding_dim: width of a word's vector.
        use_content_matches: whether candidates are told how much their
            pictures and titles are like those of the histories.
        content_match_dim: width of the map in which they are compared.
        num_transfer_experts: experts of pictures, and as many of titles.
        transfer_dim: width of what the experts make of both.
        num_experts: experts E of the mixture.
        expert_units: widths of an expert's layers.
        tower_units: widths of a tower's hidden layers.
        bias_units: widths of the bias tower's hidden layers.
        dropout_rate: dropout in encoders, decoders, experts and towers.
        calibrate: whether logits pass a curve, fitted after the main
            training, before they become probabilities.
        fusion: how objectives become the score: by weights that are
            "fixed", learned and "global", or "personalized", read from the
            session; "" ranks by expected business value.
        fusion_form: "log_linear", a weighted sum of logarithms of
            probabilities, or "additive", one of probabilities.
        fusion_units: widths of the hidden layers of the personalised gate.
        fusion_min_share: least share of the weights an objective gets.
        fusion_max_scale: how much sharper or flatter than its shares the
            log-linear score may become.
        fusion_weights: one float an objective: the fixed weights, or the
            shares the learning starts at; () for business values if fixed,
            for equal ones if learned.
        session_seconds: events not older belong to the session.
    """

    model_dim: int = 64
    item_embedding_dim: int = 32
    feature_embedding_dim: int = 16
    context_embedding_dim: int = 8
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
    use_matches: bool = True
    num_match_values: int = 4
    use_images: str = ""
    num_image_rows: int = 0
    image_dim: int = 64
    use_titles: bool = False
    title_embedding_dim: int = 32
    use_content_matches: bool = True
    content_match_dim: int = 32
    num_transfer_experts: int = 4
    transfer_dim: int = 32
    num_experts: int = 4
    expert_units: tuple[int, ...] = (128, 64)
    tower_units: tuple[int, ...] = (32,)
    bias_units: tuple[int, ...] = (16,)
    dropout_rate: float = 0.0
    calibrate: bool = False
    fusion: str = ""
    fusion_form: str = "log_linear"
    fusion_units: tuple[int, ...] = (32,)
    fusion_min_share: float = 0.01
    fusion_max_scale: float = 16.0
    fusion_weights: tuple[float, ...] = ()
    session_seconds: float = 3600.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        if self.use_images not in IMAGE_MODES:
            raise ValueError(
                f"`use_images` must be one of {IMAGE_MODES}. "
                f"Got: {self.use_images!r}."
            )
        if self.fusion not in FUSIONS:
            raise ValueError(
                f"`fusion` must be one of {FUSIONS}. Got: {self.fusion!r}."
            )
        if self.fusion_form not in FUSION_FORMS:
            raise ValueError(
                f"`fusion_form` must be one of {FUSION_FORMS}. "
                f"Got: {self.fusion_form!r}."
            )
