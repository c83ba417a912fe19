"""Baselines: invariants of all, and each one's own rule by hand."""

import numpy as np
import pytest

from jd_tf.data.batches import read_batches
from jd_tf.data.dataset import write_dataset
from jd_tf.evaluation.baselines import (
    BASELINES,
    LastCategory,
    Popularity,
    UserMean,
)
from jd_tf.evaluation.baselines.rates import IdSums
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.schema import SERVING_ROLES
from tests.evaluation.toy_shop import toy_batch, toy_schema
from tests.requests import random_requests, small_schema

SMALL = {
    "trees": {"max_iter": 30},
    "lightgbm": {"max_iter": 60},
    "lambdarank": {"max_iter": 30},
}


@pytest.fixture(scope="module")
def fitted():
    train = [toy_batch(seed) for seed in range(30)]
    return {
        name: kind(toy_schema(), **SMALL.get(name, {})).fit(train)
        for name, kind in BASELINES.items()
    }


@pytest.fixture(scope="module")
def metrics(fitted):
    test = [toy_batch(seed) for seed in range(50, 60)]
    scorers = {name: baseline.score for name, baseline in fitted.items()}
    predictions = collect_predictions(test, toy_schema(), scorers)
    return predictions.evaluate(num_replicates=50, reference="trees")


def _parts(output):
    parts = [a.reshape(*a.shape[:2], -1) for a in output.values()]
    return np.concatenate(parts, axis=2)


@pytest.mark.parametrize("name", sorted({*BASELINES} - {"user_mean"}))
def test_knowledge_beats_chance(metrics, name):
    assert metrics[name]["click"]["auc_interval"][0] > 0.55
    assert metrics[name]["value"]["ndcg@10"] > 0.5


def test_trees_know_more_than_the_others(metrics):
    for name in ("popularity", "last_category"):
        lead = metrics["trees"]["click"]["lead"][name]["auc"]
        assert lead["interval"][0] > 0


@pytest.mark.parametrize("name", ["popularity", "trees"])
def test_probabilities_are_calibrated(metrics, name):
    assert 0.8 < metrics[name]["click"]["calibration_ratio"] < 1.25
    assert metrics[name]["click"]["normalized_entropy"] < 1.0


