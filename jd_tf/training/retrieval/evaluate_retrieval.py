"""Recall of a trained two-tower model, beside that of popularity."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jd_tf.metrics import Bootstrap, interval
from jd_tf.metrics.retrieval_metrics import place_metrics
from jd_tf.training.folder_training import TRAIN
from jd_tf.training.retrieval.retrieval_validator import RetrievalValidator
from jd_tf.training.retrieval.timelines import Timelines
from jd_tf.training.workdir import load_trained

# Metric -> mean, and the ends of its interval.
Metrics = dict[str, tuple[float, float, float]]


def evaluate_retrieval(
    data: str | Path,
    workdir: str | Path,
    catalogue: Mapping[str, np.ndarray],
    split: str = "test",
) -> dict[str, Metrics]:
    """Returns metrics of the model and of popularity, with 95 % intervals.

    Args:
        data: folder that the model was trained on.
        workdir: of the run.
        catalogue: candidate columns (I, ...) of all items, `item_id` ascending.
        split: whose requests are evaluated.

    Raises:
        DataError: if data or run cannot be read.
    """
    model = load_trained(workdir)
    item_id = catalogue["item_id"]
    requests = Timelines.read(model, data, split, item_id)
    validator = RetrievalValidator(model, catalogue, requests)
    train = Timelines.read(model, data, TRAIN, item_id, last_only=True)
    met = train.targets[train.targets >= 0]
    popularity = np.bincount(met, minlength=len(item_id))
    return {
        "two_tower": _means(*validator.places()),
        "popularity": _means(*validator.places_by(popularity)),
    }


def _means(above: np.ndarray, tied: np.ndarray) -> Metrics:
    found = {}
    bootstrap = Bootstrap(len(above))
    for name, values in place_metrics(above, tied).items():
        drawn = bootstrap.means(values, np.ones(len(values)))
        low, high = interval(drawn)
        found[name] = float(values.mean()), float(low), float(high)
    return found
