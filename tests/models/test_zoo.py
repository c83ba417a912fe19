"""Every model of the zoo: its forward pass in NumPy, and the invariants."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses import MultiObjectiveLoss, labels_and_weights
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.registry import build_model, get_model
from jd_tf.schema import HISTORY_ROLES, SERVING_ROLES
from jd_tf.training.build_from_config import build_trainer
from jd_tf.training.config import TrainingConfig
from tests.models.test_jd_ranker import batch_of, moved
from tests.models.zoo_cases import ZOO
from tests.models.zoo_references import one_request
from tests.requests import random_requests, small_schema

SCHEMA = small_schema(scenario_column="scenario")
HOUR = 3600


@pytest.fixture(scope="module")
def batch():
    requests = random_requests(SCHEMA, 6)
    # A user who did nothing yet.
    for column in SCHEMA.columns(*HISTORY_ROLES):
        if column.ragged:
            requests[0][column.name] = requests[0][column.name][:0]
    return batch_of(requests, SCHEMA)


def built(case):
    keras.utils.set_random_seed(3)
    config = get_model(case.name).config_class()
    return build_model(case.name, SCHEMA, replace_fields(config, case.changes))


@pytest.fixture(scope="module", params=ZOO, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def model(case, batch):
    """A model whose weights are all away from where they start."""
    model = moved(built(case))
    model.adapt([batch])
    return model


@pytest.fixture(scope="module")
def expected(model, batch):
    return {name: value.numpy() for name, value in model(batch).items()}


def real(batch):
    width = batch["item_id"].shape[1]
    return np.arange(width) < np.asarray(batch["num_candidates"])[:, None]


def assert_same(found, expected, mask=..., tolerance=1e-4):
    for name, value in expected.items():
        np.testing.assert_allclose(
            np.asarray(found[name])[mask],
            value[mask],
            rtol=tolerance,
            atol=tolerance / 10,
            err_msg=name,
        )


def test_equals_the_forward_pass_in_numpy(case, model, batch, expected):
    for number, count in enumerate(batch["num_candidates"].numpy()):
        found = case.oracle(model, one_request(batch, SCHEMA, number))
        assert found.shape == (count, len(SCHEMA.objectives))
        np.testing.assert_allclose(
            expected["probabilities"][number, :count],
            found,
            rtol=1e-3,
            atol=1e-5,
        )
    assert np.ptp(expected["probabilities"][real(batch)], axis=0).min() > 1e-3


def test_padding_changes_nothing(model, batch, expected):
    def pad(column):
        tensor = batch[column.name]
        if not column.ragged:
            return tensor
        fill = tf.constant("b9" if column.dtype == "string" else 3)
        fill = fill if column.dtype == "string" else tf.cast(fill, tensor.dtype)
        longer = tf.fill((tensor.shape[0], 2, *tensor.shape[2:]), fill)
        mask = tf.sequence_mask(batch[column.length], tensor.shape[1])
        mask = tf.reshape(mask, (*mask.shape, *[1] * (len(tensor.shape) - 2)))
        return tf.concat([tf.where(mask, tensor, fill), longer], axis=1)

    padded = {c.name: pad(c) for c in SCHEMA.columns(*SERVING_ROLES)}
    width = batch["item_id"].shape[1]
    found = {k: v[:, :width] for k, v in model(padded).items()}
    assert_same(found, expected, real(batch))


def test_candidates_do_not_see_each_other(model, batch, expected):
    width = batch["item_id"].shape[1]
    order = np.random.default_rng(0).permutation(width)[: width - 2]
    some = {
        c.name: tf.gather(batch[c.name], order, axis=1)
        if c.axes.startswith("BN")
        else batch[c.name]
        for c in SCHEMA.columns(*SERVING_ROLES)
    }
    assert_same(model(some), {k: v[:, order] for k, v in expected.items()})


def test_requests_do_not_see_each_other(model, batch, expected):
    alone = {name: tensor[2:3] for name, tensor in batch.items()}
    assert_same(model(alone), {k: v[2:3] for k, v in expected.items()})


def test_a_state_serves_an_hour_later(model, batch, expected):
    """Only models that say so need another state at another time."""
    histories = {c.name: batch[c.name] for c in SCHEMA.columns(*HISTORY_ROLES)}
    later = {**batch, "request_time": batch["request_time"] + HOUR}
    if not model.reusable:
        histories["request_time"] = later["request_time"]
    state = model.encode_user(histories)
    whole = {name: value.numpy() for name, value in model(later).items()}
    assert_same(model.rank(state, later, later), whole)
    mask = real(batch)
    moved_on = whole["score"][mask] - expected["score"][mask]
    assert np.abs(moved_on).max() > 0


def test_every_weight_learns_and_tables_stay_sparse(model, batch):
    with tf.GradientTape() as tape:
        logits = model(batch, training=True)["logits"]
        loss = tf.reduce_sum(logits * tf.cos(logits))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        if variable.name == "table":
            assert isinstance(gradient, tf.IndexedSlices), variable.path
        assert np.any(tf.convert_to_tensor(gradient)), variable.path


def test_fit_and_keras_file(case, batch, tmp_path):
    """Steps by Keras itself, then the file gives the same outputs."""
    model = built(case)
    model.adapt([batch])
    inputs, labels, weights = labels_and_weights(batch)
    model.compile(
        keras.optimizers.Adam(0.02),
        {"logits": MultiObjectiveLoss()},
        run_eagerly=True,
    )
    history = model.fit(
        inputs, labels, 6, 3, sample_weight=weights, verbose=0, shuffle=False
    )
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == model.config
    outputs = {name: value.numpy() for name, value in model(batch).items()}
    assert_same(loaded(batch), outputs, tolerance=1e-5)


def test_the_trainer_takes_two_steps(case, batch, tmp_path):
    model = built(case)
    model.adapt([batch])
    before = [variable.numpy() for variable in model.trainable_variables]
    data = tf.data.Dataset.from_tensor_slices(dict(batch)).batch(3)
    tf.config.run_functions_eagerly(True)
    try:
        trainer = build_trainer(
            TrainingConfig(epochs=1, log_every=1, progress=False),
            model,
            tmp_path,
            lambda epoch, skip: data.skip(skip),
        )
        history = trainer.train()
    finally:
        tf.config.run_functions_eagerly(False)
    assert [row["step"] for row in history] == [1, 2]
    changed = [
        np.any(variable.numpy() != old)
        for variable, old in zip(model.trainable_variables, before, strict=True)
    ]
    assert np.mean(changed) > 0.7
