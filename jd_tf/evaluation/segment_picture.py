"""A picture of calibration: segment by segment, before and after."""

from collections.abc import Mapping
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from jd_tf.evaluation.pictures import Picture, color_of, new_figure, to_png

_METRIC = "calibration_error"
_WORDS = "calibration error"


def segment_calibration_picture(
    segments: Mapping[str, Mapping[str, Mapping[str, Any]]], objective: str
) -> Picture | None:
    """Calibration errors of every segment, all calibrations side by side.

    Args:
        segments: segmentation -> segment -> calibration -> metrics, as
            `compare_calibration` has them.
        objective: its name.

    Returns:
        None where no segment has an error.
    """
    known = [
        (segmentation.replace("_", " "), segment, errors)
        for segmentation, parts in segments.items()
        for segment, entries in parts.items()
        if (errors := _errors(entries))
    ]
    if not known:
        return None
    figure, axes = new_figure(height=1.1 + 0.3 * len(known))
    names = list(dict.fromkeys(n for *_, errors in known for n in errors))
    for place, name in enumerate(names):
        points = [
            (errors[name], row)
            for row, (*_, errors) in enumerate(known)
            if name in errors
        ]
        axes.plot(
            *zip(*points, strict=True),
            "o",
            color=color_of(name, place),
            markersize=5,
            label=name,
        )
    labels = [f"{kind}: {segment}" for kind, segment, _ in known]
    axes.set_yticks(range(len(known)), labels, fontsize=8)
    axes.set_ylim(len(known) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1, symbol=""))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(f"{_WORDS} (percentage points)", fontsize=8)
    axes.legend(
        fontsize=7, frameon=False, ncols=len(names), loc="lower right",
        bbox_to_anchor=(1, 1),
    )  # fmt: skip
    told = "; ".join(
        f"{label} {', '.join(f'{n} {e:.4f}' for n, e in errors.items())}"
        for label, (*_, errors) in zip(labels, known, strict=True)
    )
    title = f"{_WORDS.capitalize()} of {objective} by segment"
    return Picture(title, f"{title}: {told}", to_png(figure))


def _errors(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {
        name: entry[_METRIC]
        for name, entry in entries.items()
        if entry.get(_METRIC) is not None
    }
