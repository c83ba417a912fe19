"""Pictures of fine-tuning: confusion, and curves over its passes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jd_tf.evaluation.pictures import Picture, new_figure, to_png

_TRAINING, _VALIDATION = "#1d4e89", "#c1121f"
_CURVES = {"top1": "top-1 accuracy", "loss": "loss (nats)"}
_MAX_WORDS_NUMBERED = 20


def confusion_picture(
    counts: np.ndarray, label_names: Sequence[str]
) -> Picture:
    """Rows show a word, columns were answered; a row adds up to 100 %.

    Args:
        counts: (C, C), see `confusion`.
        label_names: C product words.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    size = 2.2 + 0.34 * len(label_names)
    figure, axes = new_figure(size, size)
    axes.grid(False)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    places = range(len(label_names))
    axes.set_xticks(places, label_names, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(places, label_names, fontsize=7)
    axes.set_xlabel("taken for", fontsize=8)
    axes.set_ylabel("shows", fontsize=8)
    if len(label_names) <= _MAX_WORDS_NUMBERED:
        for (row, column), share in np.ndenumerate(shares):
            if counts[row, column]:
                axes.text(
                    column,
                    row,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if share > 0.5 else "black",
                )
    right = np.trace(counts) / max(counts.sum(), 1)
    return Picture(
        "What is taken for what (% of a row)",
        f"confusion of {len(label_names)} words, {right:.1%} on the diagonal",
        to_png(figure),
    )


def curve_pictures(
    history: Sequence[Mapping[str, Any]], frozen_epochs: int
) -> list[Picture]:
    """Accuracy and loss, training beside validation.

    Args:
        history: rows of `epoch`, `<metric>` and `validation/<metric>`.
        frozen_epochs: passes with a frozen backbone, drawn grey.
    """
    pictures = []
    for metric, label in _CURVES.items():
        figure, axes = new_figure()
        ends = []
        for name, prefix, color in (
            ("training", "", _TRAINING),
            ("validation", "validation/", _VALIDATION),
        ):
            points = [
                (row["epoch"], row[prefix + metric])
                for row in history
                if row.get(prefix + metric) is not None
            ]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=color,
                    marker="o",
                    markersize=3,
                    linewidth=1.2,
                    label=name,
                )
                ends.append(f"{name} ends at {points[-1][1]:.3f}")
        if frozen_epochs:
            axes.axvspan(
                0, frozen_epochs, color="#eceff1", label="backbone frozen"
            )
        if metric == "top1":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, 0))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("passes over the data", fontsize=8)
        axes.set_ylabel(label, fontsize=8)
        axes.legend(fontsize=7, frameon=False)
        pictures.append(
            Picture(label, f"{label}: {', '.join(ends)}", to_png(figure))
        )
    return pictures
