"""The report on a fusion: its weights, and its order against simpler ones."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import split_files
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.fusion.comparison import (
    ADDITIVE,
    DESCRIPTIONS,
    HIDDEN,
    MEASURED,
    compare_orders,
    recommend,
    weights_by_segment,
)
from jd_tf.evaluation.fusion.grid import search_weights
from jd_tf.evaluation.fusion.grid_run import EXPECTED, SEGMENTED, rankings_of
from jd_tf.evaluation.fusion.observation import (
    LEARNED,
    FusionObservation,
    observe,
)
from jd_tf.evaluation.fusion.pictures import segments_picture
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.evaluation.live_scorer import model_scorer
from jd_tf.evaluation.metrics_file import nan_to_none, write_metrics
from jd_tf.evaluation.pages import bounds, write_page
from jd_tf.metrics.bootstrap import Bootstrap
from jd_tf.schema import DataError
from jd_tf.training.workdir import load_trained

PAGE_FILE, JSON_FILE = "fusion_report.html", "fusion_report.json"
_BATCH_SIZE = 256


def report_fusion(
    data_dir: str | Path,
    workdir: str | Path,
    output_dir: str | Path,
    search: str = "validation",
    split: str = "test",
    beside: Mapping[str, str | Path] | None = None,
    reward: bool = False,
    max_requests: int = 0,
    **options: Any,
) -> tuple[Path, dict[str, Any]]:
    """Writes the fusion report of a run; see experiments.fusion_report.

    `beside` are name -> folder of more runs on the same data; `options` are of
    `fusion_report`. Returns the page, and what the JSON holds.
    """
    began = time.monotonic()
    if search == split:
        raise DataError(
            "the splits to search and to judge on must differ: weights look "
            f"best where they were searched. Got: {split} twice."
        )
    taken = sorted(set(beside or {}).intersection(DESCRIPTIONS))
    if taken:
        raise DataError(
            f"a run beside cannot be called `{taken[0]}`; that is an order of "
            "the report's own."
        )
    seen, fusion = observe_run(
        data_dir, workdir, (search, split), reward, max_requests
    )
    others = {
        name: scores_of_run(data_dir, folder, split, max_requests)
        for name, folder in (beside or {}).items()
    }
    found = fusion_report(
        seen[search], seen[split], fusion.form, others, **options
    )
    found["fusion"] = fusion.kind
    found["seconds"] = round(time.monotonic() - began, 1)
    title = f"Fusion weights: {fusion.kind} on {found['schema']}"
    return write_fusion_report(output_dir, found, title), found


def observe_run(
    data_dir: str | Path,
    workdir: str | Path,
    splits: Sequence[str],
    reward: bool = False,
    max_requests: int = 0,
) -> tuple[dict[str, FusionObservation], Any]:
    """Split -> what the best weights of a run make of it; fusion settings."""
    for split in splits:
        split_files(data_dir, split)
    model = load_trained(workdir)
    if model.fusion is None:
        raise DataError(
            f"{workdir}: its ranker fuses nothing. Train one with "
            "--fusion=personalized or --fusion=global."
        )
    if reward and not model.schema.reward:
        raise DataError(
            f"{data_dir}: schema `{model.schema.name}` has no reward column; "
            "leave --reward out."
        )
    scorer, settings = model_scorer(model, True), model.config.fusion
    read = {"keys": True, "oracle": True, "reward": reward}
    found = {}
    for split in splits:
        batches = numpy_batches(
            data_dir, split, _BATCH_SIZE, schema=model.schema, **read
        )
        seconds = settings.session_seconds
        found[split] = observe(
            batches, model.schema, scorer, seconds, reward, max_requests
        )
    return found, settings


def scores_of_run(
    data_dir: str | Path, workdir: str | Path, split: str, max_requests: int = 0
) -> np.ndarray:
    """[R, N] final scores of a run on a split."""
    model = load_trained(workdir)
    batches = numpy_batches(data_dir, split, _BATCH_SIZE, schema=model.schema)
    predictions = collect_predictions(
        batches, model.schema, {LEARNED: model_scorer(model)}, max_requests
    )
    return predictions.systems[LEARNED]["score"]


def fusion_report(
    searched: FusionObservation,
    judged: FusionObservation,
    form: str,
    others: Mapping[str, np.ndarray] | None = None,
    request_weights: str = "equal",
    num_weights: int = 1000,
    num_replicates: int = 500,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Returns all that the page shows, as plain values.

    Constant weights are searched on the requests `searched`, overall, by
    scenario and by the facts that the simulator hides, for value-NDCG or, with
    `request_weights` "gain", for captured value; all is judged on `judged`,
    where `others` are more orders, name -> [R, N].
    """
    for name, observation in (("searched", searched), ("judged", judged)):
        if not observation.predictions.total_gains().any():
            raise DataError(
                f"no request among those {name} has any gain: nothing to "
                "compare. Use more requests."
            )
    values = searched.predictions.values
    starts = [tuple(map(abs, values))] if any(values) else []
    orders = {EXPECTED: judged.expected}
    if searched.predictions.gains is not None:
        measured = measured_values(searched.predictions)
        orders[MEASURED] = judged.predictions.probabilities @ measured
        starts.append(tuple(np.abs(measured).tolist()))
    facts = judged.schema.oracle_names
    known = searched.predictions.segments
    split_by = [name for name in ("scenario", *facts) if name in known]
    for form_of, suffix in (("log_linear", ""), ("additive", ADDITIVE)):
        search = WeightJudge(
            searched.predictions,
            form_of,
            segments=split_by,
            request_weights=request_weights,
        )
        grid = search_weights(search, num_weights, starts, seed, progress)
        judge = WeightJudge(judged.predictions, form_of)
        for name, order in rankings_of(grid, judge).items():
            if name == EXPECTED or name in judged.predictions.scores:
                continue
            hidden = HIDDEN if name.removeprefix(SEGMENTED) in facts else ""
            orders[f"{hidden}{name}{suffix}"] = order
    orders[LEARNED] = judged.predictions.scores[LEARNED]
    bootstrap = Bootstrap(len(judged.users), judged.users, num_replicates, seed)
    compared = compare_orders(judged, orders | dict(others or {}), bootstrap)
    return nan_to_none(
        {
            "schema": judged.schema.name,
            "form": form,
            "objectives": list(judged.schema.objective_names),
            "values": list(judged.schema.objective_values),
            "reward": judged.predictions.gains is not None,
            "num_requests": len(judged.users),
            "num_users": int(judged.users.max()) + 1,
            "num_searched": len(searched.users),
            "recommendation": recommend(compared),
            "comparison": compared,
            "weights": weights_by_segment(judged, bootstrap),
        }
    )


