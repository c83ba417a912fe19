"""Signatures answer whatever a client sends, past the checks of ours."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.validation import RequestValidator
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import SERVING_ROLES, IdColumn
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.export.signatures import ServedRanker
from jd_tf.serving.signature_names import SIGNATURES
from tests.requests import random_requests
from tests.serving.exported import SCHEMA, exported, small_ranker
from tests.serving.fake_server.loaded_version import LoadedVersion
from tests.serving.fake_server.status_error import StatusError

LOWEST = np.finfo("float32").min
ODD = {
    "f": (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-40, -7.0),
    "i": (2**62, 2**63 - 1, -(2**63), 1_700_000_000_000, -1, 0, 10**9),
    "O": (b"", b"\xff\xfe\x00", b"x" * 5000, "\u200b\u4e2d a".encode()),
}
NUM_CALLS = 1000


def rich_ranker():
    """A ranker with fusion, titles and embedded numbers."""
    title = IdColumn("title", "string", num_buckets=50, text=True)
    schema = dataclasses.replace(
        SCHEMA, item_columns=(*SCHEMA.item_columns, title)
    )
    changes = {
        "fusion": "personalized",
        "use_titles": True,
        "numeric_embedding_dim": 3,
    }
    keras.utils.set_random_seed(4)
    model = JDRanker(schema, replace_fields(small_ranker().config, changes))
    batch = batch_of(schema, 12)
    model.adapt([batch])
    return model


def batch_of(schema, count=4, seed=3):
    checker = RequestValidator(schema, SERVING_ROLES)
    requests = random_requests(schema, count, seed)
    checked = [checker.check(request) for request in requests]
    return pad_requests(checked, schema.columns(*SERVING_ROLES))


class Served:
    """Calls signatures with arrays that nobody checks on the way."""

    def __init__(self, schema, inputs, run):
        self.schema, self.inputs, self.run = schema, inputs, run
        self.batch = batch_of(schema)
        self.batch |= self.call("encode_user", self.batch)

    def call(self, signature, batch):
        return self.run(
            signature, {n: batch[n] for n in self.inputs[signature]}
        )


@pytest.fixture(
    scope="module",
    name="served",
    params=["exported", pytest.param("rich", marks=pytest.mark.slow)],
)
def _served(request):
    if request.param == "exported":
        # With graphs rewritten as the server does.
        one = LoadedVersion(
            exported().folder, "m", 1, warm=False, optimize=True
        )
        inputs = {s: list(one.signatures[s].inputs) for s in SIGNATURES}
        return Served(SCHEMA, inputs, one.run)
    model = rich_ranker()
    served = ServedRanker(model)
    functions = served.functions()

    def run(signature, arrays):
        tensors = {n: tf.constant(a) for n, a in arrays.items()}
        outputs = functions[signature](**tensors)
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    inputs = {
        s: list(functions[s].structured_input_signature[1]) for s in SIGNATURES
    }
    return Served(model.schema, inputs, run)


def spoil(array, row, generator):
    """Puts odd values of the column's dtype in one row."""
    array = array.copy()
    odd = generator.choice(np.array(ODD[array.dtype.kind], object))
    if array.dtype.kind == "i":
        limits = np.iinfo(array.dtype)
        odd = min(max(odd, limits.min), limits.max)
    some = generator.random(array[row].shape) < generator.choice([0.2, 1.0])
    changed = np.array(array[row])
    changed[some] = odd
    array[row] = changed
    return array


def assert_safe(ranked, batch):
    """No score that is no number, and none beyond the candidates."""
    score, probabilities = ranked["score"], ranked["probabilities"]
    assert np.isfinite(score).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    places = np.arange(score.shape[1])
    beyond = places >= batch["num_candidates"][:, None]
    assert (score[beyond] == LOWEST).all()
    assert (probabilities[beyond] == 0).all()


