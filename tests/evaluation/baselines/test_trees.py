"""Trees: features by loops, and no label that leaks into them."""

import numpy as np
import pytest

from jd_tf.evaluation.baselines import Trees, trees
from jd_tf.evaluation.baselines.features import history_features, match_events
from tests.evaluation.toy_shop import toy_batch, toy_schema


class _Recorder:
    """Stands in for the ensemble and keeps what it was given."""

    calls: list = []  # noqa: RUF012

    def __init__(self, **_):
        pass

    def fit(self, features, labels, weights):
        self.calls.append((features, labels, weights))
        return self

    def predict_proba(self, features):
        return np.zeros((len(features), 2))


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(trees, "HistGradientBoostingClassifier", _Recorder)
    _Recorder.calls = []
    return _Recorder.calls


@pytest.mark.parametrize("clock", [True, False])
def test_own_and_later_labels_never_reach_the_features(recorded, clock):
    batches = [toy_batch(seed, clock=clock) for seed in range(20)]
    Trees(toy_schema()).fit(batches)
    changed = [dict(batch) for batch in batches]
    for batch in changed[16:]:  # the last of four parts
        batch["labels"] = 1.0 - batch["labels"]
    Trees(toy_schema()).fit(changed)
    (before, labels, _), (after, flipped, _) = recorded[0], recorded[2]
    assert (labels != flipped).any()
    np.testing.assert_array_equal(before, after)
    for batch in changed[:2]:  # the first part is counted
        batch["labels"] = 1.0 - batch["labels"]
    Trees(toy_schema()).fit(changed)
    assert (recorded[4][0] != before).any()


def test_requests_are_ordered_by_time_not_by_place(recorded):
    batches = [toy_batch(seed) for seed in range(20)]
    Trees(toy_schema()).fit(batches)
    Trees(toy_schema()).fit(batches[::-1])
    rows = [
        sorted(map(tuple, np.nan_to_num(features, nan=-1.0)))
        for features, _, _ in (recorded[0], recorded[2])
    ]
    assert rows[0] == rows[1]


def test_impressions_are_capped_by_whole_requests(recorded):
    batches = [toy_batch(seed) for seed in range(20)]
    Trees(toy_schema(), max_impressions=1000).fit(batches)
    assert 850 < len(recorded[0][0]) < 1150


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
        for n in range(batch["num_candidates"][b]):
            found = dict(zip(names, features[b, n], strict=True))
            hits = [
                place
                for place in range(length)
                if batch["click_category_id"][b, place]
                == batch["category_id"][b, n]
            ]
            expected = {
                "click_length": length,
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
