"""States that grow with new events, in place of histories read anew."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.models.config_fields import replace_fields
from jd_tf.models.registry import build_model, get_model
from jd_tf.schema import HISTORY_ROLES
from tests.models.test_jd_ranker import batch_of, moved, real
from tests.models.zoo_cases import ZOO
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
HISTORIES = [c.name for c in SCHEMA.columns(*HISTORY_ROLES)]
CAUSAL = ("sas_rec", "hstu", "one_trans")


def built(name, schema=SCHEMA, **changes):
    (case,) = (case for case in ZOO if case.name == name)
    keras.utils.set_random_seed(3)
    changes = {**case.changes, "max_events": 0, **changes}
    config = replace_fields(get_model(name).config_class(), changes)
    return moved(build_model(name, schema, config))


@pytest.fixture(scope="module")
def requests():
    """One of them by a user who did nothing yet."""
    first, *others = random_requests(SCHEMA, 5, seed=1)
    return [between(first, 0, 0, 1), *others]


@pytest.fixture(scope="module", params=CAUSAL)
def model(request, requests):
    changes = {"fusion": "personalized", "session_seconds": 20.0}
    model = built(request.param, use_gaps=True, **changes)
    model.adapt([batch_of(requests)])
    return model


def between(request, start, end, count):
    """The request with the parts `start` to `end` of `count` of its events.

    Oldest first; events of one time stay together.
    """
    times = [request[f"{b.name}_event_time"] for b in SCHEMA.behaviors]
    distinct = np.unique(np.concatenate(times))
    first, last = (len(distinct) * part // count for part in (start, end))
    wanted, part = distinct[first:last], dict(request)
    for behavior, of_events in zip(SCHEMA.behaviors, times, strict=True):
        for column in SCHEMA.columns(*HISTORY_ROLES):
            if column.ragged and column.length == behavior.length:
                values = request[column.name]
                part[column.name] = values[np.isin(of_events, wanted)]
    return part


def histories(requests, start=0, end=1, count=1):
    batch = batch_of([between(r, start, end, count) for r in requests])
    return {name: batch[name] for name in HISTORIES}


def split(state):
    """The user state, and what is kept for the next call."""
    return [
        {n: t for n, t in state.items() if n.startswith(prefix)}
        for prefix in ("user_state_", "append_state_")
    ]


def appended(model, requests, count):
    kept = {}
    for part in range(count):
        events = histories(requests, part, part + 1, count)
        user, kept = split(model.append_events(kept, events))
    return user


def assert_ranks_as(model, state, expected, batch):
    ranked, wanted = (model.rank(s, batch, batch) for s in (state, expected))
    for name, values in wanted.items():
        mask = ... if name == "fusion_weights" else real(batch)
        np.testing.assert_allclose(
            ranked[name].numpy()[mask],
            values.numpy()[mask],
            rtol=1e-5,
            atol=1e-5,
            err_msg=name,
        )


@pytest.mark.parametrize("count", [1, 3])
def test_a_state_that_grew_is_that_of_all_events(model, requests, count):
    """Some users have no new event in one part or another."""
    batch = batch_of(requests)
    whole = model.encode_user(histories(requests))
    grown = appended(model, requests, count)
    assert_ranks_as(model, grown, whole, batch)
    for name, tensor in whole.items():
        assert grown[name].dtype == tensor.dtype


def test_new_events_count(model, requests):
    batch = batch_of(requests)
    old = model.encode_user(histories(requests, 0, 2, 3))
    new = model.encode_user(histories(requests))
    moved_on = (
        model.rank(new, batch, batch)["score"]
        - model.rank(old, batch, batch)["score"]
    )
    assert np.abs(moved_on.numpy()[1:][real(batch)[1:]]).max() > 1e-3


def test_padding_of_a_kept_state_changes_nothing(model, requests):
    """A server pads the states of a batch with their first element."""
    events = histories(requests, 1, 2, 2)
    kept = split(model.append_events({}, histories(requests, 0, 1, 2)))[1]
    # The axis of events, by the last word of a name.
    axes = {"keys": 2, "values": 2, "time": 1, "seconds": 1, "counts": 1}
    padded = {}
    for name, tensor in kept.items():
        values, width = tensor.numpy(), [(0, 0)] * len(tensor.shape)
        axis = axes.get(name.rpartition("_")[2])
        if axis and "newest" not in name:
            width[axis] = (0, 3)
        padded[name] = np.pad(values, width, constant_values=values.flat[0])
    assert padded["append_state_event_time"].shape[1] > 3
    states = [
        split(model.append_events(state, events))[0] for state in (kept, padded)
    ]
    assert_ranks_as(model, states[1], states[0], batch_of(requests))


def test_no_more_than_the_window_is_kept(requests):
    model = built("hstu", max_events=3)
    batch = batch_of(requests)
    grown = appended(model, requests, 3)
    assert grown["user_state_layer_0_keys"].shape[2] == 3
    assert grown["user_state_length"].numpy().max() == 3
    whole = model.encode_user(histories(requests))
    kept = np.arange(3) < whole["user_state_length"].numpy()[:, None]
    times = (s["user_state_event_time"].numpy()[kept] for s in (whole, grown))
    np.testing.assert_array_equal(*times)
    assert np.isfinite(model.rank(grown, batch, batch)["score"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", CAUSAL)
def test_an_event_costs_a_tenth_of_all(name):
    """Counts multiplications of one new event of twenty."""
    behaviors = [
        dataclasses.replace(behavior, max_length=20)
        for behavior in SCHEMA.behaviors
    ]
    schema = dataclasses.replace(SCHEMA, behaviors=behaviors[:1])
    model = built(name, schema, expert_units=(2,))

    def specs(width):
        return {
            c.name: tf.TensorSpec(
                [1, *(width if n is None else n for n in c.shape[1:])], c.dtype
            )
            for c in schema.columns(*HISTORY_ROLES)
        }

    def flops(function, *arguments):
        graph = tf.function(function).get_concrete_function(*arguments).graph
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        return tf.compat.v1.profiler.profile(
            graph,
            tf.compat.v1.RunMetadata(),
            cmd="op",
            options=options,
        ).total_float_ops

    first = tf.function(lambda events: model.append_events({}, events))
    outputs = first.get_concrete_function(specs(20)).structured_outputs
    kept = {
        n: tf.TensorSpec(
            [1, *(20 if size is None else size for size in t.shape[1:])],
            t.dtype,
        )
        for n, t in outputs.items()
        if n.startswith("append_state_")
    }
    anew = flops(model.encode_user, specs(20))
    assert flops(model.append_events, kept, specs(1)) < anew / 10


def test_other_models_read_all_anew(requests):
    model = build_model("din", SCHEMA)
    assert not model.can_append
    with pytest.raises(NotImplementedError, match="DIN appends no events"):
        model.append_events({}, histories(requests))
