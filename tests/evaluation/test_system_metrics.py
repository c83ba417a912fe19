"""The metrics structure: masks, sample spaces, systems, gap to oracle."""

import json
import types

import numpy as np
import pytest

from jd_tf.evaluation.metrics_file import (
    model_name,
    read_metrics,
    write_metrics,
)
from jd_tf.evaluation.system_metrics import evaluate_predictions
from jd_tf.metrics import ranking_metrics as metrics
from jd_tf.metrics.business_value import expected_value
from jd_tf.schema import DataError, Objective
from tests.metrics import references

OBJECTIVES = (
    Objective("click", value=1.0),
    Objective("order", value=10.0, given="click"),
    Objective("review", value=2.0, sample_space="order"),
)


def _predictions(num_requests=80, width=6, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random((num_requests, width, 3)).astype(np.float32)
    truth *= [0.5, 0.2, 0.6]
    labels = (rng.random(truth.shape) < truth).astype(np.float32)
    weights = np.ones_like(labels)
    weights[..., 2] = labels[..., 1]
    noise = rng.random(truth.shape).astype(np.float32)
    systems = {
        "jd_ranker": {"probabilities": 0.8 * truth + 0.2 * noise * truth},
        "popularity": {"score": noise[..., 0]},
        "oracle": {"objective_scores": truth, "score": None},
    }
    lengths = rng.integers(1, width + 1, num_requests)
    return labels, weights, lengths, systems, np.arange(num_requests) // 2


@pytest.fixture(scope="module")
def given():
    return _predictions()


@pytest.fixture(scope="module")
def found(given):
    labels, weights, lengths, systems, users = given
    return evaluate_predictions(
        labels, weights, lengths, systems, OBJECTIVES, users, num_replicates=50
    )


def _flat(given, t, scores):
    labels, weights, lengths, _, _ = given
    rows = [
        (r, n)
        for r in range(len(labels))
        for n in range(lengths[r])
        if weights[r, n, t] > 0
    ]
    where = tuple(np.array(rows).T)
    return scores[where], labels[..., t][where], where[0]


@pytest.mark.parametrize("t", [0, 1, 2])
def test_numbers_equal_the_loops(given, found, t):
    name = OBJECTIVES[t].name
    scores = given[3]["jd_ranker"]["probabilities"][..., t]
    scores, labels, request = _flat(given, t, scores)
    entry = found["jd_ranker"][name]
    assert entry["auc"] == pytest.approx(references.auc(scores, labels))
    assert entry["gauc"] == pytest.approx(
        references.gauc(scores, labels, request)
    )
    assert entry["gauc_user"] == pytest.approx(
        references.gauc(scores, labels, request // 2)
    )
    assert entry["num_impressions"] == len(labels)
    assert entry["num_positives"] == labels.sum()
    assert entry["gauc_requests"] + entry["gauc_requests_left_out"] == 80
    ratio = scores.mean() / labels.mean()
    assert entry["calibration_ratio"] == pytest.approx(ratio, rel=1e-5)
    assert entry["log_loss"] == pytest.approx(
        references.log_loss(scores, labels, np.ones(len(scores)))
    )
    low, high = entry["auc_interval"]
    assert low < entry["auc"] < high


def test_value_is_judged_on_the_business_value_of_labels(given, found):
    labels, weights, lengths, systems, _ = given
    business = (labels * weights) @ [1.0, 10.0, 2.0]
    score = expected_value(systems["jd_ranker"]["probabilities"], OBJECTIVES)
    values, captured, total = [], 0.0, 0.0
    for r, length in enumerate(lengths):
        own, gains = score[r, :length], business[r, :length]
        captured += gains[np.argmax(own)]
        total += gains.sum()
        if gains.any():
            values.append(metrics.ndcg(own, gains, k=10))
    entry = found["jd_ranker"]["value"]
    assert entry["ndcg@10"] == pytest.approx(np.mean(values))
    assert entry["captured_value@1"] == pytest.approx(captured / total)
    assert entry["total_value"] == pytest.approx(total)


def test_expected_value_multiplies_sample_spaces():
    probabilities = np.array([0.5, 0.2, 0.3])
    expected = 0.5 * 1 + 0.2 * 10 + 0.2 * 0.3 * 2
    assert expected_value(probabilities, OBJECTIVES) == pytest.approx(expected)


def test_next_item_metrics_need_one_positive_each(given, found):
    labels, weights, lengths, systems, users = given
    names = {"hr@1", "hr@5", "ndcg@5", "hr@10", "mrr"}
    assert not names & set(found["jd_ranker"]["click"])
    labels, weights = np.zeros_like(labels), np.ones_like(weights)
    rng = np.random.default_rng(1)
    labels[np.arange(80), rng.integers(0, lengths)] = 1.0
    labels[6, :, 2] = 0.0
    one = evaluate_predictions(
        labels, weights, lengths, systems, OBJECTIVES, users, num_replicates=50
    )
    entry = one["jd_ranker"]["click"]
    assert names <= set(entry)
    assert not names & set(one["jd_ranker"]["review"])
    scores = systems["jd_ranker"]["probabilities"][..., 0]
    ranks = []
    for r, length in enumerate(lengths):
        own = scores[r, :length]
        mine = own[labels[r, :length, 0] == 1]
        ranks.append(1 + int(np.sum(own > mine)))
    ranks = np.array(ranks)
    assert entry["hr@1"] == pytest.approx(np.mean(ranks == 1))
    assert entry["hr@5"] == pytest.approx(np.mean(ranks <= 5))
    assert entry["mrr"] == pytest.approx(np.mean(1 / ranks))
    gains = np.where(ranks <= 5, 1 / np.log2(1 + ranks), 0.0)
    assert entry["ndcg@5"] == pytest.approx(gains.mean())
    for name in names - {"hr@10"}:  # no request has more than ten
        low, high = entry[f"{name}_interval"]
        assert low < entry[name] < high
        assert name in entry["lead"]["popularity"]


def test_padding_is_never_counted(given, found):
    labels, weights, lengths, systems, users = given
    padding = np.arange(labels.shape[1]) >= lengths[:, None]
    wide = [(0, 0), (0, 3), (0, 0)]

    def spoil(array, value):
        array = array.copy()
        array[padding] = value
        return np.pad(array, wide[: array.ndim], constant_values=value)

    spoiled = {
        name: {
            key: None if value is None else spoil(value, np.nan)
            for key, value in outputs.items()
        }
        for name, outputs in systems.items()
    }
    again = evaluate_predictions(
        spoil(labels, np.nan),
        spoil(weights, np.inf),
        lengths,
        spoiled,
        OBJECTIVES,
        users,
        num_replicates=50,
    )
    assert again == found


def test_candidates_and_requests_may_be_permuted(given):
    labels, _, _, systems, users = given
    rng = np.random.default_rng(1)
    weights, full = np.ones_like(labels), np.full(80, 6)

    def judge(columns, requests):
        def move(array):
            return None if array is None else array[requests][:, columns]

        moved = {
            name: {key: move(value) for key, value in outputs.items()}
            for name, outputs in systems.items()
        }
        return evaluate_predictions(
            move(labels),
            move(weights),
            full,
            moved,
            OBJECTIVES,
            users[requests],
            num_replicates=0,
        )

    straight = judge(np.arange(6), np.arange(80))
    mixed = judge(rng.permutation(6), rng.permutation(80))
    for system in systems:
        for objective in ("click", "order", "value"):
            for name in ("auc", "gauc", "gauc_user", "ndcg@10", "log_loss"):
                one = straight[system][objective].get(name)
                assert mixed[system][objective].get(name) == pytest.approx(one)


def test_systems_without_probabilities_are_not_judged_on_them(found):
    for system in ("popularity", "oracle"):
        for name in ("log_loss", "calibration_error", "reliability"):
            assert found[system]["click"][name] is None
    assert found["popularity"]["click"]["auc"] is not None


def test_lead_and_gap_from_popularity_to_oracle(found):
    ranker, floor, ceiling = (
        found[s]["click"]["auc"] for s in ("jd_ranker", "popularity", "oracle")
    )
    entry = found["jd_ranker"]["click"]
    lead = entry["lead"]["popularity"]["auc"]
    assert lead["difference"] == pytest.approx(ranker - floor)
    assert lead["interval"][0] < lead["difference"] < lead["interval"][1]
    gap = entry["popularity_to_oracle"]["auc"]
    share = (ranker - floor) / (ceiling - floor)
    assert gap["share"] == pytest.approx(share)
    assert "lead" not in found["popularity"]["click"]
    assert set(entry["lead"]) == {"popularity", "oracle"}


def test_pairing_narrows_the_lead(given):
    labels, weights, lengths, systems, users = given
    twin = systems["jd_ranker"]["probabilities"] * 0.5
    twins = {**systems, "twin": {"probabilities": twin}}
    found = evaluate_predictions(
        labels, weights, lengths, twins, OBJECTIVES, users, num_replicates=20
    )
    lead = found["jd_ranker"]["order"]["lead"]["twin"]["auc"]
    assert lead == {"difference": 0.0, "interval": [0.0, 0.0]}


def test_one_class_is_none_in_json(given, tmp_path):
    labels, weights, lengths, systems, users = given
    labels = labels.copy()
    labels[..., 1] = 0.0
    found = evaluate_predictions(
        labels, weights, lengths, systems, OBJECTIVES, users, num_replicates=9
    )
    for system in systems:
        entry = found[system]["order"]
        assert entry["auc"] is entry["gauc"] is entry["ndcg@10"] is None
        assert entry["auc_interval"] == [None, None]
    write_metrics(tmp_path / "metrics.json", {"test": found})
    assert read_metrics(tmp_path / "metrics.json") == {"test": found}
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["test"]["oracle"]["order"]["auc"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_broken_metrics_file_is_named(tmp_path):
    path = tmp_path / "metrics.json"
    with pytest.raises(DataError, match="no such file"):
        read_metrics(path)
    path.write_text('{"test": ')
    with pytest.raises(DataError, match=r"metrics.json: not JSON"):
        read_metrics(path)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "`bad` must give one of"),
        ({"logits": np.zeros((80, 6))}, r"`bad`: outputs .* Got: \['logits'\]"),
        ({"score": np.zeros((80, 5))}, r"`score` must be \(80, 6\)"),
        ({"score": np.full((80, 6), np.nan)}, "`bad`: .* not finite"),
    ],
)
def test_bad_systems_are_named(given, outputs, message):
    labels, weights, lengths, _, _ = given
    with pytest.raises(ValueError, match=message):
        evaluate_predictions(
            labels, weights, lengths, {"bad": outputs}, OBJECTIVES
        )


def test_the_ranker_is_named_as_its_model_is_registered():
    registered = types.SimpleNamespace(registered_name="pooled_mmoe")
    assert model_name(registered) == "pooled_mmoe"
    assert model_name(object()) == "jd_ranker"
