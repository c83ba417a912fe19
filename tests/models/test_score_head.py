"""The ranker's head: calibration, fusion, and the wall before them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.models.blocks.session_features import SessionFeatures
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import HISTORY_ROLES, REQUEST_ROLES, SERVING_ROLES
from tests.models.test_jd_ranker import (
    CONFIG,
    SCHEMA,
    assert_same,
    batch_of,
    moved,
    real,
)
from tests.requests import random_requests

FUSED = replace_fields(CONFIG, {"fusion": "personalized", "calibrate": True})


def ranker(**changes):
    keras.utils.set_random_seed(3)
    return moved(JDRanker(SCHEMA, replace_fields(FUSED, changes)))


def bent(model):
    """Curves that lift the rare objectives, beyond their clicks in places."""
    curves = [([-4.0, 4.0], [-3.0, 3.5]), ([-9.0, 9.0], [-3.0, 15.0])]
    model.head.calibration.assign_curves([*curves, ([-5.0], [1.0])])
    return model


@pytest.fixture(scope="module", params=[False, True])
def model(request):
    return bent(ranker(use_representation=request.param))


@pytest.fixture(scope="module")
def batch():
    return batch_of(random_requests(SCHEMA, 9))


def whole(array):
    return np.full(array.shape, True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def test_call_is_encode_user_then_rank(model, batch):
    out = model(batch)
    weights = out.pop("fusion_weights")
    halves = model.rank(model.encode_user(batch), batch, batch)
    np.testing.assert_array_equal(weights, halves.pop("fusion_weights"))
    assert_same(out, halves, whole(out["score"]))


def test_weights_belong_to_the_session_and_never_to_the_candidate(model, batch):
    """Histories and request are enough; other candidates change nothing."""
    histories = {c.name: batch[c.name] for c in SCHEMA.columns(*HISTORY_ROLES)}
    request = {c.name: batch[c.name] for c in SCHEMA.columns(*REQUEST_ROLES)}
    state = model.encode_user(histories)
    weights = model.rank(state, request, batch)["fusion_weights"].numpy()
    assert weights.shape == (9, 3)
    assert (weights > 0).all()
    assert np.ptp(weights, axis=0).max() > 1e-3
    other = batch_of(random_requests(SCHEMA, 9, seed=8))
    ranked = model.rank(state, request, other)
    np.testing.assert_array_equal(ranked["fusion_weights"], weights)


def test_the_representation_is_the_user_half_of_the_experts(batch):
    """In NumPy: the kernel's rows for user and request, without candidates."""
    model = ranker(use_representation=True)
    _, session = model.fusion_inputs(batch)
    _, before = ranker().fusion_inputs(batch)
    width = before.shape[1]
    assert session.shape[1] == width + model.representation_dim
    np.testing.assert_array_equal(session[:, :width], before)
    state = {
        name.removeprefix("user_state_"): tensor
        for name, tensor in model.encode_user(batch).items()
    }
    encoded = model.encode_request(state, batch)["encoded"].numpy()
    kernel = model.experts.user_half.kernel.numpy().astype(np.float64)
    half = state["experts"] + encoded @ kernel[-encoded.shape[1] :]
    expected = half / np.sqrt(np.mean(half**2, axis=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(session[:, width:], expected, atol=1e-5)


def test_each_part_of_the_session_counts(batch):
    model = ranker()

    def weights(**changes):
        return model({**batch, **changes})["fusion_weights"].numpy()

    before = weights()
    for name, other in {
        "session_dense": batch["session_dense"] * 9,
        "scenario": 4 - batch["scenario"],
        "click_dwell_seconds": batch["click_dwell_seconds"] * 9,
        "order_event_time": batch["order_event_time"] - 10**6,
        "request_time": batch["request_time"] + 10**6,
    }.items():
        assert not np.allclose(weights(**{name: other}), before), name


@pytest.mark.parametrize(("since", "lasts"), [(100.0, True), (101.0, False)])
def test_what_is_old_or_padding_is_not_of_the_session(since, lasts):
    """The session is counted back from its newest event, until that is old."""
    layer = SessionFeatures(SCHEMA.behaviors[1:], 2, 0, 0, 100.0)
    values = np.array(
        [[[1.0, 1.0], [0.0, 2.0], [5.0, 1.0], [np.nan, np.inf]]], "float32"
    )
    state = {"interest": np.ones((1, 2), "float32"), "values": values}
    times = np.array([[5000, 4900, 4899, 5000]])
    found = layer(
        {"order_event_time": times, "order_length": np.array([3])},
        [state],
        since_seconds=np.float32([[since]]),
    )
    about = lasts * np.array([1.0, 3.0]) / np.sqrt(5.0)
    expected = [1.0, 1.0, *about, lasts * np.log(3.0)]
    np.testing.assert_allclose(found, [expected], rtol=1e-5)
    assert layer.output_dim == 5


def test_probabilities_are_calibrated_and_none_above_its_click(model, batch):
    out = model(batch)
    plain = sigmoid(out["logits"])
    found = out["probabilities"].numpy()
    mask = real(batch)
    assert (found[..., 1:] <= found[..., :1]).all()
    logits = model.head.calibration(out["logits"]).numpy()
    np.testing.assert_allclose(found, sigmoid(logits), rtol=1e-5)
    assert not np.allclose(found[mask], plain[mask], atol=1e-3)
    # The bound is what holds some of them down.
    assert (found[..., 1] == found[..., 0])[mask].any()


def test_the_main_loss_reads_logits_without_curves(batch):
    plain, curved = ranker(), bent(ranker())
    for training in (False, True):
        np.testing.assert_array_equal(
            plain(batch, training=training)["logits"],
            curved(batch, training=training)["logits"],
        )


@pytest.mark.parametrize("form", ["log_linear", "additive"])
def test_the_score_is_the_weighted_sum(batch, form):
    model = bent(ranker(fusion_form=form))
    out = model(batch)
    logits = model.head.calibration(out["logits"]).numpy()
    chances = sigmoid(logits)
    parts = np.log(chances) if form == "log_linear" else chances
    weights = out["fusion_weights"].numpy()[:, None]
    np.testing.assert_allclose(
        out["score"], (parts * weights).sum(-1), rtol=1e-4, atol=1e-5
    )


def test_fixed_additive_fusion_is_the_expected_value(batch):
    fixed = ranker(fusion="fixed", fusion_form="additive", calibrate=False)
    none = ranker(fusion="", calibrate=False)
    np.testing.assert_allclose(
        fixed(batch)["score"], none(batch)["score"], rtol=1e-5
    )
    assert not [v for v in fixed.fusion_variables if v.trainable]


def test_the_network_before_the_head_is_the_same_with_and_without(batch):
    """Same seed, same first weights, same logits to the last bit."""
    models = []
    for changes in ({}, {"fusion": "", "calibrate": False}):
        keras.utils.set_random_seed(3)
        config = replace_fields(FUSED, changes)
        models.append(JDRanker(SCHEMA, config))
    one, other = (m(batch, training=True)["logits"] for m in models)
    np.testing.assert_array_equal(one, other)
    assert not models[1].head.weights
    assert "user_state_fusion_weights" not in models[1].encode_user(batch)
    assert "fusion_weights" not in models[1](batch)


def test_sides_are_all_variables_once(model):
    ours = {v.path for v in model.fusion_variables}
    main = {v.path for v in model.main_variables}
    assert ours
    assert all("/score_head/fusion/" in path for path in ours)
    assert not ours & main
    assert ours | main == {v.path for v in model.variables}
    assert any(path.endswith("calibration/knots") for path in main)


def test_nothing_the_fusion_reads_can_be_bent(model, batch):
    with tf.GradientTape(persistent=True) as tape:
        logits, session = model.fusion_inputs(batch)
        weights = model(batch)["fusion_weights"]
        total = tf.reduce_sum(logits) + tf.reduce_sum(session)
        fused = tf.reduce_sum(weights * tf.constant([1.0, 2.0, 5.0]))
    main = [v for v in model.main_variables if v.trainable]
    assert tape.gradient(total, main) == [None] * len(main)
    # Nor by the path that serving takes.
    assert tape.gradient(fused, main) == [None] * len(main)
    ours = [v for v in model.fusion_variables if v.trainable]
    assert None not in tape.gradient(fused, ours)


def test_fusion_inputs_are_what_serving_fuses(model, batch):
    logits, session = model.fusion_inputs(batch)
    score, weights = model.fusion(logits, session)
    out = model(batch)
    np.testing.assert_array_equal(weights, out["fusion_weights"])
    np.testing.assert_allclose(score, out["score"], rtol=1e-5, atol=1e-6)


def test_keras_file_round_trip(model, batch, tmp_path):
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.config == model.config
    served = {c.name: batch[c.name] for c in SCHEMA.columns(*SERVING_ROLES)}
    one, other = model(served), loaded(served)
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], name)


def test_weights_are_explained(model, batch):
    np.testing.assert_array_equal(
        model.explain(batch)["fusion_weights"], model(batch)["fusion_weights"]
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_head_is_single_precision_under_any_policy(policy, batch):
    big = {
        k: v * 1e6 if k.endswith(("_seconds", "_dense")) else v
        for k, v in batch.items()
    }
    model = JDRanker(SCHEMA, FUSED, dtype=policy)
    assert all(v.dtype == "float32" for v in model.head.variables)
    out = model(big)
    for name in ("logits", "probabilities", "score", "fusion_weights"):
        assert out[name].dtype == tf.float32, name
    assert np.isfinite(out["score"].numpy()[real(batch)]).all()


@pytest.mark.parametrize(
    "changes",
    [{"fusion": "learned"}, {"fusion_form": "sum"}, {"fusion_weights": (1,)}],
)
def test_wrong_settings_are_named(changes):
    with pytest.raises(
        ValueError, match=r"FusionConfig: `(kind|form)`|initial_s"
    ):
        ranker(**changes)
