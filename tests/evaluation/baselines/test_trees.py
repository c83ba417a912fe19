"""Trees: features by loops, and no label that leaks into them."""

import numpy as np
import pytest

from jd_tf.data import make_item_pairs
from jd_tf.data.batches import numpy_batches
from jd_tf.data.item_pairs.pair_features import pair_features
from jd_tf.evaluation.baselines import ImpressionFeatures, Trees
from jd_tf.evaluation.baselines.features import history_features, match_events
from jd_tf.evaluation.collect import to_numpy
from jd_tf.metrics.cells import real_cells
from tests.data.item_pairs.pair_logs import SCHEMA, random_log, write_log
from tests.evaluation.toy_shop import toy_batch, toy_schema


def learned(batches, **options):
    rows = ImpressionFeatures(toy_schema(), **options).fit(batches)
    return rows.features, rows.labels


@pytest.mark.parametrize("clock", [True, False])
@pytest.mark.parametrize("part", [0, 4, 9])
def test_own_and_later_labels_never_reach_the_features(clock, part):
    batches = [toy_batch(seed, clock=clock) for seed in range(20)]
    if not clock:  # whose users decide the order
        for seed, batch in enumerate(batches):
            batch["user_id"] = np.array(
                [f"{seed}-{i // 2}" for i in range(100)]
            )
    before, labels = learned(batches)
    changed = [dict(batch) for batch in batches]
    for batch in changed[2 * part :]:
        batch["labels"] = 1.0 - batch["labels"]
    after, flipped = learned(changed)
    assert (labels != flipped).any()
    ends = np.cumsum([b["num_candidates"].sum() for b in batches])
    # Rows of the part itself and of those before it are as they were.
    same = ends[2 * part + 1]
    np.testing.assert_array_equal(before[:same], after[:same])
    if part < 9:
        assert (before[same:] != after[same:]).any()


def test_rates_are_those_of_all_parts_before():
    batches = [toy_batch(seed) for seed in range(20)]
    features, _ = learned(batches)
    start = sum(b["num_candidates"].sum() for b in batches[:12])
    earlier, batch = batches[:12], batches[12]
    clicks = np.concatenate([b["labels"][..., 0].ravel() for b in earlier])
    shown = np.concatenate(
        [b["label_weights"][..., 0].ravel() for b in earlier]
    )
    ids = {
        name: np.concatenate([b[name].ravel() for b in earlier])
        for name in ("category_id", "item_id")
    }
    above = clicks.sum() / shown.sum()
    for name, place in (("category_id", 0), ("item_id", 3)):
        mine = ids[name] == batch[name][0, 0]
        above = (clicks[mine].sum() + 20 * above) / (shown[mine].sum() + 20)
        # Levels have two rates and a count; the shop is alone, and last.
        found = features[start, -9 + place]
        np.testing.assert_allclose(found, above, rtol=1e-5)
        np.testing.assert_allclose(
            features[start, -9 + place + 2], np.log1p(shown[mine].sum())
        )
    assert np.isnan(features[0, -9:]).all()


def test_requests_are_ordered_by_time_not_by_place():
    batches = [toy_batch(seed) for seed in range(20)]
    rows = [
        sorted(map(tuple, np.nan_to_num(learned(found)[0], nan=-1.0)))
        for found in (batches, batches[::-1])
    ]
    assert rows[0] == rows[1]


def test_without_a_clock_a_user_is_in_one_part():
    batches = [toy_batch(seed, clock=False) for seed in range(10)]
    for batch in batches:  # as files do that hold every tenth request
        batch["user_id"] = np.array([f"{i:03}" for i in range(100)])
    features, _ = learned(batches)
    users = np.concatenate(
        [np.repeat(np.arange(100), b["num_candidates"]) for b in batches]
    )
    # Nothing is known yet of the first part: the first ten users.
    np.testing.assert_array_equal(np.isnan(features[:, -1]), users < 10)


def test_all_impressions_are_learned_from_unless_capped():
    batches = [toy_batch(seed) for seed in range(20)]
    total = sum(batch["num_candidates"].sum() for batch in batches)
    for most, low, high in ((0, total, total), (1000, 850, 1150)):
        features = ImpressionFeatures(toy_schema(), max_impressions=most)
        rows = features.fit(batches)
        assert low <= len(rows.features) <= high
        assert rows.sizes.sum() == len(rows.labels) == features.num_learned
        assert features.num_impressions == total
    with pytest.raises(ValueError, match="must not be negative"):
        ImpressionFeatures(toy_schema(), max_impressions=-1)


def test_pairs_are_those_of_the_part_of_a_request(tmp_path):
    data = write_log(tmp_path / "data", {"train": random_log(12, 5, 30)})
    pairs = make_item_pairs(data, progress=False)
    batches = list(numpy_batches(data, "train", 16, schema=SCHEMA, keys=True))
    plain, paired = (
        ImpressionFeatures(SCHEMA, pairs=found) for found in (None, pairs)
    )
    rows = [one.fit(batches).features for one in (plain, paired)]
    later = [one.transform(batches[0]) for one in (plain, paired)]
    width, first = rows[0].shape[1] - 6, len(later[0])  # rates come last
    marked = to_numpy(pairs.parts.mark(batches[0], SCHEMA))
    for batch, (one, other) in ((marked, rows), (batches[0], later)):
        real = real_cells(batch["num_candidates"], batch["item_id"].shape[1])
        expected = pair_features(batch, pairs, SCHEMA)[real]
        found = other[:first, width:-6]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        np.testing.assert_array_equal(
            np.delete(other, np.s_[width:-6], axis=1), one
        )
    assert (rows[1][:first] != later[1]).any()


