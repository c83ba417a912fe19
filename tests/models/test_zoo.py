"""Every model of the zoo: its forward pass in NumPy, and the invariants."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses import MultiObjectiveLoss, labels_and_weights
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.registry import get_model
from jd_tf.schema import HISTORY_ROLES, SERVING_ROLES
from jd_tf.training.build_from_config import build_main_step
from jd_tf.training.config import TrainingConfig
from jd_tf.training.named_variables import model_variables
from tests.models.test_jd_ranker import batch_of, moved
from tests.models.zoo_cases import ZOO
from tests.models.zoo_references import one_request
from tests.requests import random_requests, small_schema
from tests.serving.exported import export_in_process

SCHEMA = small_schema(scenario_column="scenario")
HOUR = 3600
# It looks a scenario up while it ranks.
EXPORTED = "star"


@pytest.fixture(scope="module")
def batch():
    requests = random_requests(SCHEMA, 6)
    # A user who did nothing yet.
    for column in SCHEMA.columns(*HISTORY_ROLES):
        if column.ragged:
            requests[0][column.name] = requests[0][column.name][:0]
    return batch_of(requests, SCHEMA)


def built(case, changes=(), schema=SCHEMA, **kwargs):
    keras.utils.set_random_seed(3)
    entry = get_model(case.name)
    changes = {**case.changes, **dict(changes)}
    config = replace_fields(entry.config_class(), changes)
    return entry.model_class(schema, config, **kwargs)


@pytest.fixture(scope="module", params=ZOO, ids=lambda case: case.name)
def case(request):
    return request.param


def some(always):
    """Cases of what is alike in all; those not always run are slow."""
    for case in ZOO:
        marks = [] if case.name in always else [pytest.mark.slow]
        yield pytest.param(case, marks=marks, id=case.name)


# One of each way to read histories and requests.
a_kind = pytest.mark.parametrize(
    "case", list(some(("din", "mask_net", "one_trans", "star"))), scope="module"
)


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


def test_a_batch_without_any_event_is_scored_and_learned(model, batch):
    """Batches are as wide as their longest history: none at all may be."""

    def cut(column, width):
        tensor = batch[column.name]
        if column.name.endswith("_length"):
            return tf.zeros_like(tensor)
        return tensor[:, :width] if column.ragged else tensor

    def without(width):
        events = {c.name: cut(c, width) for c in SCHEMA.columns(*HISTORY_ROLES)}
        return {**batch, **events}

    expected = {k: v.numpy() for k, v in model(without(1)).items()}
    assert_same(model(without(0)), expected, real(batch))

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(without(0), training=True)["logits"])
    for found in tape.gradient(total, model.trainable_variables):
        if found is not None:
            values = getattr(found, "values", found)
            assert np.isfinite(values).all()


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


@a_kind
def test_fit_and_keras_file(case, batch, tmp_path):
    """Steps by Keras itself, then the file gives the same outputs."""
    model = built(case)
    model.adapt([batch])
    inputs, labels, weights = labels_and_weights(batch)
    model.compile(
        keras.optimizers.Adam(0.001),
        {"logits": MultiObjectiveLoss()},
        run_eagerly=True,
    )
    history = model.fit(
        inputs, labels, 6, 2, sample_weight=weights, verbose=0, shuffle=False
    )
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == model.config
    outputs = {name: value.numpy() for name, value in model(batch).items()}
    assert_same(loaded(batch), outputs, tolerance=1e-5)


@a_kind
def test_our_step_trains_a_model_that_fuses(case, batch):
    changes = {"fusion": "personalized", "calibrate": True}
    model = built(case, {**changes, "use_representation": True})
    model.adapt([batch])
    step = build_main_step(TrainingConfig(), model)
    variables = model.main_variables
    before = [variable.numpy() for variable in variables]
    rows = [step(batch) for _ in range(2)]
    assert all(np.isfinite(row["loss"]) for row in rows)
    changed = [
        np.any(variable.numpy() != old)
        for variable, old in zip(variables, before, strict=True)
        if variable.trainable
    ]
    assert np.mean(changed) > 0.9
    ranked = model(batch)
    shape = (len(batch["item_id"]), len(SCHEMA.objectives))
    assert ranked["fusion_weights"].shape == shape
    state = model.encode_user(batch)
    halves = model.rank(state, batch, batch)
    assert_same(halves, {name: value.numpy() for name, value in ranked.items()})


def test_names_of_variables_do_not_depend_on_the_model_s_own(case):
    """A checkpoint of the first model of a process fits the second."""
    first, second = (built(case, name=name) for name in (case.name, "other"))
    assert set(model_variables(first)) == set(model_variables(second))


@a_kind
def test_a_bare_schema_is_enough(case):
    """One id, one history, one objective, no context and no numbers."""
    schema = small_schema(
        item_columns=SCHEMA.item_columns[:1],
        behaviors=SCHEMA.behaviors[:1],
        objectives=SCHEMA.objectives[:1],
        context_columns=(),
        session_dense=(),
        item_dense=(),
        bias_columns=(),
    )
    batch = batch_of(random_requests(schema, 3), schema)
    outputs = built(case, schema=schema)(batch, training=True)
    assert outputs["logits"].shape == (*batch["item_id"].shape, 1)
    assert np.isfinite(outputs["logits"].numpy()[real(batch)]).all()


@pytest.mark.parametrize("zoo_case", list(some((EXPORTED,))))
def test_an_export_gives_the_same_answers(zoo_case, tmp_path):
    requests = random_requests(SCHEMA, 4, seed=1)
    model = moved(built(zoo_case))
    # Refused unless every signature reproduces the model.
    version = export_in_process(model, tmp_path / "made", requests=requests)
    signatures = set(tf.saved_model.load(version).signatures)
    halves = {"serving_default", "encode_user", "rank_candidates"}
    assert halves <= signatures


@pytest.mark.parametrize("name", ["din", "sas_rec", "hstu"])
def test_overlaps_of_ids_can_be_left_out(name, batch):
    """Then no state holds ids, and the model is the paper's."""
    case = next(case for case in ZOO if case.name == name)
    plain, own = (built(case, {"use_overlap": use}) for use in (False, True))
    histories = {c.name: batch[c.name] for c in SCHEMA.columns(*HISTORY_ROLES)}
    states = [set(model.encode_user(histories)) for model in (plain, own)]
    parts = ("rows", "overlap_weights")
    assert states[1] - states[0] == {
        f"user_state_{behavior.name}_{part}"
        for behavior in SCHEMA.behaviors
        for part in parts
    }
    assert plain.overlap_dim == 0 < own.overlap_dim
    assert np.isfinite(plain(batch)["logits"].numpy()[real(batch)]).all()
