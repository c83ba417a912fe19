"""One page that says what an image tower learned."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from jd_tf.evaluation.image_report_metrics import (
    WordResult,
    confusion,
    share_interval,
    surest_mistakes,
    word_results,
)
from jd_tf.evaluation.image_report_pictures import (
    confusion_picture,
    curve_pictures,
)
from jd_tf.evaluation.pages import Highlight as Finding
from jd_tf.evaluation.pages import write_page
from jd_tf.images.decoding import load_image
from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_predictions import ImagePredictions, image_metrics

_NUM_MISTAKES = 12
_THUMBNAIL = 112
_POOR_RECALL = 0.6
_OVERFIT = 0.15


def write_image_report(
    path: str | Path,
    images: LabelledImages,
    predictions: ImagePredictions,
    history: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    notes: Sequence[str] = (),
    frozen_epochs: int = 0,
    split: str = "test",
) -> Path:
    """Writes the HTML page of a fine-tuning run: one file, no network.

    Args:
        path: the page; appears whole or not at all.
        images: what was predicted.
        predictions: of those images.
        history: rows of the trainer.
        settings: shown as they are.
        notes: sentences to put among the findings.
        frozen_epochs: passes with a frozen backbone.
        split: where the images come from, for the headings.

    Returns:
        The path.
    """
    metrics = image_metrics(predictions)
    words = word_results(predictions)
    findings = [Finding("note", note) for note in notes]
    findings += _findings(metrics, words, history)
    counts = confusion(predictions)
    return write_page(
        path,
        "image_report.html",
        title="Image tower: what a photo shows",
        split=split,
        metrics=metrics,
        shares=[
            (
                label,
                metrics[name],
                share_interval(metrics[name], metrics["num_images"]),
            )
            for name, label in (("top1", "top-1"), ("top5", "top-5"))
            if metrics[name] is not None
        ],
        findings=findings,
        words=words,
        confusion=confusion_picture(counts, predictions.label_names),
        curves=curve_pictures(history, frozen_epochs),
        mistakes=[
            {
                "shows": shows,
                "answer": answer,
                "sure": sure,
                "path": images.paths[place],
                "source": _thumbnail(images.paths[place]),
            }
            for place, shows, answer, sure in surest_mistakes(
                predictions, _NUM_MISTAKES
            )
        ],
        settings=sorted(settings.items()),
    )


def _findings(
    metrics: Mapping[str, Any],
    words: Sequence[WordResult],
    history: Sequence[Mapping[str, Any]],
) -> Iterator[Finding]:
    if not metrics["num_images"]:
        yield Finding("warning", "There is no image to judge by.")
        return
    largest = max(words, key=lambda word: word.num_images)
    share = largest.num_images / metrics["num_images"]
    kind = "leads" if metrics["top1"] > share else "loses"
    yield Finding(
        kind,
        f"{metrics['top1']:.1%} of the images get the right word; always "
        f"answering {largest.name!r} would be right for {share:.1%}.",
    )
    for word in words:
        if word.num_images and word.recall < _POOR_RECALL and word.taken_for:
            yield Finding(
                "warning",
                f"{word.name}: only {word.num_right} of {word.num_images} "
                f"recognised; {word.num_taken} taken for {word.taken_for}.",
            )
    judged = [row for row in history if row.get("top1") is not None]
    if judged and judged[-1].get("validation/top1") is not None:
        gap = judged[-1]["top1"] - judged[-1]["validation/top1"]
        if gap > _OVERFIT:
            yield Finding(
                "warning",
                f"At the end training images are recognised {gap:.1%} more "
                "often than validation images, although they are shown cut "
                "and recoloured: more images or fewer passes would help.",
            )


def _thumbnail(path: str) -> str:
    """An image as a `src`, small."""
    contents = tf.constant(Path(path).read_bytes())
    pixels = tf.cast(tf.round(load_image(contents, _THUMBNAIL)), tf.uint8)
    encoded = tf.io.encode_jpeg(pixels, quality=80).numpy()
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()
