"""Cosines and neighbours against loops over all pairs."""

import itertools

import numpy as np
import pytest

from jd_tf.evaluation.similarity import similarity
from jd_tf.evaluation.similarity.similarity import (
    NUM_BINS,
    chance_precision,
    cosine_counts,
    nearest,
    neighbour_distance,
    precision,
    random_neighbours,
    style_cells,
    unit_vectors,
)


def _items(size=60, width=5, seed=0):
    rng = np.random.default_rng(seed)
    classes = np.array(["a", "b", "c"])[rng.integers(0, 3, size)]
    kinds = rng.integers(0, 4, size)
    return unit_vectors(rng.normal(size=(size, width))), classes, kinds


def _loop_nearest(vectors, query, count, within):
    """Places of the most alike others, found one by one."""
    others = [
        (-float(vectors[query] @ vectors[other]), other)
        for other in range(len(vectors))
        if other != query and (within is None or within[other] == within[query])
    ]
    return [other for _, other in sorted(others)[:count]]


@pytest.fixture(params=[None, 7], ids=["whole", "blocks"])
def _blocks(request, monkeypatch):
    if request.param:
        cells = 60 * request.param
        monkeypatch.setattr(similarity, "_BLOCK_CELLS", cells)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("apart", [False, True])
def test_neighbours_and_precision_equal_the_loops(apart):
    vectors, classes, kinds = _items()
    within = kinds if apart else None
    queries = np.array([3, 0, 41, 59])
    found = nearest(vectors, queries, 10, within)
    shares = precision(found, classes)
    for row, query in enumerate(queries):
        expected = _loop_nearest(vectors, query, 10, within)
        assert found.places[row, : len(expected)].tolist() == expected
        assert (found.places[row, len(expected) :] == -1).all()
        cosines = found.cosines[row, : len(expected)]
        alike = vectors[expected] @ vectors[query]
        assert cosines == pytest.approx(alike, abs=1e-6)
        same = [classes[other] == classes[query] for other in expected]
        assert shares[row] == pytest.approx(np.mean(same))


@pytest.mark.usefixtures("_blocks")
def test_pairs_are_counted_by_class():
    vectors, classes, _ = _items(size=40)
    queries = np.array([0, 5, 39])
    found = cosine_counts(vectors, classes, queries)
    same, cross = [], []
    for query, other in itertools.product(queries, range(40)):
        if query != other:
            cosine = float(vectors[query] @ vectors[other])
            (same if classes[query] == classes[other] else cross).append(cosine)
    assert (found.same.sum(), found.cross.sum()) == (len(same), len(cross))
    assert found.means == pytest.approx(
        (np.mean(same), np.mean(cross)), abs=2 / NUM_BINS
    )
    wins = np.mean([(s > c) + 0.5 * (s == c) for s in same for c in cross])
    assert found.separation == pytest.approx(wins, abs=0.02)


def test_separation_is_half_by_chance_and_one_where_class_decides():
    rng = np.random.default_rng(1)
    vectors = unit_vectors(rng.normal(size=(300, 8)))
    classes = np.arange(300) % 3
    queries = np.arange(300)
    assert cosine_counts(vectors, classes, queries).separation == (
        pytest.approx(0.5, abs=0.01)
    )
    ideal = unit_vectors(np.eye(3)[classes] + 0.01)
    assert cosine_counts(ideal, classes, queries).separation == 1.0
    alone = cosine_counts(vectors, np.zeros(300), queries)
    assert np.isnan(alone.separation)


def test_chance_is_what_random_neighbours_reach():
    vectors, classes, kinds = _items(size=30)
    queries = np.arange(30)
    rng = np.random.default_rng(2)
    for within in (None, kinds):
        drawn = random_neighbours(queries, 30, 4000, rng, within)
        assert (drawn.places != queries[:, None]).all()
        expected = chance_precision(classes, queries, within)
        np.testing.assert_allclose(
            precision(drawn, classes), expected, atol=0.05
        )
        if within is not None:
            assert (within[drawn.places] == within[:, None]).all()
        # Every other item is drawn about as often.
        counts = np.bincount(drawn.places[0], minlength=30)
        others = counts[counts > 0]
        assert others.max() < 1.5 * others.min()
    assert nearest(vectors, queries, 99).places.shape == (30, 29)


def test_an_item_alone_in_its_kind_has_no_neighbours():
    vectors, classes, _ = _items(size=5)
    within = np.array([0, 1, 1, 2, 2])
    queries = np.arange(5)
    rng = np.random.default_rng(3)
    for found in (
        nearest(vectors, queries, 3, within),
        random_neighbours(queries, 5, 3, rng, within),
    ):
        assert (found.places[0] == -1).all()
        assert np.isnan(precision(found, classes)[0])
        assert np.isnan(neighbour_distance(found, np.ones((5, 2)))[0])
    assert np.isnan(chance_precision(classes, queries, within)[0])


def test_distances_equal_the_loop():
    vectors, _, _ = _items(size=20)
    style = np.random.default_rng(4).normal(size=(20, 3))
    found = nearest(vectors, np.array([2, 7]), 4)
    for row, query in enumerate((2, 7)):
        expected = np.mean(
            [
                np.sqrt(sum((style[p] - style[query]) ** 2))
                for p in found.places[row]
            ]
        )
        assert neighbour_distance(found, style)[row] == pytest.approx(expected)


def test_equals_come_in_order_and_zero_vectors_are_like_nothing():
    vectors = unit_vectors(
        np.array([[1.0, 0], [2, 0], [3, 0], [0, 0], [-1, 0]])
    )
    found = nearest(vectors, np.array([0]), 3)
    assert found.places.tolist() == [[1, 2, 3]]
    assert found.cosines.tolist() == [[1.0, 1.0, 0.0]]


def test_style_cells_halve_every_column():
    style = np.random.default_rng(5).normal(size=(800, 5))
    cells = style_cells(style)
    assert set(cells.tolist()) == set(range(8))
    assert np.bincount(cells).min() > 60
    for column in range(3):
        high = (cells >> column) & 1
        low_most = style[high == 0, column].max()
        assert low_most < style[high == 1, column].min()
