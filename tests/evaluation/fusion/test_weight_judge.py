"""Weights judged by counting, against loops and against sorted metrics."""

import dataclasses
import math

import numpy as np
import pytest

from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.metrics.ranking_metrics import group_ndcg
from tests import fusion_references
from tests.metrics import references

R, N, T = 40, 5, 3
NAMES, VALUES = ("click", "cart", "order"), (1.0, 5.0, 20.0)


def random_predictions(
    seed=0, num_requests=R, width=N, rate=0.3, digits=9, **changes
):
    """Random requests; few `digits` make ties."""
    rng = np.random.default_rng(seed)
    shape = (num_requests, width, T)
    count = rng.integers(0, width + 1, num_requests)
    chances = rng.beta(1, 4, shape).round(digits).astype("float32")
    labels = (rng.random(shape) < rate).astype("float32")
    fields = {
        "probabilities": chances,
        "labels": labels,
        "num_candidates": count,
        "objectives": NAMES,
        "values": VALUES,
        "segments": {"scenario": rng.choice(["feed", "cart"], num_requests)},
    }
    return FusionPredictions(**{**fields, **changes})


def fused_scores(predictions, weights, form):
    """[R, N] fused one candidate at a time."""
    chances = np.maximum(predictions.probabilities.astype(np.float64), 1e-30)
    with np.errstate(divide="ignore"):
        logits = np.log(chances) - np.log1p(-chances)
    scores = np.zeros(chances.shape[:2])
    for place in np.ndindex(scores.shape):
        scores[place] = fusion_references.fused(logits[place], weights, form)
    # Ties in single precision, in which the judge fuses, are ties here.
    return scores.round(4)


def _loop(predictions, scores, gains, k, rows):
    """Mean NDCG of some requests, one request at a time."""
    found = []
    for row in rows:
        count = predictions.num_candidates[row]
        ndcg = references.ndcg(scores[row, :count], gains[row, :count], k)
        if not math.isnan(ndcg):
            found.append(ndcg)
    return np.mean(found) if found else np.nan


@pytest.mark.parametrize("form", ["log_linear", "additive"])
@pytest.mark.parametrize("k", [2, 10])
@pytest.mark.parametrize("digits", [1, 9])
def test_ndcg_equals_a_loop(form, k, digits):
    predictions = random_predictions(digits=digits)
    weights = np.random.default_rng(1).dirichlet(np.ones(T), 4)
    judge = WeightJudge(predictions, form, k, ("scenario",))
    assert judge.groups == [
        ("all", "all"), ("scenario", "cart"), ("scenario", "feed")
    ]  # fmt: skip
    found = judge.judge(weights)
    gains = predictions.labels @ np.array(VALUES)
    segment = predictions.segments["scenario"]
    for number, one in enumerate(weights):
        scores = fused_scores(predictions, one, form)
        for group, (_, name) in enumerate(judge.groups):
            rows = np.flatnonzero((name == "all") | (segment == name))
            expected = _loop(predictions, scores, gains, k, rows)
            assert found.ndcg[group, number] == pytest.approx(
                expected, abs=1e-5
            )


def test_requests_counted_by_gain_are_a_share_of_all_that_could_be_gained():
    predictions = random_predictions(5)
    judge = WeightJudge(predictions, "additive", 2, ("scenario",), "gain")
    one = np.array([0.2, 0.3, 0.5])
    scores = fused_scores(predictions, one, "additive")
    gains = predictions.labels @ np.array(VALUES)
    segment = predictions.segments["scenario"]
    found = judge.judge(one[None]).ndcg[:, 0]
    for (_, name), share in zip(judge.groups, found, strict=True):
        got = best = 0.0
        for row in np.flatnonzero((name == "all") | (segment == name)):
            count = predictions.num_candidates[row]
            mine, ranked = gains[row, :count], scores[row, :count]

            def discount(place):
                return 1 / math.log2(1 + place)

            got += references.gain_at(ranked, mine, 2, discount)
            best += references.gain_at(mine, mine, 2, discount)
        assert share == pytest.approx(got / best, abs=1e-5)


