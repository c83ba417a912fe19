"""Signatures equal the live model and take the schema's columns."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.validation import RequestValidator
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import (
    HISTORY_ROLES,
    REQUEST_ROLES,
    SERVING_ROLES,
    IdColumn,
    Role,
)
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.export.signatures import ServedRanker
from jd_tf.serving.signature_names import SIGNATURES
from tests.requests import random_requests
from tests.serving.exported import SCHEMA, histories, small_ranker
from tests.serving.tiny_ranker import TinyRanker

# Of a tensor's largest value: a value near 0 is a sum of larger terms that a
# served graph may add in another order.
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported.folder))


@pytest.fixture(scope="module")
def batch(exported):
    checker = RequestValidator(exported.schema, SERVING_ROLES)
    requests = [*exported.requests[:1], *random_requests(exported.schema, 5, 9)]
    checked = [checker.check(request) for request in requests]
    return pad_requests(checked, exported.schema.columns(*SERVING_ROLES))


def call(loaded, signature, inputs):
    """Calls a signature with those of the inputs that it takes."""
    function = loaded.signatures[signature]
    names = function.structured_input_signature[1]
    outputs = function(**{name: tf.constant(inputs[name]) for name in names})
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def assert_near(found, expected, name=""):
    atol = ROUNDING * max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(
        found, expected, rtol=1e-5, atol=atol, err_msg=name
    )


def assert_close(live, served, mask=slice(None)):
    """Of a mask, only what a ranking has for each candidate is compared."""
    assert set(served) <= set(live)
    for name in served:
        cells = slice(None) if name == "fusion_weights" else mask
        assert_near(served[name][cells], np.asarray(live[name])[cells], name)


def real(batch):
    width = batch["item_id"].shape[1]
    return np.arange(width) < batch["num_candidates"][:, None]


def test_serving_default_is_the_live_model(loaded, batch, exported):
    served = call(loaded, "serving_default", batch)
    assert set(served) == {"score", "probabilities"}
    assert_close(exported.model(batch, training=False), served, real(batch))
    # Not a constant: the test would pass on anything.
    assert np.ptp(served["score"][real(batch)]) > 0.1


def test_encode_user_is_the_live_model(loaded, batch, exported):
    served = call(loaded, "encode_user", batch)
    live = exported.model.encode_user(batch)
    assert set(served) == set(live)
    assert_close(live, served)


def test_rank_candidates_is_the_live_model(loaded, batch, exported):
    state = exported.model.encode_user(batch)
    served = call(loaded, "rank_candidates", {**batch, **state})
    assert_close(exported.model(batch), served, real(batch))


def test_encode_then_rank_is_serving_default(loaded, batch, exported):
    state = call(loaded, "encode_user", batch)
    halves = call(loaded, "rank_candidates", {**batch, **state})
    assert_close(call(loaded, "serving_default", batch), halves)


def test_explain_is_the_live_model(loaded, batch, exported):
    served = call(loaded, "explain", batch)
    live = exported.model.explain(batch)
    assert set(served) == set(live)
    assert_close(live, served)
    num_requests, num_candidates = batch["item_id"].shape
    for name in ("click", "order"):
        length = batch[f"{name}_item_id"].shape[1]
        shape = served[f"attention_{name}"].shape
        assert shape == (num_requests, 2, num_candidates, length)


def test_inputs_are_the_schemas_columns(loaded, exported):
    for signature, roles in (
        ("serving_default", SERVING_ROLES),
        ("explain", SERVING_ROLES),
        ("encode_and_rank", SERVING_ROLES),
        ("encode_user", HISTORY_ROLES),
    ):
        specs = loaded.signatures[signature].structured_input_signature[1]
        expected = {
            c.name: (c.dtype, list(c.shape))
            for c in exported.schema.columns(*roles)
        }
        assert {
            name: (spec.dtype.name, spec.shape.as_list())
            for name, spec in specs.items()
        } == expected
        assert not {"position", "page", "labels", "request_id"} & set(specs)


def test_columns_that_are_not_read_are_no_inputs(batch):
    """Neither titles without `use_titles` nor what is switched off."""
    title = IdColumn("title", "string", num_buckets=50, text=True)
    items = (*SCHEMA.item_columns, title)
    schema = dataclasses.replace(SCHEMA, item_columns=items)
    changes = {"use_dwell": False, "use_item_dense": False}
    config = replace_fields(small_ranker().config, changes)
    served = ServedRanker(JDRanker(schema, config))
    unread = {"title", "click_title", "order_title", "order_item_dense"}
    unread |= {"click_dwell_seconds"}
    for signature, function in served.functions().items():
        taken = set(function.structured_input_signature[1])
        assert not taken & unread
        if signature == "serving_default":
            columns = {c.name for c in schema.columns(*SERVING_ROLES)}
            assert taken == columns - unread
            inputs = {name: tf.constant(batch[name]) for name in taken}
            found = function(**inputs)["score"].numpy()
            live = served.answer(signature, inputs)["score"].numpy()
            assert_near(found, live)


def test_the_graph_holds_the_model_once():
    bodies = {
        signature: {
            body.signature.name
            for body in function.graph.as_graph_def().library.function
        }
        for signature, function in ServedRanker(TinyRanker())
        .functions()
        .items()
    }
    halves = bodies["encode_user"] | bodies["rank_candidates"]
    assert len(halves) == 2
    assert bodies["serving_default"] == bodies["encode_and_rank"] == halves


def test_a_first_page_gets_its_ranking_and_the_state(loaded, batch):
    apart = call(loaded, "serving_default", batch)
    apart |= call(loaded, "encode_user", batch)
    at_once = call(loaded, "encode_and_rank", batch)
    assert set(at_once) == set(apart)
    for name in apart:
        assert_near(at_once[name], apart[name], name)


def test_rank_candidates_takes_what_encode_user_gives(loaded, exported):
    given = loaded.signatures["encode_user"].structured_outputs
    taken = loaded.signatures["rank_candidates"].structured_input_signature[1]
    columns = exported.schema.columns(*REQUEST_ROLES, Role.CANDIDATE)
    assert set(taken) == {c.name for c in columns} | set(given)
    for name, spec in given.items():
        assert taken[name].dtype == spec.dtype
        assert taken[name].shape.as_list() == spec.shape.as_list()


def test_the_optimizer_is_not_exported(exported):
    variables = exported.folder / "variables" / "variables"
    stored = [name for name, _ in tf.train.list_variables(str(variables))]
    assert not [name for name in stored if "optimizer" in name]
    # Each weight once, beside the object graph.
    assert len(stored) == 1 + len(exported.model.weights)


@pytest.mark.parametrize("extra", [0, 4])
@pytest.mark.parametrize("garbage", ["first", "wild"])
def test_padding_may_hold_anything(loaded, batch, exported, extra, garbage):
    generator = np.random.default_rng(0)
    padded = dict(batch)
    for column in exported.schema.columns(*SERVING_ROLES):
        if not column.ragged:
            continue
        old = batch[column.name]
        shape = (old.shape[0], old.shape[1] + extra, *old.shape[2:])
        if garbage == "first":
            new = np.full(shape, old.flat[0], old.dtype)
        elif column.dtype == "string":
            new = np.full(shape, b"not a brand", object)
        elif column.dtype == "float32":
            new = generator.uniform(-1e6, 1e6, shape).astype("float32")
        else:
            new = generator.integers(-(2**40), 2**40, shape)
        for row, length in enumerate(batch[column.length]):
            new[row, :length] = old[row, :length]
        padded[column.name] = new
    clean = call(loaded, "serving_default", batch)
    dirty = call(loaded, "serving_default", padded)
    mask = real(batch)
    for name in clean:
        cut = dirty[name][:, : mask.shape[1]]
        assert_near(cut[mask], clean[name][mask], name)


def test_encoded_users_may_be_padded_too(loaded, batch, exported):
    schema = exported.schema
    state = call(loaded, "encode_user", batch)
    longer = dict(batch)
    for column in histories(schema):
        array = batch[column.name]
        widths = [(0, 0), (0, 33), *[(0, 0)] * (array.ndim - 2)]
        longer[column.name] = np.pad(array, widths, "edge")
    # A server pads whichever axis of a state differs.
    padded = {}
    for name, other in call(loaded, "encode_user", longer).items():
        array = state[name]
        padded[name] = np.full_like(array, array.flat[0], shape=other.shape)
        padded[name][tuple(map(slice, array.shape))] = array
    grown = [n for n in state if padded[n].shape != state[n].shape]
    # Keys, values, rows and weights of each; dense features of some.
    dense = sum(bool(behavior.item_dense) for behavior in schema.behaviors)
    assert len(grown) == 4 * len(schema.behaviors) + dense
    assert_close(
        call(loaded, "rank_candidates", {**batch, **state}),
        call(loaded, "rank_candidates", {**batch, **padded}),
        real(batch),
    )


def test_scores_do_not_depend_on_batch_mates(loaded, batch):
    together = call(loaded, "serving_default", batch)
    for row, count in enumerate(batch["num_candidates"]):
        alone = call(
            loaded,
            "serving_default",
            {name: array[row : row + 1] for name, array in batch.items()},
        )
        for name in together:
            assert_near(together[name][row, :count], alone[name][0, :count])


def test_empty_histories_are_served(loaded, batch, exported):
    nothing = dict(batch)
    for behavior in exported.schema.behaviors:
        nothing[behavior.length] = np.zeros_like(batch[behavior.length])
    for column in histories(exported.schema):
        nothing[column.name] = batch[column.name][:, :0]
    score = call(loaded, "serving_default", nothing)["score"]
    assert np.isfinite(score).all()


def test_serving_leaves_the_live_model_as_it_was(batch, exported):
    before = exported.model(batch)["score"].numpy()
    functions = ServedRanker(exported.model).functions()
    assert set(functions) == set(SIGNATURES)
    np.testing.assert_array_equal(before, exported.model(batch)["score"])
    assert exported.model.optimizer is not None
