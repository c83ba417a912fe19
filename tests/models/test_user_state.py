"""A user state is made of histories alone, and holds until the next event."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers.sequence.event_times import seconds_between
from jd_tf.models.blocks.event_ages import newest_time
from jd_tf.models.blocks.match_reader import MatchReader
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.pooled_mmoe import PooledMMoE, PooledMMoEConfig
from jd_tf.schema import HISTORY_ROLES
from tests.case_inputs import LENGTHS
from tests.cases import make_case
from tests.layers import harness
from tests.models.test_item_content import TITLED, titled_batch, with_images
from tests.models.test_jd_ranker import moved, real

HOUR, WEEK = 3600, 7 * 24 * 3600
LEAST, MOST = -(2**63), 2**63 - 1
FUSION = {"fusion": "personalized", "session_seconds": 2.0 * HOUR}


def pooled():
    keras.utils.set_random_seed(3)
    config = replace_fields(PooledMMoEConfig.of(model_dim=8), FUSION)
    return moved(PooledMMoE(TITLED, config))


def jd_ranker():
    """With pictures and titles, and a fusion."""
    return with_images("transfer", titled_batch(), changes=FUSION)[0]


@pytest.fixture(scope="module", params=[jd_ranker, pooled])
def model(request):
    return request.param()


@pytest.fixture(scope="module")
def batch():
    batch = titled_batch()
    # A user who did nothing yet; the padding may hold anything.
    batch["order_length"] *= np.arange(batch["order_length"].shape[0]) > 0
    return batch


def at(batch, seconds):
    return {**batch, "request_time": batch["request_time"] + seconds}


def histories(batch):
    return {c.name: batch[c.name] for c in TITLED.columns(*HISTORY_ROLES)}


def assert_equal(one, other, mask, tolerance=1e-6):
    assert set(one) == set(other)
    for name in one:
        left, right = one[name].numpy(), other[name].numpy()
        if name != "fusion_weights":
            left, right = left[mask], right[mask]
        np.testing.assert_allclose(
            left, right, rtol=tolerance, atol=tolerance, err_msg=name
        )


def test_a_state_serves_every_later_page(model, batch):
    """The clock moves between encoding and ranking."""
    assert model.reusable
    state = model.encode_user(histories(batch))
    answers = []
    for passed in (0, HOUR, WEEK):
        later = at(batch, passed)
        ranked = model.rank(state, later, later)
        # Encoded and ranked in one, as if no state had been kept.
        assert_equal(ranked, model(later), real(batch))
        answers.append(ranked["score"].numpy()[real(batch)])
    assert np.abs(answers[1] - answers[0]).max() > 1e-3
    assert np.abs(answers[2] - answers[1]).max() > 1e-3


def test_only_differences_of_times_count(model, batch):
    """Logs that know ages alone have a clock that starts at the request."""
    shift = -batch["request_time"]
    moved_times = {
        name: tensor + shift[:, None]
        for name, tensor in batch.items()
        if name.endswith("_event_time")
    }
    relative = {**batch, **moved_times, "request_time": shift * 0}
    assert_equal(model(relative), model(batch), real(batch))


@pytest.mark.parametrize("filler", [LEAST, 0, MOST])
def test_times_in_padding_change_nothing(model, batch, filler):
    spoilt = dict(batch)
    for behavior in TITLED.behaviors:
        times = batch[f"{behavior.name}_event_time"]
        mask = tf.sequence_mask(batch[behavior.length], times.shape[1])
        spoilt[f"{behavior.name}_event_time"] = tf.where(mask, times, filler)
    assert_equal(model(spoilt), model(batch), real(batch), 0)


def test_extreme_times_are_finite_and_order_ages(model, batch):
    for event, now in ((LEAST, MOST), (MOST, LEAST), (LEAST, LEAST)):
        extreme = {**batch, "request_time": batch["request_time"] * 0 + now}
        for behavior in TITLED.behaviors:
            name = f"{behavior.name}_event_time"
            extreme[name] = batch[name] * 0 + event
        for outputs in (model(extreme), model(extreme, training=True)):
            assert np.isfinite(outputs["score"].numpy()[real(batch)]).all()


def test_an_empty_history_is_not_one_of_now(model, batch):
    """It has a vector of its own, whatever time it is."""
    nothing = dict(batch)
    for behavior in TITLED.behaviors:
        nothing[behavior.length] = batch[behavior.length] * 0
    context = [
        model.encode_request(model.encode_histories(nothing), at(nothing, s))
        for s in (0, WEEK)
    ]
    for one, other in zip(*map(tf.nest.flatten, context), strict=True):
        np.testing.assert_array_equal(one, other)
    # As batches have it in which nobody has an event.
    ragged = [c.name for c in TITLED.columns(*HISTORY_ROLES) if c.ragged]
    narrow = {**nothing, **{name: batch[name][:, :0] for name in ragged}}
    assert_equal(model(narrow), model(nothing), real(batch), 1e-5)


def test_differences_equal_whole_numbers():
    times = [LEAST, -(10**11), -1, 0, 5, 2**53 + 1, MOST]
    for earlier in times:
        for later in times:
            (found,) = seconds_between(
                tf.constant([earlier], "int64"), tf.constant([later], "int64")
            ).numpy()
            bounded = [max(min(t, 2**61), -(2**61)) for t in (earlier, later)]
            exact = max(bounded[1] - bounded[0], 0)
            assert found == np.float32(exact)


def test_the_newest_time_is_the_first_real_one():
    times = tf.constant([[MOST, 7], [5, 3], [4, LEAST]])
    found = newest_time(times, tf.constant([0, 2, 1]))
    assert found.numpy().tolist() == [0, 5, 4]
    none = newest_time(tf.zeros((2, 0), "int64"), tf.constant([0, 0]))
    assert none.numpy().tolist() == [0, 0]


@pytest.mark.parametrize("position", [True, False])
def test_what_fades_after_the_state_fades_as_if_it_were_older(position):
    """exp(-(age + since) / t) is exp(-age / t) exp(-since / t)."""
    from tests.block_cases import _weighed

    case = make_case(
        "match_reader",
        MatchReader,
        _weighed,
        num_id_columns=2,
        num_numeric=2,
        use_position=position,
        content_dims=(5, 4),
        content_match_dim=6,
        num_heads=2,
    )
    reader = harness.make(case)
    moved_on = 0
    for seed in range(3):
        values = harness.arguments(case, seed)
        values["since_seconds"] = since = np.float32([9000, 0, 3e5, -1])
        (found,) = harness.outputs(reader, values)
        older = {**values, "since_seconds": since * 0}
        (unmoved,) = harness.outputs(reader, older)
        older["age_seconds"] = (
            values["age_seconds"] + np.maximum(since, 0)[:, None]
        )
        (expected,) = harness.outputs(reader, older)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
        moved_on = max(moved_on, np.abs(found - unmoved).max())
    assert moved_on > 0.1
    assert LENGTHS[3] == 0
