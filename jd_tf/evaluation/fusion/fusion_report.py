"""The report on a fusion: its weights, and its order against simpler ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.evaluation.fusion.fusion_pictures import (
    differences_picture,
    segments_picture,
)
from jd_tf.evaluation.fusion.grid import search_weights
from jd_tf.evaluation.fusion.observation import FusionObservation
from jd_tf.evaluation.fusion.order_comparison import (
    DESCRIPTIONS,
    compare_orders,
    orders_of,
    recommend,
)
from jd_tf.evaluation.fusion.weight_judge import FORMS, WeightJudge
from jd_tf.evaluation.fusion.weight_tables import (
    contrasts,
    weights_by_segment,
)
from jd_tf.evaluation.metrics_file import nan_to_none, write_metrics
from jd_tf.evaluation.pages import bounds, write_page
from jd_tf.metrics.bootstrap import Bootstrap
from jd_tf.schema import DataError

PAGE_FILE, JSON_FILE = "fusion_report.html", "fusion_report.json"


def fusion_report(
    searched: FusionObservation,
    judged: FusionObservation,
    form: str,
    others: Mapping[str, np.ndarray] | None = None,
    num_weights: int = 1000,
    num_replicates: int = 500,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """All that the page shows, as plain values.

    Args:
        searched: requests on which constant weights are searched.
        judged: other requests, on which all is judged.
        form: of the learned fusion, `"log_linear"` or `"additive"`.
        others: name -> [R, N] more orders of `judged` to compare.
        num_weights: weight vectors tried, for each form.
        num_replicates: bootstrap resamples of users.
        seed: of everything random.
        progress: whether to show bars.

    Returns:
        `weights` (see `weights_by_segment`), `contrasts`, `comparison` (see
        `compare_orders`), `recommendation` (see `recommend`), and the numbers
        of requests.

    Raises:
        DataError: where no request has any gain.
    """
    for name, observation in (("searched", searched), ("judged", judged)):
        if not observation.predictions.total_gains().any():
            raise DataError(
                f"no request among those {name} has any gain: nothing to "
                "compare. Use more requests."
            )
    values = searched.predictions.values
    grids = {}
    for one in FORMS:
        judge = WeightJudge(searched.predictions, one)
        starts = [values] if any(values) else []
        grid = search_weights(judge, num_weights, starts, seed, progress)
        grids[one] = (grid, WeightJudge(judged.predictions, one))
    bootstrap = Bootstrap(len(judged.users), judged.users, num_replicates, seed)
    compared = compare_orders(
        judged, orders_of(judged, grids, others), bootstrap
    )
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
    page = write_page(
        folder / PAGE_FILE,
        "fusion_report.html",
        title=title,
        report=report,
        advice=advice_lines(report),
        descriptions=DESCRIPTIONS,
        pictures=[
            differences_picture(report["comparison"]),
            segments_picture(report["weights"]),
        ],
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
