"""Settings of fine-tuning an image tower."""

import dataclasses

from jd_tf.schema import SchemaError

METRICS = ("top1", "top5", "mean_recall", "loss")
# What may differ when a run goes on.
CHANGEABLE = (
    *("epochs", "time_limit_seconds", "checkpoint_minutes"),
    *("num_threads", "progress"),
)
_SHARES = ("label_smoothing", "title_share", "class_balance", "min_area")
_POSITIVE = ("epochs", "learning_rate", "backbone_learning_rate", "min_area")


@dataclasses.dataclass(frozen=True)
class FineTuningConfig:
    """Settings of `fine_tune`.

    Attributes:
        weights: which published weights the backbone starts from, "" for none.
        frozen_epochs: passes in which only the head learns, so that its
            first, random gradients do not spoil published weights.
        epochs: passes in which everything learns, after those.
        batch_size: images a batch.
        learning_rate: of the head (AdamW), along a cosine over either phase.
        backbone_learning_rate: of the backbone, likewise.
        weight_decay: decoupled, of kernels.
        update_statistics: whether batch normalisation learns new statistics
            with the backbone; published ones beat those of small batches.
        label_smoothing: share of a label spread over all words.
        title_share: share of the loss that the words of titles have.
        min_title_images: titles that a word must stand in to be learned.
        class_balance: 0 counts every image once, 1 every product word
            equally, between them a rare word's images count more.
        min_area: smallest share of an image that augmentation shows.
        checkpoint_minutes: minutes between backups at most.
        monitor: validation metric that decides what is best, of `METRICS`.
        time_limit_seconds: stop after these, resumed time included; 0: none.
        num_threads: images decoded at a time.
        seed: of new weights, dropout, order and augmentation.
        progress: whether to show progress.

    Raises:
        SchemaError: naming the field and its value.
    """

    weights: str = ""
    frozen_epochs: int = 0
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    backbone_learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    update_statistics: bool = True
    label_smoothing: float = 0.1
    title_share: float = 0.5
    min_title_images: int = 20
    class_balance: float = 0.5
    min_area: float = 0.5
    checkpoint_minutes: float = 5.0
    monitor: str = "top1"
    time_limit_seconds: float = 0.0
    num_threads: int = 2
    seed: int = 17
    progress: bool = True

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and not 0 <= value < 1e18:
                self._refuse(name, "finite and not negative")
            if name in _SHARES and value > 1:
                self._refuse(name, "at most 1")
            if name in _POSITIVE and not value:
                self._refuse(name, "positive")
        if self.batch_size < 2:
            self._refuse("batch_size", "at least 2")
        if self.monitor not in METRICS:
            self._refuse("monitor", f"one of {', '.join(METRICS)}")
        if not self.weights and self.frozen_epochs:
            wanted = "0 without published weights: the head would read noise"
            self._refuse("frozen_epochs", wanted)
        if not self.weights and not self.update_statistics:
            self._refuse("update_statistics", "true without published weights")

    def _refuse(self, name: str, wanted: str) -> None:
        raise SchemaError(
            f"`{name}` must be {wanted}. Got: {getattr(self, name)!r}."
        )


def default_fine_tuning(weights: str) -> FineTuningConfig:
    """Returns a config that suits the weights of the backbone, "" for none."""
    if not weights:
        return FineTuningConfig(epochs=40, weight_decay=1e-3, min_area=0.4)
    return FineTuningConfig(
        weights=weights,
        frozen_epochs=2,
        epochs=6,
        backbone_learning_rate=2e-4,
        update_statistics=False,
    )
