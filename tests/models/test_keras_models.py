"""Every registered model works as Keras users expect."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses import GAUC, MultiObjectiveLoss, labels_and_weights
from jd_tf.models.registry import build_model, get_model, model_names
from jd_tf.schema import SERVING_ROLES
from tests.models.test_jd_ranker import batch_of
from tests.models.zoo_cases import ZOO
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
BUILT_IN = ("jd_ranker", "pooled_mmoe")
OUTPUTS = {"logits", "probabilities", "score"}


@pytest.fixture(scope="module")
def batch():
    return batch_of(random_requests(SCHEMA, 12))


@pytest.fixture(scope="module")
def fit_batch(batch):
    return labels_and_weights(batch)


@pytest.fixture(scope="module", params=BUILT_IN)
def compiled(request, batch, fit_batch):
    """A model after two epochs, and what `fit` returned."""
    keras.utils.set_random_seed(1)
    model = build_model(request.param, SCHEMA)
    model.adapt([batch])
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss={"logits": MultiObjectiveLoss()},
        metrics={"logits": [keras.metrics.AUC(from_logits=True, name="auc")]},
        weighted_metrics={"logits": [GAUC(objective=0)]},
    )
    data = tf.data.Dataset.from_tensor_slices(fit_batch).batch(4)
    stop = keras.callbacks.EarlyStopping("val_gauc", mode="max", patience=9)
    history = model.fit(
        data,
        validation_data=data,
        epochs=8,
        shuffle=False,
        verbose=0,
        callbacks=[stop],
    )
    return model, history.history


def test_all_built_in_models_are_tested():
    built_in = {n for n in model_names() if "jd_tf." in get_module(n)}
    zoo = {case.name for case in ZOO}
    # tests/models/retrieval has the one that ranks nothing.
    assert built_in == {*BUILT_IN, *zoo, "two_tower"}


def get_module(name):
    return get_model(name).model_class.__module__


@pytest.mark.slow
def test_fit_learns_and_validates(compiled):
    _, history = compiled
    assert {"loss", "val_loss", "auc", "val_auc", "val_gauc"} <= set(history)
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert history["val_auc"][-1] > history["val_auc"][0]


def test_evaluate_counts_no_padding(compiled, batch, fit_batch):
    model, _ = compiled
    inputs, labels, weights = fit_batch
    model.evaluate(inputs, labels, 12, 0, sample_weight=weights)
    found = model.evaluate(
        inputs, labels, 12, 0, sample_weight=weights, return_dict=True
    )
    real = tf.sequence_mask(batch["num_candidates"], labels["logits"].shape[1])
    spoilt = tf.where(real[..., None], labels["logits"], 1.0)
    again = model.evaluate(
        inputs,
        {"logits": spoilt},
        12,
        0,
        sample_weight=weights,
        return_dict=True,
    )
    assert again["auc"] == pytest.approx(found["auc"], abs=1e-6)


def test_predict_is_the_call(compiled, fit_batch):
    model, _ = compiled
    inputs = fit_batch[0]
    predicted = model.predict(inputs, verbose=0)
    assert set(predicted) == OUTPUTS
    live = model(inputs, training=False)
    for name in OUTPUTS:
        np.testing.assert_allclose(
            predicted[name], live[name], rtol=1e-4, atol=1e-5
        )


def test_training_and_inference_have_the_same_outputs(compiled, batch):
    model, _ = compiled
    assert set(model(batch, training=True)) == set(model(batch)) == OUTPUTS
    extra = set(model.training_outputs(batch)) - OUTPUTS
    assert extra == {"shared"}


def test_summary_counts_every_weight(compiled):
    model, _ = compiled
    lines = []
    model.summary(print_fn=lambda line: lines.append(line))
    for kind in ("trainable", "non_trainable"):
        weights = getattr(model, f"{kind}_weights")
        count = sum(int(np.prod(w.shape)) for w in weights)
        line = f"{kind.replace('_', '-').capitalize()} params: {count:,} "
        assert line in "\n".join(lines)


def test_symbolic_outputs_have_the_shapes_of_real_ones(compiled, batch):
    model, _ = compiled
    columns = SCHEMA.columns("history", "context", "candidate")
    inputs = {
        c.name: keras.Input(c.shape[1:], dtype=c.dtype, name=c.name)
        for c in columns
    }
    outputs, live = model(inputs), model(batch)
    for name in OUTPUTS:
        assert len(outputs[name].shape) == live[name].ndim, name
        assert outputs[name].dtype == live[name].dtype.name


def test_keras_file_and_clone(compiled, fit_batch, tmp_path):
    model, _ = compiled
    inputs, labels, weights = fit_batch
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == model.config
    np.testing.assert_allclose(
        loaded(inputs)["score"], model(inputs)["score"], rtol=1e-5, atol=1e-6
    )
    # Compiled as it was: it goes on training.
    loaded.fit(inputs, labels, sample_weight=weights, verbose=0)
    clone = keras.models.clone_model(model)
    assert type(clone) is type(model)
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]


@pytest.mark.skipif(not shutil.which("dot"), reason="graphviz is missing")
def test_plot_model(compiled, tmp_path):
    pytest.importorskip("pydot")
    model, _ = compiled
    keras.utils.plot_model(model, tmp_path / "model.svg", show_shapes=True)
    assert type(model).__name__ in (tmp_path / "model.svg").read_text()


@pytest.mark.parametrize("name", BUILT_IN)
def test_keras_export_takes_the_columns_as_they_are(name, batch, tmp_path):
    model = build_model(name, SCHEMA)
    model.export(tmp_path / "own", verbose=False)
    columns = SCHEMA.columns(*SERVING_ROLES)
    loaded = tf.saved_model.load(tmp_path / "own")
    served = loaded.serve({c.name: batch[c.name] for c in columns})
    for key, value in model(batch).items():
        np.testing.assert_allclose(served[key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("kind", ["fixed", "global", "personalized"])
def test_every_model_calibrates_and_fuses(name, kind, batch):
    model = build_model(name, SCHEMA, {"fusion": {"kind": kind}})
    ranked = model(batch)
    assert set(ranked) == OUTPUTS | {"fusion_weights"}
    explained = model.explain(batch)["fusion_weights"]
    np.testing.assert_allclose(explained, ranked["fusion_weights"], rtol=1e-5)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("kind", ["", "personalized"])
def test_a_state_of_histories_serves_another_page(name, kind, batch):
    """Context, session and candidates may change between two pages."""
    model = build_model(name, SCHEMA, {"fusion": {"kind": kind}})
    histories = {c.name: batch[c.name] for c in SCHEMA.columns("history")}
    state = model.encode_user(histories)
    assert all(key.startswith("user_state_") for key in state)
    other = batch_of(random_requests(SCHEMA, 12, seed=9))
    page = {**other, **histories}
    ranked, expected = model.rank(state, page, page), model(page)
    for key, value in expected.items():
        np.testing.assert_allclose(ranked[key], value, rtol=1e-4, atol=1e-5)
    moved = {**page, "session_dense": page["session_dense"] * 5 + 3}
    assert not np.allclose(
        model.rank(state, moved, page)["score"], ranked["score"]
    )


def test_variables_are_main_or_fusion_and_the_bias_is_main():
    model = build_model("jd_ranker", SCHEMA, {"fusion": {"kind": "global"}})
    main, fusion, bias = (
        {id(v) for v in part}
        for part in (
            model.main_variables,
            model.fusion_variables,
            model.bias_variables,
        )
    )
    assert main | fusion == {id(v) for v in model.variables}
    assert not main & fusion
    assert bias
    assert bias < main