def test_raw_calls_do_no_harm(served):
    generator = np.random.default_rng(11)
    clean = {s: served.call(s, served.batch) for s in SIGNATURES}
    changed = 0
    for _ in range(NUM_CALLS // 2):
        signature = generator.choice(SIGNATURES)
        row = generator.integers(4)
        batch = dict(served.batch)
        names = served.inputs[signature]
        for name in generator.choice(names, generator.integers(1, 5)):
            batch[name] = spoil(batch[name], row, generator)
        found = served.call(signature, batch)
        others = np.arange(4) != row
        for name, array in found.items():
            np.testing.assert_allclose(
                array[others],
                clean[signature][name][others],
                rtol=1e-5,
                atol=1e-6,
                err_msg=f"{signature} {name}",
            )
        if "score" in found:
            assert_safe(found, batch)
            changed += not np.array_equal(
                found["score"], clean[signature]["score"]
            )
    # Otherwise nothing would be tested.
    assert changed > NUM_CALLS / 20


def test_a_number_that_is_none_is_missing():
    """As good as the mean of the training data, in whichever column."""
    model = small_ranker()
    generator = np.random.default_rng(0)
    means = {}
    for name, layer in model.normalizations.items():
        width = model.schema.column(name).inner
        layer.adapt(generator.gamma(2.0, 50.0, (500, width)))
        means[name] = np.expm1(layer.mean.numpy())
    served, batch = ServedRanker(model), batch_of(SCHEMA)
    served.functions()
    spoilt, mean = dict(batch), dict(batch)
    for name in ("item_dense", "session_dense", "order_item_dense"):
        known = means[name.removeprefix("order_")][: batch[name].shape[-1]]
        spoilt[name], mean[name] = batch[name].copy(), batch[name].copy()
        for row, odd in enumerate((np.nan, np.inf, -np.inf)):
            spoilt[name][row], mean[name][row] = odd, known
    for name in ("click_dwell_seconds", "click_action_counts"):
        spoilt[name], mean[name] = batch[name].copy(), batch[name].copy()
        for row, odd in enumerate((np.nan, np.inf, -np.inf)):
            spoilt[name][row], mean[name][row] = odd, -1.0
    found = served.answer("serving_default", spoilt)["score"].numpy()
    expected = served.answer("serving_default", mean)["score"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    clean = served.answer("serving_default", batch)["score"].numpy()
    assert not np.isclose(found, clean, atol=1e-3)[:3].all(axis=1).any()


def test_lengths_are_clipped_to_the_width(served):
    batch = dict(served.batch)
    for length in ("click_length", "order_length", "num_candidates"):
        width = batch[served_column(served.schema, length)].shape[1]
        batch[length] = np.array([width + 9, -3, 2**31 - 1, -(2**31)], "int32")
    clipped = dict(batch)
    for length in ("click_length", "order_length", "num_candidates"):
        width = batch[served_column(served.schema, length)].shape[1]
        clipped[length] = np.array([width, 0, width, 0], "int32")
    for signature in ("serving_default", "encode_user"):
        found, expected = (
            served.call(signature, one) for one in (batch, clipped)
        )
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])


def served_column(schema, length):
    """A column of that length."""
    return next(c.name for c in schema.columns() if c.length == length)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("num_candidates", lambda a: a[:1]),
        ("num_candidates", lambda a: a[:, None]),
        ("click_length", lambda a: a[:1]),
        ("request_time", lambda a: a[:1]),
        ("scenario", lambda a: a[:, None]),
        ("item_id", lambda a: a[:, :1]),
        ("item_dense", lambda a: a[:, :1]),
        ("item_dense", lambda a: a[..., 0]),
        ("session_dense", lambda a: a[:1]),
        ("click_event_time", lambda a: a[:, :1]),
        ("click_dwell_seconds", lambda a: a[..., None]),
    ],
)
def test_other_ranks_and_sizes_are_refused(served, name, change):
    batch = {**served.batch, name: change(served.batch[name])}
    with pytest.raises((StatusError, tf.errors.OpError, TypeError, ValueError)):
        served.call("serving_default", batch)


@pytest.mark.parametrize("axis", ["candidates", "events", "requests"])
def test_nothing_is_answered_with_nothing(served, axis):
    empty = dict(served.batch)
    for column in served.schema.columns(*SERVING_ROLES):
        of_candidates = column.length == "num_candidates"
        if axis == "requests":
            empty[column.name] = empty[column.name][:0]
        elif column.ragged and of_candidates == (axis == "candidates"):
            empty[column.name] = empty[column.name][:, :0]
    state = served.call("encode_user", empty)
    empty |= state
    rows, width = empty["item_id"].shape
    assert {len(array) for array in state.values()} == {rows}
    for signature in (
        "serving_default",
        "rank_candidates",
        "encode_and_rank",
    ):
        found = served.call(signature, empty)
        for name in state.keys() & found.keys():
            np.testing.assert_allclose(found[name], state[name], rtol=1e-5)
        assert found["score"].shape == (rows, width)
        assert found["probabilities"].shape == (rows, width, 3)
        assert_safe(
            found, {"num_candidates": empty["num_candidates"] * (width > 0)}
        )
    explained = served.call("explain", empty)
    if axis != "events":
        assert not explained["gate_weights"].size
        assert not explained["attention_click"].size


def test_times_in_milliseconds_are_bounded(served):
    batch = dict(served.batch)
    for name in ("request_time", "click_event_time", "order_event_time"):
        batch[name] = batch[name].copy()
    batch["request_time"][0] *= 1000
    batch["click_event_time"][1] *= 1000
    batch["request_time"][2] = 2**63 - 1
    batch["order_event_time"][2] = -(2**63)
    found = served.call("serving_default", batch)
    assert_safe(found, batch)
    clean = served.call("serving_default", served.batch)
    np.testing.assert_allclose(found["score"][3], clean["score"][3], atol=1e-5)
