"""Tests of `ItemLists`."""

import numpy as np
import pytest

from jd_tf.pipeline.item_lists import ItemLists


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("count", [1, 4, 9, 30])
def test_the_best_are_those_of_a_sort(texts, shared, count):
    generator = np.random.default_rng(0)
    ids = np.stack([generator.permutation(9) + 1 for _ in range(6)])
    if texts:
        ids = np.array([[b"%d" % i for i in row] for row in ids], object)
    # Few different scores: many ties.
    score = generator.integers(0, 4, (6, 9)).astype(float)
    score[generator.random((6, 9)) < 0.3] = -np.inf
    score[1], score[2, 0] = -np.inf, np.nan
    given = ids[0] if shared else ids
    found = ItemLists.best(given, score, count)
    assert found.item_id.shape == found.score.shape == (6, min(count, 9))
    padding = b"" if texts else 0
    for row in range(6):
        mine = given if shared else given[row]
        ranked = sorted(
            (i for i in range(9) if score[row, i] > -np.inf),
            key=lambda i: -score[row, i],
        )[:count]
        number = len(ranked)
        assert found.length[row] == number
        assert found.item_id[row, :number].tolist() == mine[ranked].tolist()
        assert found.score[row, :number].tolist() == score[row, ranked].tolist()
        assert (found.item_id[row, number:] == padding).all()
        assert (found.score[row, number:] == -np.inf).all()
        assert found.present[row].sum() == number


@pytest.mark.parametrize("texts", [False, True])
def test_batches_are_joined_whatever_their_widths(texts):
    ids = np.array([b"a", b"b", b"c"], object) if texts else np.arange(1, 4)
    parts = [
        ItemLists.best(ids, np.array([[3.0, 2, 1], [1, 2, 3]]), 3),
        ItemLists.best(ids, np.array([[1.0, -np.inf, 2]]), 2),
    ]
    joined = ItemLists.joined(iter(parts))
    assert len(joined) == 3
    assert joined.length.tolist() == [3, 3, 2]
    assert joined.item_id[2].tolist() == [ids[2], ids[0], b"" if texts else 0]
    assert joined.score[2].tolist() == [2, 1, -np.inf]
    again = joined.some(slice(0, 2))
    np.testing.assert_array_equal(again.item_id, parts[0].item_id)
    assert joined.some([2, 0]).length.tolist() == [2, 3]
