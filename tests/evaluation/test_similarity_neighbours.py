"""Nearest neighbours and what they share, against loops over all pairs."""

import numpy as np
import pytest

from jd_tf.evaluation.similarity.neighbours import (
    Measure,
    explained,
    nearest,
    shared,
    summarize,
)


def _items(size=60, width=5, seed=0):
    rng = np.random.default_rng(seed)
    classes = np.array(["a", "b", "c"])[rng.integers(0, 3, size)]
    return rng.normal(size=(size, width)), classes, rng.integers(0, 4, size)


def _loop_nearest(vectors, query, count, within):
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    others = [
        (-float(units[query] @ units[other]), other)
        for other in range(len(vectors))
        if other != query and (within is None or within[other] == within[query])
    ]
    return [other for _, other in sorted(others)[:count]]


@pytest.mark.parametrize("apart", [False, True])
def test_neighbours_and_shares_equal_the_loops(apart):
    vectors, classes, kinds = _items()
    within = kinds if apart else None
    queries = np.array([3, 0, 41, 59])
    places = nearest(vectors, queries, 20, within)
    measure = shared(places, queries, classes, within)
    chances = []
    for row, query in enumerate(queries):
        expected = _loop_nearest(vectors, query, 20, within)
        assert places[row, : len(expected)].tolist() == expected
        assert (places[row, len(expected) :] == -1).all()
        same = [classes[other] == classes[query] for other in expected]
        assert measure.values[row] == pytest.approx(np.mean(same))
        others = [
            classes[other] == classes[query]
            for other in range(60)
            if other != query and (not apart or kinds[other] == kinds[query])
        ]
        chances.append(np.mean(others))
    assert measure.chance == pytest.approx(np.mean(chances))


def test_an_item_alone_in_its_kind_has_no_neighbours():
    vectors, classes, _ = _items(size=5)
    within = np.array([0, 1, 1, 2, 2])
    queries = np.arange(5)
    places = nearest(vectors, queries, 3, within)
    assert (places[0] == -1).all()
    assert np.isnan(shared(places, queries, classes, within).values[0])
    style = np.random.default_rng(0).normal(size=(5, 2))
    assert np.isnan(explained(places, queries, style, within).values[0])


def test_equal_items_are_no_neighbours_of_themselves():
    places = nearest(np.ones((30, 2)), np.arange(30), 3)
    assert (places >= 0).all()
    assert (places != np.arange(30)[:, None]).all()


def test_explained_variance_is_one_minus_the_error_of_the_prediction():
    rng = np.random.default_rng(1)
    style = rng.normal(size=(400, 2))
    queries = np.arange(400)
    places = nearest(np.exp(style), queries, 5)
    measure = explained(places, queries, style)
    error = sum(
        np.sum((style[q] - style[places[q]].mean(axis=0)) ** 2) for q in queries
    )
    total = np.sum((style - style.mean(axis=0)) ** 2)
    assert measure.values.mean() == pytest.approx(1 - error / total)
    drawn = np.stack([rng.permutation(400)[:5] for _ in queries])
    found = explained(drawn, queries, style)
    assert found.values.mean() == pytest.approx(found.chance, abs=0.06)


def test_style_that_category_gives_away_is_none_within_it():
    kinds = np.arange(200) % 2
    rng = np.random.default_rng(2)
    style = 5.0 * kinds[:, None] + rng.normal(size=(200, 1))
    vectors = np.eye(2)[kinds] + 0.01 * rng.normal(size=(200, 2))
    queries = np.arange(200)
    everywhere = explained(nearest(vectors, queries), queries, style)
    assert everywhere.values.mean() > 0.7
    near = nearest(vectors, queries, within=kinds)
    within = explained(near, queries, style, kinds)
    assert within.values.mean() == pytest.approx(within.chance, abs=0.1)


def test_gains_are_measured_query_by_query():
    first = Measure(np.array([0.0, 0.5, np.nan]), 0.1)
    second = Measure(np.array([0.25, 1.0, 1.0]), 0.1)
    found = summarize(second, first)
    assert found["mean"] == pytest.approx(0.75)
    assert found["gain"] == pytest.approx(0.375)
    gains = np.array([0.25, 0.5])
    assert found["gain_error"] == pytest.approx(gains.std(ddof=1) / 2**0.5)
