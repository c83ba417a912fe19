"""How a fusion weighs, whether it should, and sessions told: page and JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.evaluation.fusion.agreement import agree_with_grid
from jd_tf.evaluation.fusion.fusion_pictures import (
    objective_colors,
    regret_picture,
    rivals_picture,
    segment_picture,
)
from jd_tf.evaluation.fusion.grid import search_weights
from jd_tf.evaluation.fusion.grid_judge import FORMS, WeightJudge
from jd_tf.evaluation.fusion.observation import FusionObservation
from jd_tf.evaluation.fusion.rivals import (
    WHAT_IT_IS,
    compare_rivals,
    recommend,
    rivals,
)
from jd_tf.evaluation.fusion.stories import tell_stories
from jd_tf.evaluation.fusion.weight_tables import (
    contrasts,
    weights_by_segment,
)
from jd_tf.evaluation.metrics_file import nan_to_none, write_metrics
from jd_tf.evaluation.pages import write_page
from jd_tf.metrics.bootstrap import Bootstrap
from jd_tf.schema import DataError

PAGE_FILE, JSON_FILE = "fusion_report.html", "fusion_report.json"


def fusion_report(
    searched: FusionObservation,
    judged: FusionObservation,
    form: str,
    others: Mapping[str, np.ndarray] | None = None,
    num_weights: int = 1000,
    num_stories: int = 20,
    num_replicates: int = 500,
    session_seconds: float = 3600.0,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Everything the page tells, as plain values.

    Args:
        searched: requests on which constant weights are searched.
        judged: other requests, on which all is judged and told.
        form: of the learned fusion, `"log_linear"` or `"additive"`.
        others: name -> [R, N] more orders of `judged` to compare.
        num_weights: weight vectors tried, for each form.
        num_stories: sessions told.
        num_replicates: bootstrap resamples of users.
        session_seconds: a longer pause between requests ends a session.
        seed: of everything random.
        progress: whether to show bars.

    Returns:
        `weights` (see `weights_by_segment`), `contrasts`, `agreement` (a
        list, see `agree_with_grid`), `comparison` (see `compare_rivals`),
        `recommendation` (see `recommend`), `stories`, and numbers of what was
        judged.

    Raises:
        DataError: where no request has any gain.
    """
    for name, observation in (("searched", searched), ("judged", judged)):
        if not observation.predictions.total_gains().any():
            raise DataError(
                f"no request among those {name} has any gain: nothing to "
                "compare. Use more requests."
            )
    names = list(searched.predictions.segments)
    grids = {}
    for one in FORMS:
        judge = WeightJudge(searched.predictions, one, segments=names)
        values = searched.predictions.values
        starts = [values] if any(values) else []
        grid = search_weights(judge, num_weights, starts, seed, progress)
        grids[one] = (grid, WeightJudge(judged.predictions, one))
    bootstrap = Bootstrap(len(judged.users), judged.users, num_replicates, seed)
    orders = rivals(judged, grids, others)
    compared = compare_rivals(judged, orders, bootstrap)
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
            "contrasts": contrasts(judged, bootstrap),
            "agreement": agree_with_grid(judged, *grids[form], bootstrap),
            "stories": tell_stories(judged, num_stories, session_seconds, seed),
        }
    )


def write_fusion_report(
    output_dir: str | Path, report: Mapping[str, Any], title: str
) -> Path:
    """Writes page and JSON; each whole or not.

    Args:
        output_dir: made if missing.
        report: of `fusion_report`.
        title: heading of the page.

    Returns:
        The page.
    """
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    compared = _with_nan(report["comparison"])
    agreement = _with_nan(report["agreement"])
    page = write_page(
        folder / PAGE_FILE,
        "fusion_report.html",
        title=title,
        report=report,
        colors=objective_colors(report["objectives"]),
        what_it_is=WHAT_IT_IS,
        rival_pictures=[
            rivals_picture(compared, metric)
            for metric in report["recommendation"]
        ],
        segment_pictures=[
            segment_picture(name, table)
            for name, table in report["weights"].items()
        ],
        regret=regret_picture(agreement) if agreement else None,
    )
    write_metrics(folder / JSON_FILE, report)
    return page


def _with_nan(value: Any) -> Any:
    """None back to nan, which pictures can compare."""
    if isinstance(value, Mapping):
        return {name: _with_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_nan(part) for part in value]
    return float("nan") if value is None else value