def test_features_of_the_same_batches_are_made_once():
    batches = [toy_batch(seed) for seed in range(4)]
    features = ImpressionFeatures(toy_schema())
    rows = features.fit(batches)
    assert features.fit(batches) is rows
    features.forget()
    again = features.fit(batches)
    assert again is not rows
    np.testing.assert_array_equal(again.features, rows.features)
    later = features.rows(batches[:2])
    batch = batches[0]
    np.testing.assert_array_equal(
        later.features[: batch["num_candidates"].sum()],
        features.transform(batch),
    )


def test_too_little_to_learn_gives_the_mean():
    batch = toy_batch(0, size=8)
    fitted = Trees(toy_schema()).fit([batch])
    real = batch["label_weights"][..., 0] > 0
    found = fitted.score(batch)["probabilities"][real]
    expected = np.tile(batch["labels"][real].mean(axis=0), (len(found), 1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_column_without_values_is_passed_over():
    batches = [toy_batch(seed) for seed in range(20)]
    for batch in batches:  # no event ever has the candidate's shop
        batch["click_shop_id"] = np.full_like(batch["click_shop_id"], b"x")
    fitted = Trees(toy_schema(), max_iter=5).fit(batches)
    found = fitted.score(batches[0])["probabilities"]
    assert 0 < found[batches[0]["label_weights"] > 0].std() < 1
    assert np.isfinite(fitted.score(toy_batch(0))["probabilities"]).all()


def test_batches_that_change_between_passes_are_refused():
    passes = iter([[toy_batch(0)], [toy_batch(1)], []])

    class Changing:
        def __iter__(self):
            return iter(next(passes))

    with pytest.raises(ValueError, match="between two passes"):
        Trees(toy_schema()).fit(Changing())
    with pytest.raises(ValueError, match="no batches"):
        Trees(toy_schema()).fit(Changing())


def test_history_features_equal_loops():
    batch = toy_batch(4, size=25)
    features, names = history_features(batch, toy_schema())
    assert features.shape == (25, 6, len(names))
    assert len(set(names)) == len(names)
    log = np.log1p
    for b in range(25):
        length = batch["click_length"][b]
        age = batch["request_time"][b] - batch["click_event_time"][b]
        dwell = log(batch["click_dwell_seconds"][b, :length])
        reads = log(batch["click_action_counts"][b, :length, 0])
        past = batch["click_item_dense"][b, :length, 0]
        for n in range(batch["num_candidates"][b]):
            price = batch["item_dense"][b, n, 0]
            found = dict(zip(names, features[b, n], strict=True))
            hits = [
                place
                for place in range(length)
                if batch["click_category_id"][b, place]
                == batch["category_id"][b, n]
            ]
            expected = {
                "click_length": length,
                "click_price_gap": price - past.mean() if length else np.nan,
                "click_newest_age": log(age[0]) if length else np.nan,
                "click_oldest_age": log(age[length - 1]) if length else np.nan,
                "click_mean_dwell": dwell.mean() if length else np.nan,
                "click_mean_reads": reads.mean() if length else np.nan,
                "click_category_id_matches": len(hits),
                "click_category_id_recent_matches": sum(
                    1 / (place + 1) for place in hits
                ),
                "click_category_id_dwell": dwell[hits].sum() if hits else 0,
                "click_category_id_reads": reads[hits].sum() if hits else 0,
                "click_category_id_place": hits[0] if hits else np.nan,
                "click_category_id_age": log(age[hits[0]]) if hits else np.nan,
            }
            for name, value in expected.items():
                assert found[name] == pytest.approx(
                    value, rel=1e-5, nan_ok=True
                ), name


def test_padding_and_empty_ids_match_nothing():
    batch = {
        "item_id": np.array([[7, 0]]),
        "click_item_id": np.array([[7, 0, 7]]),
        "click_length": np.array([2]),
        "shop_id": np.array([[b"s", b""]], object),
        "click_shop_id": np.array([[b"", b"s", b"s"]], object),
    }
    click = toy_schema().behaviors[0]
    found = match_events(batch, click, "item_id")
    np.testing.assert_array_equal(found, [[[1, 0, 0], [0, 0, 0]]])
    for dtype in (object, "S"):
        batch["shop_id"] = batch["shop_id"].astype(dtype)
        batch["click_shop_id"] = batch["click_shop_id"].astype(dtype)
        found = match_events(batch, click, "shop_id")
        np.testing.assert_array_equal(found, [[[0, 1, 0], [0, 0, 0]]])


def test_events_count_by_the_share_of_the_candidates_values():
    batch = {
        "tag_id": np.array([[[7, 8, 0], [9, 7, 5], [0, 0, 0]]]),
        "click_tag_id": np.array([[[8, 7], [5, 0], [0, 0], [7, 8]]]),
        "click_length": np.array([3]),
    }
    click = toy_schema().behaviors[0]
    expected = [[[1, 0, 0, 0], [1 / 3, 1 / 3, 0, 0], [0, 0, 0, 0]]]
    found = match_events(batch, click, "tag_id")
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for name in ("tag_id", "click_tag_id"):
        words = np.array(["", *"abcdefghi"], object)[batch[name]]
        batch[name] = words
    np.testing.assert_array_equal(found, match_events(batch, click, "tag_id"))


def test_empty_axes_are_fine():
    batch = toy_batch(5, size=10)
    for name in ("click", "order"):
        batch[f"{name}_length"][:] = 0
        for column, array in batch.items():
            if column.startswith(f"{name}_") and array.ndim > 1:
                batch[column] = array[:, :0]
    features, names = history_features(batch, toy_schema())
    found = dict(zip(names, features[0, 0], strict=True))
    assert found["click_item_id_matches"] == 0
    assert np.isnan(found["click_item_id_place"])
    Trees(toy_schema()).fit([batch]).score(batch)
