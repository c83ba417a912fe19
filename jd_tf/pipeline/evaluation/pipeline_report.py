"""One table and two pictures of a whole pipeline."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from jd_tf.data.files import write_json, write_whole
from jd_tf.data.text_table import text_table
from jd_tf.evaluation.metrics_file import nan_to_none
from jd_tf.metrics import coverage, interval, value_entropy
from jd_tf.metrics.ranking_metrics import mean_defined
from jd_tf.pipeline.building import OpenRecommender, open_recommender
from jd_tf.pipeline.evaluation.diversity_curve import (
    CurvePoint,
    diversity_curve,
    gain_within,
    list_distance,
)
from jd_tf.pipeline.evaluation.funnel import (
    FunnelRow,
    measure_funnel,
    users_bootstrap,
    value_ndcg,
)
from jd_tf.pipeline.evaluation.logged_requests import (
    LoggedRequest,
    answer_all,
    read_logged,
)
from jd_tf.pipeline.evaluation.pipeline_pictures import (
    curve_picture,
    funnel_picture,
)
from jd_tf.pipeline.evaluation.shop_answers import pages_in_shop, shop_lines
from jd_tf.pipeline.recommendation import Recommendation
from jd_tf.pipeline.stages.fine_stage import FineStage
from jd_tf.pipeline.stages.rerank_stage import RerankStage
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.schema import HISTORY_ROLES, REQUEST_ROLES, DataError
from jd_tf.serving.batching import pad_requests

_BEST = 10
_SECONDS = 60.0
_QUOTAS = (2, 3, 4, 5, 7, 10)
_MOST_LOST = 0.01


def evaluate_pipeline(
    config: str | Path,
    data: str | Path,
    output: str | Path,
    split: str = "test",
    num_requests: int = 300,
    num_exhaustive: int = 100,
    progress: bool = True,
) -> dict[str, Any]:
    """Measures the recommender of a YAML file on logged requests.

    Writes `pipeline.json`, `funnel.png` and, where there is a re-ranking,
    `diversity.png`.

    Args:
        config: the YAML file.
        data: folder of request records.
        output: folder that is written.
        split: of the data.
        num_requests: requests answered, spread over the split; 0 for all.
        num_exhaustive: of the first so many the fine ranker scores the whole
            catalogue, to find what the cuts before it lose.
        progress: whether to show bars.

    Returns:
        What `pipeline.json` holds, nan where that has null.

    Raises:
        DataError: for a file that is missing or wrong.
    """
    with open_recommender(config) as opened:
        requests = list(read_logged(data, split, num_requests, opened.schema))
        opened.recommender.warm_up(requests[0].columns)
        answers = answer_all(opened, requests, progress)
        ideal = _exhaustive(opened, requests[:num_exhaustive], progress)
        report = _measured(opened, requests, answers, ideal)
        points = _curve(opened, requests, answers)
        report["in_the_shop"] = pages_in_shop(
            data,
            requests,
            _pages(opened, requests, answers),
            opened.catalogue.item_id,
        )
    report["diversity"] = [dataclasses.asdict(point) for point in points]
    report["diversity_within_1_percent"] = {
        method: dataclasses.asdict(point)
        for method in ("mmr", "dpp", "quota")
        if (point := gain_within(points, method, _MOST_LOST))
    }
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "pipeline.json", nan_to_none(report))
    rows = [FunnelRow(**row) for row in report["funnel"]]
    picture = funnel_picture(rows, len(opened.catalogue))
    write_whole(folder / "funnel.png", picture.png)
    if points:
        write_whole(folder / "diversity.png", curve_picture(points).png)
    return report


def report_text(report: Mapping[str, Any]) -> str:
    """Returns the table of a report, and a few lines below it."""
    heads = ["stage", "items", "recall of wanted", "fine's top 10 kept"]
    rows = [[*heads, "p50 ms", "p99 ms", "fell back"]]
    for row in report["funnel"]:
        low, high = row["recall_interval"]
        rows.append(
            [
                row["stage"],
                f"{row['size']:.0f}",
                f"{row['recall']:.4f} ({low:.4f} to {high:.4f})",
                f"{row['best_kept']:.4f}",
                f"{row['p50_ms']:.1f}",
                f"{row['p99_ms']:.1f}",
                f"{row['fell_back']:.1%}",
            ]
        )
    final = report["final"]
    lines = [
        *text_table(rows),
        "",
        f"{report['requests']} requests, {report['num_items']} items; "
        f"answers: p50 {final['p50_ms']:.1f} ms, p99 {final['p99_ms']:.1f} ms",
        f"value NDCG@{final['count']}: {final['value_ndcg']:.4f} "
        f"({final['value_ndcg_interval'][0]:.4f} to "
        f"{final['value_ndcg_interval'][1]:.4f}); in the order of fine "
        f"ranking {final['value_ndcg_fine']:.4f}",
        f"fine score shown / best of the catalogue: "
        f"{final['score_of_ideal']:.4f}",
        f"coverage {final['coverage']:.3f}, entropy of categories "
        f"{final['entropy']:.2f} bits, distance within a list "
        f"{final['distance']:.3f}",
    ]
    shop = [*shop_lines(report["in_the_shop"])]
    lines += ["", *text_table(shop), ""] if shop else []
    for name, share in report["coarse_rivals"].items():
        lines.append(f"fine's top {_BEST} kept by {name}: {share:.4f}")
    for method, point in report["diversity_within_1_percent"].items():
        lines.append(
            f"{method} at {point['setting']:g}: distance "
            f"{point['distance']:.3f}, value kept {point['value_kept']:.4f}"
        )
    return "\n".join(lines)


def _measured(
    opened: OpenRecommender,
    requests: Sequence[LoggedRequest],
    answers: Sequence[Recommendation],
    ideal: Sequence[ScoredItems],
) -> dict[str, Any]:
    config = opened.config
    counts = {"recall": config.recall.count}
    counts |= {s.stage.name: s.count for s in opened.recommender.steps}
    best = [items.item_id[:_BEST] for items in ideal]
    rows = measure_funnel(requests, answers, counts, best)
    bootstrap = users_bootstrap(requests)
    count = list(counts.values())[-1]
    shown = [answer.item_id for answer in answers]
    ndcg = value_ndcg(requests, shown, count)
    fine = _after("fine", answers)
    width = max(map(len, shown))
    lists = np.array([np.resize(ids, width) for ids in shown if len(ids)])
    length = np.array([len(ids) for ids in shown if len(ids)])
    seconds = 1000 * np.array([answer.seconds for answer in answers])
    distance, entropy = _diversity(opened, lists, length)
    return {
        "requests": len(requests),
        "num_items": len(opened.catalogue),
        "funnel": [dataclasses.asdict(row) for row in rows],
        "coarse_rivals": _coarse_rivals(opened, answers, best),
        "final": {
            "count": count,
            "value_ndcg": mean_defined(ndcg),
            "value_ndcg_interval": interval(
                bootstrap.means(ndcg, np.ones(len(ndcg)))
            ),
            "value_ndcg_fine": mean_defined(value_ndcg(requests, fine, count)),
            "score_of_ideal": _score_of_ideal(shown, ideal, count),
            "coverage": coverage(
                lists, np.arange(width) < length[:, None], len(opened.catalogue)
            ),
            "distance": distance,
            "entropy": entropy,
            "p50_ms": float(np.percentile(seconds, 50)),
            "p99_ms": float(np.percentile(seconds, 99)),
        },
    }


def _pages(
    opened: OpenRecommender,
    requests: Sequence[LoggedRequest],
    answers: Sequence[Recommendation],
) -> dict[str, list[np.ndarray]]:
    """Returns the pages of stages, and of the most popular items."""
    statistics = opened.statistics
    popular = statistics.item_id[np.argsort(-statistics.users, kind="stable")]
    pages = {"popular": [popular] * len(requests)}
    for stage in ("recall", "fine"):
        if any(stage in answer.answers for answer in answers):
            pages[stage] = _after(stage, answers)
    return {**pages, "answers": [answer.item_id for answer in answers]}


def _after(stage: str, answers: Sequence[Recommendation]) -> list[np.ndarray]:
    """Returns the items a stage answered, or what was shown without it."""
    return [
        answer.answers[stage].item_id
        if stage in answer.answers
        else answer.item_id
        for answer in answers
    ]


def _coarse_rivals(
    opened: OpenRecommender,
    answers: Sequence[Recommendation],
    best: Sequence[np.ndarray],
) -> dict[str, float]:
    """Returns the share of the best items that other coarse cuts would keep.

    As many as the coarse stage passes on, of what recall brought: in the order
    of recall, and by popularity.
    """
    if opened.config.coarse is None or not best:
        return {}
    count, statistics = opened.config.coarse.count, opened.statistics
    users = dict(
        zip(statistics.item_id.tolist(), statistics.users, strict=True)
    )
    kept: dict[str, list[float]] = {}
    for wanted, answer in zip(best, answers, strict=False):
        ids = answer.answers["recall"].item_id
        popular = np.argsort([-users.get(i, 0) for i in ids.tolist()])
        cuts = {"recall order": ids, "popularity": ids[popular]}
        if "coarse" in answer.answers:
            cuts["coarse"] = answer.answers["coarse"].item_id
        for name, order in cuts.items():
            share = float(np.isin(wanted, order[:count]).mean())
            kept.setdefault(name, []).append(share)
    return {name: float(np.mean(shares)) for name, shares in kept.items()}


def _exhaustive(
    opened: OpenRecommender, requests: Sequence[LoggedRequest], progress: bool
) -> list[ScoredItems]:
    """Returns the whole catalogue in the order of fine ranking.

    Items that recall must not bring are left out here, too.
    """
    steps = opened.recommender.steps
    stages = [s.stage for s in steps if isinstance(s.stage, FineStage)]
    if not stages:
        return []
    ids, found = opened.catalogue.item_id, []
    columns = opened.schema.columns(*HISTORY_ROLES, *REQUEST_ROLES)
    excluded = opened.config.recall.exclude
    for one in tqdm.tqdm(requests, "scoring all", disable=not progress):
        known = [c for c in columns if c.name in one.columns]
        batch = pad_requests([one.columns], known)
        out = [one.columns[f"{b}_item_id"] for b in excluded]
        kept = ids[~np.isin(ids, np.concatenate(out))] if out else ids
        everything = ScoredItems(kept, np.zeros(len(kept)))
        user = UserRequest(one.columns, batch)
        found.append(stages[-1].order(user, everything, len(kept), _SECONDS))
    return found


def _score_of_ideal(
    shown: Sequence[np.ndarray], ideal: Sequence[ScoredItems], count: int
) -> float:
    """Returns the fine score shown over the best there could be."""
    got = best = 0.0
    for ids, items in zip(shown, ideal, strict=False):
        got += float(items.score[np.isin(items.item_id, ids)].sum())
        best += float(items.score[:count].sum())
    return got / best if best else float("nan")


def _rerank_stage(opened: OpenRecommender) -> RerankStage | None:
    stages = (step.stage for step in opened.recommender.steps)
    return next((s for s in stages if isinstance(s, RerankStage)), None)


def _diversity(
    opened: OpenRecommender, lists: np.ndarray, length: np.ndarray
) -> tuple[float, float]:
    """Returns mean distance within lists and entropy of their categories."""
    stage, entropy = _rerank_stage(opened), float("nan")
    rows = opened.catalogue.rows(lists)
    if "category_id" in opened.catalogue.columns:
        categories = opened.catalogue.columns["category_id"][rows]
        entropy = mean_defined(value_entropy(categories, length))
    if stage is None:
        return float("nan"), entropy
    distances = [
        list_distance(stage.likeness(row[:n]), np.arange(n))
        for row, n in zip(rows, length, strict=True)
    ]
    return mean_defined(np.array(distances)), entropy


def _curve(
    opened: OpenRecommender,
    requests: Sequence[LoggedRequest],
    answers: Sequence[Recommendation],
) -> list[CurvePoint]:
    stage, settings = _rerank_stage(opened), opened.config.rerank
    fine = opened.config.fine
    if stage is None or settings is None or fine is None:
        return []
    if "category_id" not in opened.catalogue.columns:
        return []
    ranked = [
        (one, answer.answers["fine"])
        for one, answer in zip(requests, answers, strict=True)
        if "fine" in answer.answers
    ]
    if not ranked:
        raise DataError(
            "the fine ranker answered no request in time: give it more seconds."
        )
    lists = [
        items.take(np.arange(min(fine.count, len(items))))
        for _, items in ranked
    ]
    return diversity_curve(
        lists,
        stage,
        users_bootstrap([one for one, _ in ranked]),
        settings.count,
        settings.rules.window,
        [most for most in _QUOTAS if most < settings.count],
    )
