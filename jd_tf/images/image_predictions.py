"""What a tower says of many images."""

import dataclasses

import numpy as np
import tensorflow as tf
import tqdm

from jd_tf.images.decoding import read_images
from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_tower import ImageTower


@dataclasses.dataclass(frozen=True)
class ImagePredictions:
    """Answers to the images of a list that could be read, in its order.

    Attributes:
        places: (P,) int64, which images of the list.
        labels: (P,) int64.
        probabilities: (P, C) float32.
        embeddings: (P, V) float32.
        label_names: C product words.
    """

    places: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    embeddings: np.ndarray
    label_names: tuple[str, ...]


class ImagePredictor:
    """Runs a tower over images in inference mode; traced once.

    Args:
        tower: the model.
        batch_size: images a batch.
        num_threads: files decoded at a time.
    """

    def __init__(
        self, tower: ImageTower, batch_size: int = 64, num_threads: int = 2
    ):
        self._tower = tower
        self._batch_size = batch_size
        self._num_threads = num_threads
        size = tower.config.image_size
        self._run = tf.function(
            lambda batch: tower(batch, training=False),
            input_signature=[tf.TensorSpec((None, size, size, 3), tf.float32)],
            autograph=False,
        )

    def predict(
        self, images: LabelledImages, progress: str = ""
    ) -> ImagePredictions:
        """Looks at images.

        Args:
            images: to look at.
            progress: what to write before a progress bar; "" for no bar.

        Returns:
            Answers; images that cannot be read are left out.
        """
        config = self._tower.config
        num_classes = len(self._tower.label_names)
        places = [np.zeros(0, np.int64)]
        probabilities = [np.zeros((0, num_classes), np.float32)]
        embeddings = [np.zeros((0, config.embedding_dim), np.float32)]
        with tqdm.tqdm(
            desc=progress, total=len(images), unit="image", disable=not progress
        ) as bar:
            for batch in read_images(
                images.paths,
                config.image_size,
                self._batch_size,
                self._num_threads,
            ):
                answer = self._run(batch["image"])
                places.append(batch["place"].numpy())
                probabilities.append(tf.nn.softmax(answer["logits"]).numpy())
                embeddings.append(answer["embedding"].numpy())
                bar.update(len(places[-1]))
        joined = np.concatenate(places)
        return ImagePredictions(
            joined,
            images.labels[joined],
            np.concatenate(probabilities),
            np.concatenate(embeddings),
            self._tower.label_names,
        )


def image_metrics(predictions: ImagePredictions) -> dict[str, float | None]:
    """How well product words are told apart.

    Args:
        predictions: to judge.

    Returns:
        `top1` and `top5` (share of images whose word is the first, or among
        the first five; None if there are not more than five words),
        `mean_recall` (mean over the words present, so that rare ones count
        as much), `loss` (nats) and `num_images`.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    if not len(labels):
        return {
            "top1": None,
            "top5": None,
            "mean_recall": None,
            "loss": None,
            "num_images": 0,
        }
    own = probabilities[np.arange(len(labels)), labels]
    # A tie counts against the model: a constant answer earns nothing.
    better = (probabilities >= own[:, None]).sum(axis=1) - 1
    first = better == 0
    recalls = [first[labels == label].mean() for label in np.unique(labels)]
    few = probabilities.shape[1] <= 5
    return {
        "top1": float(first.mean()),
        "top5": None if few else float((better < 5).mean()),
        "mean_recall": float(np.mean(recalls)),
        "loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "num_images": len(labels),
    }