def measured_values(predictions: FusionPredictions) -> np.ndarray:
    """Returns what one of each outcome gained on average, (T,) float32.

    The least squares of gains by labels over all impressions.
    """
    real = predictions.real
    labels = predictions.labels[real].astype(np.float64)
    gains = predictions.total_gains()[real]
    return np.linalg.lstsq(labels, gains)[0].astype(np.float32)


def write_fusion_report(
    output_dir: str | Path, report: Mapping[str, Any], title: str
) -> Path:
    """Writes page (returned) and JSON of a `fusion_report`; whole or not."""
    folder = Path(output_dir)
    page = write_page(
        folder / PAGE_FILE,
        "fusion_report.html",
        title=title,
        report=report,
        advice=advice_lines(report),
        descriptions=DESCRIPTIONS,
        pictures=[segments_picture(report["weights"])],
    )
    write_metrics(folder / JSON_FILE, report)
    return page


def advice_lines(report: Mapping[str, Any]) -> list[str]:
    """The recommendation of each metric as one line with its numbers."""
    return [
        f"{metric}: use {one['use']}; {one['use']} - {one['against']} = "
        f"{one['difference']:+.5f} (95 %: "
        f"{bounds(one['interval'], 5) or 'no interval'})"
        for metric, one in report["recommendation"].items()
    ]