@pytest.mark.parametrize("width", [1, 20, 300])
def test_rankings_equal_sorted_metrics(width):
    predictions = random_predictions(2, 200, width, rate=0.1)
    rng = np.random.default_rng(3)
    rankings = {
        "fine": rng.random((200, width)),
        "ties": rng.integers(0, 4, (200, width)).astype("float32"),
        "all one": np.zeros((200, width)),
    }
    judge = WeightJudge(predictions, k=10)
    judged = judge.judge_scores(rankings)
    real = predictions.real
    groups = np.repeat(np.arange(200), predictions.num_candidates)
    gains = (predictions.labels @ np.array(VALUES))[real]
    for number, scores in enumerate(rankings.values()):
        expected = group_ndcg(scores[real], gains, groups, 200, 10)
        found = judge.request_ndcg(scores)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert judged.ndcg[0, number] == pytest.approx(
            np.nanmean(expected), rel=1e-5
        )


def test_captured_is_the_share_of_each_objectives_discounted_outcomes():
    predictions = random_predictions(4)
    weights = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    judge = WeightJudge(predictions, k=3)
    found = judge.judge(weights).captured

    def discount(place):
        return 1 / math.log2(1 + place)

    for number, one in enumerate(weights):
        scores = fused_scores(predictions, one, "log_linear")
        for t in range(T):
            got = best = 0.0
            for row in range(R):
                count = predictions.num_candidates[row]
                mine = predictions.labels[row, :count, t]
                ranked = scores[row, :count]
                got += references.gain_at(ranked, mine, 3, discount)
                best += references.gain_at(mine, mine, 3, discount)
            assert found[t, number] == pytest.approx(got / best, abs=1e-5)


def test_what_padding_holds_does_not_matter():
    predictions = random_predictions(5)
    real = predictions.real
    filled = dataclasses.replace(
        predictions,
        probabilities=np.where(
            real[..., None], predictions.probabilities, np.nan
        ),
        labels=np.where(real[..., None], predictions.labels, np.inf),
    )
    weights = np.random.default_rng(1).dirichlet(np.ones(T), 3)
    one, other = (WeightJudge(p).judge(weights) for p in (predictions, filled))
    np.testing.assert_array_equal(one.ndcg, other.ndcg)
    np.testing.assert_array_equal(one.captured, other.captured)


def test_a_reward_stands_in_for_values():
    rng = np.random.default_rng(6)
    reward = rng.random((R, N)).astype("float32")
    predictions = random_predictions(6, gains=reward)
    scores = rng.random((R, N))
    found = WeightJudge(predictions).request_ndcg(scores)
    for row in range(R):
        count = predictions.num_candidates[row]
        expected = references.ndcg(scores[row, :count], reward[row, :count], 10)
        np.testing.assert_allclose(found[row], expected, rtol=1e-5)


def test_blocks_and_the_number_of_weights_change_nothing(monkeypatch):
    predictions = random_predictions(7, 300)
    weights = np.random.default_rng(1).dirichlet(np.ones(T), 700)
    counted = []
    judge = WeightJudge(predictions)
    whole = judge.judge(weights, counted.append)
    assert sum(counted) == 700 * len(judge._rows)
    monkeypatch.setattr("jd_tf.evaluation.fusion.weight_judge._BLOCK_BYTES", 1)
    for number in (0, 255, 256, 699):
        alone = judge.judge(weights[number : number + 1])
        np.testing.assert_allclose(
            alone.ndcg[:, 0], whole.ndcg[:, number], rtol=1e-5
        )


def test_nothing_to_gain_is_nan():
    empty = random_predictions(8, labels=np.zeros((R, N, T), "float32"))
    found = WeightJudge(empty, segments=("scenario",)).judge(np.ones((2, T)))
    assert np.isnan(found.ndcg).all()
    assert np.isnan(found.captured).all()
    with pytest.raises(ValueError, match="`form` must be one of"):
        WeightJudge(empty, form="max")
