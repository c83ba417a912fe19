"""Where an image tower is right, and what it takes for what."""

import dataclasses

import numpy as np

from jd_tf.images.image_predictions import ImagePredictions

# Of the normal distribution: 95 % lie within so many standard deviations.
_Z = 1.959964


@dataclasses.dataclass(frozen=True)
class WordResult:
    """How one product word fares.

    Attributes:
        name: the word.
        num_images: images that show it.
        num_answers: images it was the first answer for.
        num_right: both.
        taken_for: the word it is mistaken for most often; "" if for none.
        num_taken: how often.
    """

    name: str
    num_images: int
    num_answers: int
    num_right: int
    taken_for: str
    num_taken: int

    @property
    def recall(self) -> float | None:
        """Share of its images that were recognised."""
        return self.num_right / self.num_images if self.num_images else None

    @property
    def precision(self) -> float | None:
        """Share of its answers that were right."""
        return self.num_right / self.num_answers if self.num_answers else None


def confusion(predictions: ImagePredictions) -> np.ndarray:
    """Counts images by the word they show and the word they were taken for.

    Returns:
        (C, C) int64: rows show, columns answered.
    """
    num_classes = len(predictions.label_names)
    answers = predictions.probabilities.argmax(axis=1)
    cells = predictions.labels * num_classes + answers
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def word_results(predictions: ImagePredictions) -> list[WordResult]:
    """One result a product word, in their order."""
    counts = confusion(predictions)
    names = predictions.label_names
    results = []
    for place, name in enumerate(names):
        others = counts[place].copy()
        others[place] = 0
        worst = int(others.argmax())
        results.append(
            WordResult(
                name,
                int(counts[place].sum()),
                int(counts[:, place].sum()),
                int(counts[place, place]),
                names[worst] if others[worst] else "",
                int(others[worst]),
            )
        )
    return results


def share_interval(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927).

    Args:
        share: observed, 0 ... 1.
        count: images it was observed on, positive.
    """
    squared = _Z**2 / count
    center = (share + squared / 2) / (1 + squared)
    half = _Z * np.sqrt(share * (1 - share) / count + squared / (4 * count))
    half /= 1 + squared
    return float(max(center - half, 0.0)), float(min(center + half, 1.0))


def surest_mistakes(
    predictions: ImagePredictions, count: int
) -> list[tuple[int, str, str, float]]:
    """The mistakes a tower was most sure of.

    Args:
        predictions: to search.
        count: how many at most.

    Returns:
        Place in the list of images, the word shown, the word answered and
        its probability; surest first.
    """
    answers = predictions.probabilities.argmax(axis=1)
    sure = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != predictions.labels)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:count]
    names = predictions.label_names
    return [
        (
            int(predictions.places[row]),
            names[predictions.labels[row]],
            names[answers[row]],
            float(sure[row]),
        )
        for row in wrong
    ]
