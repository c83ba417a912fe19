"""One page about what an image tower learned."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import confusion_matrix

from jd_tf.evaluation.metrics_file import write_metrics
from jd_tf.evaluation.pages import write_page
from jd_tf.evaluation.pictures import Picture, new_figure, to_png
from jd_tf.images.fine_tuning import read_run
from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_tower import ImageTower
from jd_tf.images.predictions import (
    ImagePredictions,
    image_metrics,
    predict_images,
)

METRICS_FILE, REPORT_FILE = "metrics.json", "report.html"
_MAX_CONFUSIONS = 20


def report_image_run(
    workdir: str | Path,
    tower: ImageTower,
    sets: Mapping[str, LabelledImages],
    history: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Evaluates a tower; writes `metrics.json` and `report.html`.

    The page is about the split "test", or "validation" without any of it;
    `history` holds the rows of `fine_tune`. Returns metrics by split.
    """
    workdir, run = Path(workdir), read_run(workdir)
    shown = "test" if len(sets.get("test", ())) else "validation"
    splits = sorted({"validation", shown})
    predictions = {s: predict_images(tower, sets[s]) for s in splits}
    found = {split: image_metrics(predictions[split]) for split in splits}
    write_metrics(workdir / METRICS_FILE, found)
    metrics: dict[str, Any] = found[shown]
    words, count = word_results(predictions[shown]), metrics["num_images"]
    write_page(
        workdir / REPORT_FILE,
        "image_report.html",
        title="Image tower: what a photo shows",
        split=shown,
        metrics=metrics,
        shares=[
            (name, metrics[key], share_interval(metrics[key], count))
            for key, name in (("top1", "top-1"), ("top5", "top-5"))
            if metrics[key] is not None
        ],
        notes=notes,
        words=words,
        confusions=confusions(predictions[shown])[:_MAX_CONFUSIONS],
        curves=[_curve(history, m, run) for m in ("top1", "loss")],
        settings=sorted({**run["model"], **run["training"]}.items()),
    )
    return found


def word_results(predictions: ImagePredictions) -> list[dict[str, Any]]:
    """Returns `name`, `num_images`, `recall` and `precision` of every word.

    Worst recall first; None where a word is never shown or never answered.
    """
    counts = _confusion(predictions)
    right, shown, answered = np.diag(counts), counts.sum(1), counts.sum(0)
    results = [
        {
            "name": name,
            "num_images": int(shown[place]),
            "recall": _share(right[place], shown[place]),
            "precision": _share(right[place], answered[place]),
        }
        for place, name in enumerate(predictions.label_names)
    ]
    return sorted(results, key=lambda word: word["recall"] or 0.0)


def confusions(
    predictions: ImagePredictions,
) -> list[tuple[str, str, int, int]]:
    """Returns word shown, word answered, how often, of how many images.

    Largest share of the shown word's images first.
    """
    counts, names = _confusion(predictions), predictions.label_names
    shown = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    found = [
        (names[row], names[column], int(counts[row, column]), int(shown[row]))
        for row, column in np.argwhere(counts)
    ]
    return sorted(found, key=lambda one: -one[2] / one[3])


def share_interval(share: float, count: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share (Wilson, 1927) of `count` images."""
    test = stats.binomtest(round(share * count), count)
    interval = test.proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _confusion(predictions: ImagePredictions) -> np.ndarray:
    places = range(len(predictions.label_names))
    answers = predictions.answers
    return confusion_matrix(predictions.labels, answers, labels=places)


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _curve(
    history: Sequence[Mapping[str, Any]], metric: str, run: Mapping[str, Any]
) -> Picture:
    label = {"top1": "top-1 accuracy", "loss": "loss (nats)"}[metric]
    figure, axes = new_figure()
    epochs = [row["epoch"] for row in history]
    for name, prefix in (("training", ""), ("validation", "validation/")):
        values = [row[prefix + metric] for row in history]
        axes.plot(epochs, values, marker="o", markersize=3, label=name)
    frozen = run["training"]["frozen_epochs"]
    if frozen:
        axes.axvspan(0, frozen, color="#eceff1", label="backbone frozen")
    axes.set_xlabel("passes over the data", fontsize=8)
    axes.set_ylabel(label, fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return Picture(label, f"{label} over {len(history)} passes", to_png(figure))
