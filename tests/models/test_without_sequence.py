"""JDRanker without its sequence part: what goes, what stays."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker
from tests.block_cases import BLOCK_CASES, WIDTH
from tests.models.test_jd_ranker import CONFIG, SCHEMA, batch_of, moved, real
from tests.requests import random_requests, small_schema

WITHOUT = replace_fields(CONFIG, {"use_sequence": False})
GONE = ("/encoder", "interest_crossing", "second_order_gain", "/decoder")


@pytest.fixture(scope="module")
def batch():
    return batch_of(random_requests(SCHEMA, 6))


def test_no_variable_of_it_is_left():
    whole, rest = (
        {
            weight.path.partition("/")[2]
            for weight in JDRanker(SCHEMA, c).weights
        }
        for c in (CONFIG, WITHOUT)
    )
    gone = whole - rest
    assert rest < whole
    assert all(any(part in f"/{path}" for part in GONE) for path in gone)
    assert not any(any(part in f"/{path}" for part in GONE) for path in rest)
    assert any("event_weights" in path for path in rest)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_overlap": False},
        {"use_recency": False, "use_position": False},
        {"fusion": "personalized", "use_titles": True},
    ],
    ids=lambda changes: next(iter(changes), "plain"),
)
def test_ranks_explains_and_learns(batch, changes, tmp_path):
    model = moved(JDRanker(SCHEMA, replace_fields(WITHOUT, changes)))
    whole = model(batch)
    halves = model.rank(model.encode_user(batch), batch, batch)
    mask = real(batch)
    for name in ("logits", "score"):
        assert np.isfinite(whole[name].numpy()[mask]).all()
        np.testing.assert_allclose(whole[name], halves[name], rtol=1e-5)
    fused = {"fusion_weights"} if model.fusion is not None else set()
    assert set(model.explain(batch)) == {"gate_weights"} | fused
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cos(model(batch, training=True)["logits"]))
    fusion = {id(variable) for variable in model.fusion_variables}
    learning = [v for v in model.trainable_variables if id(v) not in fusion]
    gradients = tape.gradient(loss, learning)
    for variable, gradient in zip(learning, gradients, strict=True):
        assert gradient is not None, variable.path
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(batch)["score"], whole["score"])


def test_experts_may_know_nothing_of_the_user():
    schema = small_schema(context_columns=(), session_dense=())
    config = replace_fields(WITHOUT, {"use_recency": False})
    batch = batch_of(random_requests(schema, 3), schema)
    model = JDRanker(schema, config)
    assert model.experts.user_half.kernel.shape[0] == 0
    assert np.isfinite(model(batch)["logits"].numpy()[real(batch)]).all()


def _case(name):
    return next(case for case in BLOCK_CASES if case.name == name)


def _own(weight):
    """Path of a weight inside its layer."""
    return weight.path.partition("/")[2]


def test_comparisons_are_those_of_the_whole_reader():
    cases = map(
        _case, ("behavior_reader", "behavior_reader_that_only_compares")
    )
    whole, rest = (case.create() for case in cases)
    for reader in (whole, rest):
        reader.build()
    given = {_own(weight): weight for weight in moved(whole).weights}
    for weight in rest.weights:
        weight.assign(given[_own(weight)])
    values = _case("behavior_reader").inputs(np.random.default_rng(4))
    expected = whole(**values).numpy()[..., 2 * WIDTH :]
    np.testing.assert_allclose(rest(**values), expected, rtol=1e-5, atol=1e-6)


def test_session_features_are_those_that_are_counted():
    whole, counts = (
        _case(name).create()
        for name in ("session_features", "session_features_of_counts")
    )
    values = _case("session_features").inputs(np.random.default_rng(4))
    learned = 2 * WIDTH
    # Events, dwell and two counters of clicks; events of orders; context.
    kept = [
        *range(learned, learned + 4),
        *range(2 * learned + 4, 2 * learned + 10),
    ]
    expected = whole(**values).numpy()[:, kept]
    states = [{}, {}]
    found = counts(**{**values, "states": states})
    np.testing.assert_allclose(found, expected, rtol=1e-6)
