"""Exports a ranker with calibration and fusion."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.validation import RequestValidator
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import SERVING_ROLES, Role
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client import RankingClient
from tests.models.test_score_head import bent
from tests.requests import random_requests
from tests.serving.export.test_signatures import assert_close, call, real
from tests.serving.exported import SCHEMA, export_in_process, small_ranker

NAMES = ("score", "probabilities", "fusion_weights")


@pytest.fixture(
    scope="module", params=[pytest.param(False, marks=pytest.mark.slow), True]
)
def model(request):
    plain = small_ranker()
    changes = {
        "fusion": "personalized",
        "calibrate": True,
        "use_representation": request.param,
    }
    config = replace_fields(plain.config, changes)
    model = JDRanker(SCHEMA, config)
    for weight, trained in zip(
        model.main_variables, _main_of(model, plain), strict=True
    ):
        if trained is not None:
            weight.assign(trained)
    generator = np.random.default_rng(7)
    for weight in model.fusion_variables:
        weight.assign(generator.normal(0, 0.3, weight.shape))
    return bent(model)


def _main_of(model, plain):
    """The plain ranker's weights in the other's order, None for curves."""
    trained = {v.path.split("/", 1)[1]: v for v in plain.variables}
    paths = [v.path.split("/", 1)[1] for v in model.main_variables]
    return [trained.get(path) for path in paths]


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    requests = random_requests(SCHEMA, 6, seed=1)
    output = tmp_path_factory.mktemp("models")
    return export_in_process(model, output, requests=requests)


@pytest.fixture(scope="module")
def batch():
    checker = RequestValidator(SCHEMA, SERVING_ROLES)
    checked = [checker.check(r) for r in random_requests(SCHEMA, 5, 9)]
    return pad_requests(checked, SCHEMA.columns(*SERVING_ROLES))


def test_signatures_are_the_live_model(folder, model, batch):
    loaded = tf.saved_model.load(str(folder))
    live = model(batch)
    served = call(loaded, "serving_default", batch)
    assert set(served) == set(NAMES)
    assert_close(live, served, real(batch))
    probabilities = served["probabilities"][real(batch)]
    assert (probabilities[..., 1:] <= probabilities[..., :1]).all()
    plain = tf.sigmoid(live["logits"]).numpy()[real(batch)]
    assert not np.allclose(probabilities, plain, atol=1e-2)
    state = call(loaded, "encode_user", batch)
    assert_close(model.encode_user(batch), state)
    ranked = call(loaded, "rank_candidates", {**batch, **state})
    assert set(ranked) == set(NAMES)
    assert_close(live, ranked, real(batch))
    explained = call(loaded, "explain", batch)
    assert_close(model.explain(batch), explained)
    assert "fusion_weights" in explained


def test_a_state_serves_later_pages(folder, batch):
    loaded = tf.saved_model.load(str(folder))
    state = call(loaded, "encode_user", batch)
    assert state["user_state_click_newest_time"].dtype == np.int64
    scores = []
    for passed in (0, 3600, 604_800):
        later = {**batch, "request_time": batch["request_time"] + passed}
        ranked = call(loaded, "rank_candidates", {**later, **state})
        fresh = call(loaded, "serving_default", later)
        for name in NAMES:
            np.testing.assert_allclose(
                ranked[name], fresh[name], rtol=1e-6, atol=1e-6
            )
        scores.append(ranked["score"])
    assert np.abs(scores[2] - scores[0]).max() > 1e-3


def test_every_ranking_comes_with_its_weights(folder, model):
    requests = random_requests(SCHEMA, 3, seed=4)
    longest = max(requests, key=lambda r: len(r["item_id"]))
    # More candidates than the schema allows: ranked in slices.
    many = dict(longest)
    for column in SCHEMA.columns(Role.CANDIDATE):
        if column.ragged:
            many[column.name] = np.concatenate([longest[column.name]] * 4)
    with RankingClient.from_saved_model(folder) as client:
        # The first calls of a graph are slow on a busy machine.
        alone, sliced = (client.rank(r, timeout=60.0) for r in (longest, many))
    assert alone.fusion_weights.shape == (3,)
    np.testing.assert_allclose(
        sliced.fusion_weights, alone.fusion_weights, rtol=1e-4
    )
    weights = alone.to_json()["fusion_weights"]
    assert list(weights) == list(SCHEMA.objective_names)
    parts = np.log(alone.probabilities) @ alone.fusion_weights
    np.testing.assert_allclose(alone.scores, parts, rtol=1e-3, atol=1e-4)
