"""What a person may change about fine-tuning an image tower."""

import dataclasses

from jd_tf.schema import SchemaError

METRICS = ("top1", "top5", "mean_recall", "loss")
# Fractions of 1; all other numbers only have to be finite and not negative.
_SHARES = (
    "label_smoothing",
    "title_share",
    "class_balance",
    "min_area",
    "final_rate",
)


@dataclasses.dataclass(frozen=True)
class ImageTrainingConfig:
    """How long, how fast and how carefully to fine-tune.

    Attributes:
        weights: which published weights the backbone starts from, in words;
            "" for none: then there is nothing to keep, and `frozen_epochs`
            must be 0.
        frozen_epochs: passes in which only the head learns, so that its
            first, random gradients do not spoil the backbone.
        epochs: passes in which everything learns, after those.
        batch_size: images a batch.
        learning_rate: of the head (AdamW), along a cosine over all passes.
        backbone_learning_rate: of the backbone, along a cosine over the
            passes in which it learns.
        warmup_share: share of those passes over which a rate rises from 0.
        final_rate: share of the rates the cosines end at.
        weight_decay: decoupled, of kernels.
        update_statistics: whether batch normalisation learns new statistics
            while the backbone is trained. Needed without published weights;
            with them the published statistics are better than those of small
            batches.
        label_smoothing: share of a label spread over all words.
        title_share: share of the loss that the words of titles have, if the
            tower learns any.
        min_title_images: titles that a word must stand in to be learned.
        class_balance: 0 counts every image once, 1 every product word
            equally, between them a rare word's images count more.
        min_area: smallest share of an image that augmentation shows.
        max_gradient_norm: joint norm gradients are clipped to; 0: never.
        checkpoint_minutes: minutes between checkpoints at most.
        keep_checkpoints: newest checkpoints kept, beside the best.
        monitor: validation metric that decides what is best, one of
            `METRICS`.
        time_limit_seconds: stop after these, resumed time included; 0: none.
        num_threads: images decoded at a time.
        seed: of new weights, dropout, order and augmentation.
        progress: whether to show a progress bar.
    """

    weights: str = ""
    frozen_epochs: int = 0
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    backbone_learning_rate: float = 1e-3
    warmup_share: float = 0.1
    final_rate: float = 0.01
    weight_decay: float = 1e-4
    update_statistics: bool = True
    label_smoothing: float = 0.1
    title_share: float = 0.5
    min_title_images: int = 20
    class_balance: float = 0.5
    min_area: float = 0.5
    max_gradient_norm: float = 5.0
    checkpoint_minutes: float = 5.0
    keep_checkpoints: int = 1
    monitor: str = "top1"
    time_limit_seconds: float = 0.0
    num_threads: int = 2
    seed: int = 17
    progress: bool = True

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not 0 <= value < 1e18:
                self._refuse(field.name, "finite and not negative")
        for name in _SHARES:
            if getattr(self, name) > 1:
                self._refuse(name, "at most 1")
        for name in (
            "epochs",
            "learning_rate",
            "backbone_learning_rate",
            "min_area",
            "checkpoint_minutes",
            "keep_checkpoints",
            "min_title_images",
            "num_threads",
        ):
            if not getattr(self, name):
                self._refuse(name, "positive")
        if self.batch_size < 2:
            self._refuse("batch_size", "at least 2")
        if self.warmup_share >= 1:
            self._refuse("warmup_share", "below 1")
        if self.monitor not in METRICS:
            self._refuse("monitor", f"one of {', '.join(METRICS)}")
        if not self.weights and self.frozen_epochs:
            self._refuse(
                "frozen_epochs",
                "0 without published weights, or the head would learn to "
                "read noise",
            )
        if not self.weights and not self.update_statistics:
            self._refuse("update_statistics", "true without published weights")

    def _refuse(self, name: str, wanted: str) -> None:
        raise SchemaError(
            f"`{name}` must be {wanted}. Got: {getattr(self, name)!r}."
        )


def default_image_training(weights: str) -> ImageTrainingConfig:
    """A config that suits where the backbone starts.

    Args:
        weights: which published weights it has, "" for none.
    """
    if weights:
        return ImageTrainingConfig(
            weights=weights,
            frozen_epochs=2,
            epochs=6,
            backbone_learning_rate=2e-4,
            update_statistics=False,
        )
    return ImageTrainingConfig(epochs=40, weight_decay=1e-3, min_area=0.4)
