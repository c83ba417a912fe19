"""The search for constant weights finds what was planted."""

import dataclasses

import numpy as np
import pytest

from jd_tf.evaluation.fusion.grid import FusionGrid, search_weights
from jd_tf.evaluation.fusion.grid_run import rankings_of, report_grid
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.schema import DataError
from tests.evaluation.fusion.test_weight_judge import (
    NAMES,
    fused_scores,
    random_predictions,
)

PLANTED = {
    "browse": np.array([0.7, 0.2, 0.1]),
    "buy": np.array([0.1, 0.2, 0.7]),
}


def planted(form, seed=0, num_requests=1500):
    """The best order within a request depends on planted weights by intent."""
    rng = np.random.default_rng(seed)
    chances = rng.beta(2, 5, (num_requests, 8, 3)).astype("float32")
    chances[..., 2] /= 50
    intent = rng.choice(list(PLANTED), num_requests, p=[0.7, 0.3])
    weights = np.stack([PLANTED[name] for name in intent])
    if form == "log_linear":
        business = np.einsum("rnt,rt->rn", np.log(chances), weights)
    else:
        weights = weights * [1, 1, 50]
        business = np.einsum("rnt,rt->rn", chances, weights)
    gains = (business == business.max(axis=1, keepdims=True)).astype("float32")
    return FusionPredictions(
        chances,
        np.zeros_like(chances),
        np.full(num_requests, 8),
        NAMES,
        (1.0, 1.0, 1.0),
        gains,
        {"intent": intent},
    )


@pytest.mark.parametrize("form", ["log_linear", "additive"])
def test_finds_planted_weights_by_segment(form):
    judge = WeightJudge(planted(form), form, segments=("intent",))
    grid = search_weights(judge, 200)
    assert grid.weights.shape == (200, 3)
    np.testing.assert_allclose(grid.weights.sum(axis=1), 1)
    assert grid.weights.min() >= 0
    assert np.bincount(grid.rounds).tolist() == [100, 33, 33, 34]
    unit = np.array([1, 1, 50]) if form == "additive" else np.ones(3)
    for number, (_, segment) in enumerate(grid.groups[1:], 1):
        found = grid.best_weights(number)
        # In shares of what each objective moves.
        np.testing.assert_allclose(
            found / unit / (found / unit).sum(), PLANTED[segment], atol=0.06
        )
        assert grid.ndcg[number].max() > 0.985
    # No one vector serves both.
    assert grid.ndcg[0].max() < 0.9
    assert grid.group_sizes[0] == grid.group_sizes[1:].sum() == 1500


def test_refinement_finds_better_than_the_coarse_look_alone():
    judge = WeightJudge(planted("log_linear"), segments=("intent",))
    grid = search_weights(judge, 80)
    coarse = grid.ndcg[:, grid.rounds == 0].max(axis=1)
    assert np.all(grid.ndcg.max(axis=1)[1:] > coarse[1:])
    assert np.all(grid.rounds[grid.best[1:]] > 0)