@pytest.mark.parametrize("name", BASELINES)
def test_padding_and_order_of_candidates_change_nothing(fitted, name):
    batch = toy_batch(99, size=40)
    served = {
        c.name: batch[c.name] for c in toy_schema().columns(*SERVING_ROLES)
    }
    served["user_id"] = batch["user_id"]
    before = _parts(fitted[name].score(served))
    wide = dict(served)
    for column in toy_schema().columns(*SERVING_ROLES):
        if column.ragged:
            array = served[column.name]
            spare = np.repeat(array[:, -1:], 2, axis=1)
            wide[column.name] = np.concatenate([array, spare], axis=1)
    after = _parts(fitted[name].score(wide))
    real = np.arange(6) < batch["num_candidates"][:, None]
    np.testing.assert_allclose(before[real], after[:, :6][real], rtol=1e-6)

    flipped = dict(served)
    full = batch["num_candidates"] == 6
    for column in toy_schema().columns(*SERVING_ROLES):
        if column.axes.startswith("BN"):
            flipped[column.name] = served[column.name][:, ::-1]
    after = _parts(fitted[name].score(flipped))
    np.testing.assert_allclose(before[full], after[full][:, ::-1], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_every_kind_of_column_passes_through_files(tmp_path, name):
    schema = small_schema()
    requests = random_requests(schema, 60)
    write_dataset(tmp_path / "data", schema, {"train": requests})
    batches = read_batches(tmp_path / "data", "train", 16, keys=True)
    baseline = BASELINES[name](schema, **SMALL.get(name, {})).fit(batches)
    found = collect_predictions(
        batches, schema, {name: baseline.score}, max_requests=60
    )
    assert len(found.labels) == len(found.user_ids) == 60
    metrics = found.evaluate(num_replicates=5, reference=name)
    assert metrics[name]["click"]["num_impressions"] == sum(
        len(request["item_id"]) for request in requests
    )


def test_popularity_by_hand():
    batch = toy_batch(0, size=50)
    found = Popularity(toy_schema(), strength=4.0).fit([batch]).score(batch)
    real = batch["label_weights"][..., 0] > 0
    items, categories = (
        batch[name][real] for name in ("item_id", "category_id")
    )
    labels = batch["labels"][real]
    mean = labels.mean(axis=0)
    for i in range(0, len(items), 17):
        category = labels[categories == categories[i]]
        above = (category.sum(0) + 4 * mean) / (len(category) + 4)
        own = labels[items == items[i]]
        expected = (own.sum(0) + 4 * above) / (len(own) + 4)
        np.testing.assert_allclose(
            found["probabilities"][real][i], expected, rtol=1e-5
        )


def test_popularity_of_the_unknown_is_the_mean():
    batch = toy_batch(0, size=50)
    fitted = Popularity(toy_schema()).fit([batch])
    ids = {"item_id": np.array([[10**6]]), "category_id": np.array([[99]])}
    real = batch["label_weights"][..., 0] > 0
    np.testing.assert_allclose(
        fitted.score(ids)["probabilities"][0, 0],
        batch["labels"][real].mean(axis=0),
        rtol=1e-5,
    )


def test_user_mean_by_hand():
    batch = toy_batch(0, size=50)
    found = UserMean(toy_schema(), strength=4.0).fit([batch]).score(batch)
    labels, weights = batch["labels"], batch["label_weights"]
    mean = labels.sum((0, 1)) / weights.sum((0, 1))
    for b in range(50):
        mine = batch["user_id"] == batch["user_id"][b]
        happened, shown = labels[mine].sum((0, 1)), weights[mine].sum((0, 1))
        expected = (happened + 4 * mean) / (shown + 4)
        for n in range(batch["num_candidates"][b]):
            np.testing.assert_allclose(
                found["probabilities"][b, n], expected, rtol=1e-5
            )
    del batch["user_id"]
    with pytest.raises(ValueError, match="with keys"):
        UserMean(toy_schema()).fit([batch])


def test_last_category_by_hand():
    batch = toy_batch(3, size=30)
    found = LastCategory(toy_schema()).fit([]).score(batch)["score"]
    for b in range(30):
        for n in range(batch["num_candidates"][b]):
            expected = 0.0
            for name in ("click", "order"):
                for place in range(batch[f"{name}_length"][b]):
                    for column in ("item_id", "category_id", "shop_id"):
                        event = batch[f"{name}_{column}"][b, place]
                        same = event == batch[column][b, n]
                        expected += same / (place + 1)
            assert found[b, n] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", sorted({*BASELINES} - {"last_category"}))
def test_scoring_before_learning_is_refused(name):
    with pytest.raises(ValueError, match="before scoring"):
        BASELINES[name](toy_schema()).score(toy_batch(0))


def test_scorers_see_serving_columns_only():
    seen = []

    def score(batch):
        seen.append(set(batch))
        return {"score": np.zeros(batch["item_id"].shape)}

    batch = toy_batch(0)
    batch["oracle_relevance"] = np.random.default_rng(0).random((100, 6, 2))
    found = collect_predictions([batch], toy_schema(), {"zero": score})
    assert seen[0].isdisjoint({"labels", "label_weights"})
    assert seen[0] >= {"request_id", "user_id"}
    assert not any(name.startswith("oracle") for name in seen[0])
    assert set(found.systems) == {"zero", "oracle"}
    assert set(found.systems["oracle"]) == {"objective_scores"}


def test_collecting_stops_at_the_wanted_number():
    batches = [toy_batch(seed) for seed in range(3)]
    score = Popularity(toy_schema()).fit(batches).score
    found, whole = (
        collect_predictions(batches, toy_schema(), {"popularity": score}, most)
        for most in (150, 0)
    )
    assert len(whole.labels) == 300
    np.testing.assert_array_equal(found.labels, whole.labels[:150])
    for name in ("user_ids", "request_ids", "item_ids"):
        some, all_of_them = getattr(found, name), getattr(whole, name)
        np.testing.assert_array_equal(some, all_of_them[:150])
    with pytest.raises(ValueError, match="no batches"):
        collect_predictions([], toy_schema(), {})


def test_id_sums_equal_a_dict():
    rng = np.random.default_rng(0)
    sums, expected = IdSums(2), {}
    for _ in range(50):
        ids = rng.zipf(1.3, 5000) % 40_000
        rows = rng.random((5000, 2))
        sums.add(ids, rows)
        for i, row in zip(ids.tolist(), rows, strict=True):
            expected[i] = expected.get(i, 0.0) + row
    known = np.array(list(expected))
    np.testing.assert_allclose(sums.find(known), list(expected.values()))
    assert not sums.find(np.array([-5, 10**9])).any()
    largest = sorted(expected, key=lambda i: -expected[i][0])[:7]
    assert sums.top(7).tolist() == sorted(largest)
