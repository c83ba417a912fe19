"""A work folder to metrics and a page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.data.files import read_json
from jd_tf.evaluation.image_report import write_image_report
from jd_tf.evaluation.metrics_file import write_metrics
from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_predictions import ImagePredictor, image_metrics
from jd_tf.images.image_tower import ImageTower
from jd_tf.training.workdir import CONFIG_FILE

METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"


def report_image_run(
    workdir: str | Path,
    tower: ImageTower,
    sets: Mapping[str, LabelledImages],
    history: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
    progress: bool = False,
) -> dict[str, dict[str, Any]]:
    """Judges a tower; writes `metrics.json` and `report.html`.

    Args:
        workdir: of the run.
        tower: with the weights to judge.
        sets: split -> readable images. "test" is on the page, or
            "validation" if there is none.
        history: rows of the trainer.
        notes: sentences for the page.
        progress: whether to show bars.

    Returns:
        Split -> metrics, see `image_metrics`.
    """
    workdir = Path(workdir)
    shown = "test" if len(sets.get("test", ())) else "validation"
    stored = read_json(workdir / CONFIG_FILE)
    training = stored["training"]
    predictor = ImagePredictor(tower)
    found = {}
    for split in sorted({"validation", shown}):
        predictions = predictor.predict(
            sets[split], f"judging {split}" if progress else ""
        )
        found[split] = image_metrics(predictions)
        if split == shown:
            model = stored["model"]["config"]["config"]
            write_image_report(
                workdir / REPORT_FILE,
                sets[split],
                predictions,
                history,
                {k: json.dumps(v) for k, v in {**model, **training}.items()},
                notes,
                training["frozen_epochs"],
                split,
            )
    write_metrics(workdir / METRICS_FILE, found)
    return found