def test_the_same_seed_finds_the_same_and_starts_are_tried():
    judge = WeightJudge(random_predictions(1, 100))
    one, other = (search_weights(judge, 40, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.ndcg, other.ndcg)
    start = np.array([3.0, 0.0, 1.0])
    grid = search_weights(judge, 40, [start])
    assert np.any(np.all(grid.weights == start / 4, axis=1))
    for corner in np.eye(3):
        assert np.any(np.all(grid.weights == corner, axis=1))
    with pytest.raises(DataError, match=r"at least 8\. Got: 7"):
        search_weights(judge, 7)


def test_the_front_is_what_nothing_beats():
    judge = WeightJudge(random_predictions(2, 100))
    grid = search_weights(judge, 60)
    front = set(grid.front(0, 2))
    for number in range(60):
        mine = grid.captured[[0, 2], number]
        beaten = any(
            np.all(theirs >= mine) and np.any(theirs > mine)
            for theirs in grid.captured[[0, 2]].T
        )
        if number in front:
            assert not beaten
        elif not beaten:
            # Left out only for another with the very same values.
            assert any(
                np.array_equal(mine, grid.captured[[0, 2], kept])
                for kept in front
            )
    ordered = grid.captured[0, grid.front(0, 2)]
    assert np.all(np.diff(ordered) > 0)


def test_the_front_can_be_looked_for():
    judge = WeightJudge(random_predictions(2, 300, rate=0.1))
    plain = search_weights(judge, 120)
    looked = search_weights(judge, 120, axes=(0, 2))
    assert len(looked.weights) == len(plain.weights) == 120

    def area(grid):
        """Of what lies below and left of the front."""
        ends = np.append(0, grid.captured[0, grid.front(0, 2)])
        return np.diff(ends) @ grid.captured[2, grid.front(0, 2)]

    assert area(looked) > area(plain)
    nothing = np.zeros((300, 5, 3), "float32")
    nothing[..., 1] = 1
    empty = WeightJudge(random_predictions(2, 300, labels=nothing))
    assert len(search_weights(empty, 30, axes=(0, 2)).weights) == 30


def test_the_same_vectors_on_other_requests():
    one, other = (WeightJudge(random_predictions(seed, 100)) for seed in (1, 2))
    grid = search_weights(one, 30)
    moved = grid.judged_on(other)
    np.testing.assert_array_equal(moved.weights, grid.weights)
    np.testing.assert_array_equal(moved.rounds, grid.rounds)
    np.testing.assert_array_equal(moved.ndcg, other.judge(grid.weights).ndcg)


def test_a_segment_without_gain_gets_the_global_weights():
    predictions = planted("log_linear", num_requests=60)
    nothing = predictions.segments["intent"] == "buy"
    gains = predictions.gains * ~nothing[:, None]
    predictions = dataclasses.replace(predictions, gains=gains)
    judge = WeightJudge(predictions, segments=("intent",))
    grid = search_weights(judge, 30)
    assert grid.best[2] == -1
    np.testing.assert_array_equal(grid.best_weights(2), grid.best_weights(0))
    report = report_grid(grid, judge)
    assert list(report["segments"]["intent"]) == ["browse"]
    empty = dataclasses.replace(predictions, gains=0 * gains)
    grid = search_weights(WeightJudge(empty), 30)
    with pytest.raises(DataError, match="no request has any gain"):
        grid.best_weights()


def test_rankings_follow_each_requests_segment():
    predictions = random_predictions(3)
    judge = WeightJudge(predictions, segments=("scenario",))
    weights = np.array([[0.2, 0.3, 0.5], [0.9, 0.1, 0.0], [0.1, 0.1, 0.8]])
    ndcg = np.array([[3.0, 2, 1], [1, 3, 2], [1, 2, 3]])
    grid = FusionGrid(
        judge.groups,
        judge.group_sizes,
        weights,
        np.zeros(3, int),
        ndcg,
        np.zeros((3, 3)),
    )
    segments = predictions.segments["scenario"].copy()
    segments[0] = "live"
    predictions = dataclasses.replace(
        predictions, segments={"scenario": segments}
    )
    rankings = rankings_of(grid, WeightJudge(predictions))
    row_of = {"live": 0, "cart": 1, "feed": 2}
    everywhere = fused_scores(predictions, weights[0], "log_linear")
    real = predictions.real
    np.testing.assert_allclose(
        rankings["best_global_weights"][real], everywhere[real], atol=1e-3
    )
    for row, segment in enumerate(segments):
        one = fused_scores(predictions, weights[row_of[segment]], "log_linear")
        np.testing.assert_allclose(
            rankings["best_weights_by_scenario"][row][real[row]],
            one[row][real[row]],
            atol=1e-3,
        )


def test_the_report_compares_rankings_pair_by_pair():
    predictions = planted("log_linear", 1, 400)
    best = np.stack([PLANTED[i] for i in predictions.segments["intent"]])
    oracle = np.einsum("rnt,rt->rn", np.log(predictions.probabilities), best)
    predictions = dataclasses.replace(predictions, scores={"truth": oracle})
    judge = WeightJudge(predictions, segments=("intent",))
    grid = search_weights(judge, 60)
    report = report_grid(grid, judge)
    found = report["rankings"]
    assert found["best_global_weights"]["minus_best_global_weights"] == 0
    assert found["truth"]["ndcg"] == pytest.approx(1)
    one = judge.request_ndcg(oracle)
    other = judge.request_ndcg(
        np.log(predictions.probabilities) @ grid.best_weights()
    )
    apart = found["truth"]["minus_best_global_weights"]
    assert apart == pytest.approx(np.mean(one - other), abs=1e-4)
    assert found["truth"]["standard_error"] == pytest.approx(
        np.std(one - other, ddof=1) / 20, rel=1e-2
    )
    by_intent = report["segments"]["intent"]
    for entry in by_intent.values():
        assert entry["regret_of_global_weights"] >= 0
        assert sum(entry["weights"].values()) == pytest.approx(1)
    assert by_intent["buy"]["regret_of_global_weights"] > 0.1
    assert set(found["truth"]["segments"]) == {
        "ndcg_intent_buy", "ndcg_intent_browse"
    }  # fmt: skip
