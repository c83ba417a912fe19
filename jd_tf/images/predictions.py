"""Answers of a tower to labelled images, and how good they are."""

import dataclasses

import numpy as np
from scipy.special import softmax
from sklearn import metrics

from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_tower import ImageTower


@dataclasses.dataclass(frozen=True)
class ImagePredictions:
    """Answers to the images of a list that could be read, in its order.

    Attributes:
        labels: (P,) int64.
        probabilities: (P, C) float32.
        label_names: C product words.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    label_names: tuple[str, ...]

    @property
    def answers(self) -> np.ndarray:
        """(P,) int64, the most probable label of each."""
        return self.probabilities.argmax(axis=1)


def predict_images(
    tower: ImageTower, images: LabelledImages
) -> ImagePredictions:
    """Runs a tower over images; those that cannot be read are left out."""
    places = [np.zeros(0, np.int64)]
    logits = [np.zeros((0, len(tower.label_names)), np.float32)]
    for found, outputs in tower.outputs_of(images.paths):
        places.append(found)
        logits.append(outputs["logits"])
    labels = images.labels[np.concatenate(places)]
    probabilities = softmax(np.concatenate(logits), axis=1)
    return ImagePredictions(labels, probabilities, tower.label_names)


def image_metrics(predictions: ImagePredictions) -> dict[str, float | None]:
    """Measures how well product words are told apart.

    `top1` and `top5` are shares of images whose word is the first, or among
    the first five (None of five words or fewer), `mean_recall` the mean over
    the words present, `loss` in nats; None without images.
    """
    labels, answers = predictions.labels, predictions.answers
    odds = predictions.probabilities
    classes = np.arange(odds.shape[1])
    found: dict[str, float | None] = dict.fromkeys(
        ("top1", "top5", "mean_recall", "loss")
    )
    if len(labels):
        found["top1"] = metrics.accuracy_score(labels, answers)
        found["mean_recall"] = metrics.recall_score(
            labels, answers, labels=np.unique(labels), average="macro"
        )
        own = odds[np.arange(len(labels)), labels]
        found["loss"] = -np.log(np.maximum(own, 1e-12)).mean()
        if len(classes) > 5:
            found["top5"] = metrics.top_k_accuracy_score(
                labels, odds, k=5, labels=classes
            )
    found = {n: None if v is None else float(v) for n, v in found.items()}
    return {**found, "num_images": len(labels)}
