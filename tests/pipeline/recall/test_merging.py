"""Tests of the merge against a loop over dicts."""

import numpy as np
import pytest

from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.recall.blend import tune_blend
from jd_tf.pipeline.recall.merging import Merge
from tests.pipeline.recall.small_interactions import ids_of

SIZE = 7


def random_lists(texts=False, seed=0, num_items=14):
    """Lists of three channels, of different widths and lengths."""
    generator = np.random.default_rng(seed)
    ids = ids_of(np.arange(num_items), texts)
    lists = {}
    for name, width in (("swing", 6), ("popular", 4), ("tower", 8)):
        score = generator.random((SIZE, num_items)) - 0.3
        score[generator.random(score.shape) < 0.3] = -np.inf
        score[0] = -np.inf  # A request for which nobody has anything.
        lists[name] = ItemLists.best(ids, score, width)
    return lists


def brought_by(merged, row, place):
    """Returns channel -> rank of an item of a merged list."""
    ranks = zip(merged.channels, merged.ranks[row, place], strict=True)
    return {name: rank for name, rank in ranks if rank}


def literal_merge(lists, row, count, weights, quotas, offset, by, out):
    """Returns [(item, {channel: rank})], best first."""
    brought, scores, kept, anyone = {}, {}, set(), set()
    for name, part in lists.items():
        number = part.length[row]
        values = part.score[row, :number]
        left = quotas.get(name, 0)
        for place, item in enumerate(part.item_id[row, :number].tolist()):
            if item in out:
                continue
            if by == "rank":
                value = 1 / (offset + place + 1)
            elif values[0] == values[-1]:
                value = 1.0
            else:
                value = (values[place] - values[-1]) / (values[0] - values[-1])
            value *= weights.get(name, 1.0)
            brought.setdefault(item, {})[name] = place + 1
            scores[item] = scores.get(item, 0) + value
            if left:
                kept.add(item)
                left -= 1
            if weights.get(name, 1.0):
                anyone.add(item)
    scores = {i: s for i, s in scores.items() if i in kept | anyone}
    order = sorted(scores, key=lambda i: (i not in kept, -scores[i], i))
    chosen = sorted(order[:count], key=lambda i: -scores[i])
    return [(item, brought[item], scores[item]) for item in chosen]


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("by", ["rank", "score"])
@pytest.mark.parametrize(
    ("weights", "quotas"),
    [
        ({}, {}),
        ({"swing": 0.3, "tower": 2.0}, {}),
        ({"popular": 0.0}, {"popular": 3, "swing": 1}),
    ],
)
def test_merge_equals_a_loop(texts, by, weights, quotas):
    lists = random_lists(texts)
    bought = np.stack([ids_of([1, 3], texts)] * SIZE)
    bought[1] = b"" if texts else 0
    blocked = ids_of([0, 77], texts)
    merge = Merge(weights, quotas, rank_offset=2.0, by=by)
    merged = merge(lists, 5, {"bought": bought, "blocked": blocked})
    assert merged.channels == ("swing", "popular", "tower")
    for row in range(SIZE):
        out = {*blocked.tolist(), *bought[row].tolist()}
        expected = literal_merge(lists, row, 5, weights, quotas, 2.0, by, out)
        length = merged.items.length[row]
        found = merged.items.item_id[row, :length].tolist()
        assert found == [item for item, _, _ in expected]
        np.testing.assert_allclose(
            merged.items.score[row, :length],
            [score for _, _, score in expected],
            rtol=1e-5,
        )
        for place, (_, sources, _) in enumerate(expected):
            assert brought_by(merged, row, place) == sources
        everything = {
            item
            for part in lists.values()
            for item in part.item_id[row, : part.length[row]].tolist()
        }
        mine = {*bought[row].tolist()} & everything
        assert merged.removed["bought"][row] == len(mine)
        others = {*blocked.tolist()} & everything - mine
        assert merged.removed["blocked"][row] == len(others)
        assert (merged.ranks[row, length:] == 0).all()


def test_a_quota_holds_places_against_better_scores():
    lists = {
        "strong": ItemLists.best(np.arange(1, 6), np.ones((1, 5)), 5),
        "weak": ItemLists.best(np.arange(11, 16), np.ones((1, 5)), 5),
    }
    blend = {"strong": 1.0, "weak": 0.01}
    plain = Merge(blend)(lists, 4).items.item_id
    assert plain.tolist() == [[1, 2, 3, 4]]
    kept = Merge(blend, {"weak": 2})(lists, 4)
    assert kept.items.item_id.tolist() == [[1, 2, 11, 12]]
    # What a filter takes does not use up the quota.
    left = Merge(blend, {"weak": 2})(lists, 4, {"sold out": np.array([11])})
    assert left.items.item_id.tolist() == [[1, 2, 12, 13]]
    assert brought_by(left, 0, 2) == {"weak": 2}


def test_empty_channels_are_no_trouble():
    nothing = ItemLists(
        np.zeros((2, 0), np.int64), np.zeros((2, 0)), np.zeros(2, np.int32)
    )
    some = ItemLists.best(np.array([4, 5]), np.array([[1, 2], [2, 1]]), 1)
    merged = Merge()({"tower": nothing, "popular": some}, 3)
    assert merged.items.item_id.tolist() == [[5], [4]]
    assert brought_by(merged, 0, 0) == {"popular": 1}
    merged = Merge()({"tower": nothing}, 3)
    assert merged.items.length.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"tower": -1.0}}, "`weights` must be >= 0"),
        ({"by": "mood"}, '"rank" or "score".*mood'),
        ({"rank_offset": -1.0}, "`rank_offset`"),
        ({"weights": {"nobody": 1.0}}, "no channel `nobody`.*swing"),
        ({"quotas": {"tower": 4, "swing": 2}}, "keep 6 places of 5"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Merge(**options)(random_lists(), 5)


def test_lists_of_different_requests_are_refused():
    lists = random_lists()
    lists["swing"] = lists["swing"].some(slice(0, 2))
    with pytest.raises(ValueError, match="swing 2 x int64, popular 7"):
        Merge()(lists, 5)
    with pytest.raises(ValueError, match="no lists"):
        Merge()({}, 5)


def test_tuning_finds_the_channel_that_knows():
    """One channel has the wanted item early, the others at random."""
    generator = np.random.default_rng(1)
    ids, size = np.arange(1, 201), 300
    wanted = generator.choice(ids, size)
    noise = generator.random((3, size, 200))
    noise[1, np.arange(size), wanted - 1] += 0.95
    lists = {
        name: ItemLists.best(ids, score, 60)
        for name, score in zip(("a", "knows", "b"), noise, strict=True)
    }
    merge = tune_blend(lists, wanted)
    weights = merge.weights
    assert weights["knows"] > 2 * max(weights["a"], weights["b"])

    def hits(items):
        return (items.item_id[:, :10] == wanted[:, None]).any(axis=1).mean()

    best = max(hits(part) for part in lists.values())
    assert hits(merge(lists, 60).items) >= best


def test_tuning_without_a_hit_weighs_all_the_same():
    merge = tune_blend(random_lists(), np.full(SIZE, 9999))
    assert dict(merge.weights) == {}
