"""Metrics of a run against plain loops; resamples that pair."""

import json

import numpy as np
import pytest

from jd_tf.evaluation.ablations.judge import ALL, COLD, ColdItems
from jd_tf.evaluation.collect import collect_predictions
from tests.evaluation.ablation_runs import RANKER, predictions, result
from tests.evaluation.toy_shop import toy_batch, toy_schema
from tests.metrics import references


@pytest.mark.parametrize("kind", [ALL, COLD])
def test_metrics_equal_the_loops(kind):
    given = predictions(0.5, seed=1)
    found = result(0.5, seed=1)["metrics"][kind]
    real = np.arange(6) < given.num_candidates[:, None]
    where = real & (given.marks[COLD] if kind == COLD else True)
    request = np.nonzero(where)[0]
    for t, objective in enumerate(("click", "order")):
        scores = given.systems[RANKER]["probabilities"][..., t][where]
        labels = given.labels[..., t][where]
        entry = found[objective]
        assert entry["auc"] == pytest.approx(references.auc(scores, labels))
        assert entry["gauc"] == pytest.approx(
            references.gauc(scores, labels, request)
        )
        assert entry["gauc_user"] == pytest.approx(
            references.gauc(scores, labels, request // 2)
        )
        gains = [
            references.ndcg(scores[request == r], labels[request == r], 10)
            for r in set(request.tolist())
        ]
        assert entry["ndcg@10"] == pytest.approx(np.nanmean(gains))
        assert entry["num_impressions"] == where.sum()
        assert entry["num_positives"] == labels.sum()


def test_resamples_of_two_runs_draw_the_same_users():
    one, other = result(3.0, seed=1), result(3.0, seed=2)
    assert one["fingerprint"] == other["fingerprint"]
    assert one["metrics"] != other["metrics"]
    for metric in ("auc", "gauc", "gauc_user", "ndcg@10"):
        drawn = [r["replicates"][ALL]["click"][metric] for r in (one, other)]
        # Luck with users moves both models alike.
        assert np.corrcoef(drawn)[0, 1] > 0.3
    assert result(3.0, 1, num_requests=240)["fingerprint"] != one["fingerprint"]
    json.dumps(one, allow_nan=False)


def test_cold_items_are_those_training_hardly_showed():
    training = [toy_batch(seed, size=7) for seed in range(3)]
    shown = {}
    for batch in training:
        for items, length in zip(
            batch["item_id"], batch["num_candidates"], strict=True
        ):
            for item in items[:length]:
                shown[item] = shown.get(item, 0) + 1
    batch = toy_batch(9)
    for most in (0, 2):
        found = ColdItems(most).fit(training)(batch)
        expected = [
            [
                place < length and shown.get(item, 0) <= most
                for place, item in enumerate(items)
            ]
            for items, length in zip(
                batch["item_id"], batch["num_candidates"], strict=True
            )
        ]
        np.testing.assert_array_equal(found, expected)
        assert 0 < found.sum() < (batch["item_id"] > 0).sum()


def test_marks_travel_with_predictions():
    batches = [toy_batch(seed, size=5) for seed in (1, 2)]

    def scorer(batch):
        assert "labels" not in batch
        return {"score": batch["item_dense"][..., 0]}

    found = collect_predictions(
        batches,
        toy_schema(),
        {"price": scorer},
        max_requests=8,
        marks={"even": lambda batch: batch["item_id"] % 2 == 0},
    )
    expected = np.concatenate([b["item_id"] % 2 == 0 for b in batches])[:8]
    np.testing.assert_array_equal(found.marks["even"], expected)
    assert not collect_predictions(batches, toy_schema(), {}).marks
