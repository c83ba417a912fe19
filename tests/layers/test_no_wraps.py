"""Whole numbers beyond 32 bits are large, not what is left of them."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.batches import parse_requests
from jd_tf.layers import TemporalEncoding
from jd_tf.layers.masking import length_mask
from jd_tf.schema import Column, Role
from tests.cases import case_named
from tests.layers import harness

BEYOND = 2**32 + 3


def test_a_place_beyond_the_last_is_the_last():
    layer = harness.make(case_named("bias_tower"))
    places = np.array([[6, BEYOND, 2**62, -(2**32) + 3, 0]])
    inputs = {"position": places, "page": np.zeros_like(places)}
    last, *beyond, below, first = layer(inputs)[0].numpy()
    for one in beyond:
        np.testing.assert_array_equal(one, last)
    np.testing.assert_array_equal(below, first)
    assert np.any(last != first)


def test_a_length_beyond_all_is_all():
    lengths = tf.constant([BEYOND, -(2**32) + 1, 2, -(2**63), 2**63 - 1])
    mask = length_mask(lengths, 3).numpy()
    assert mask.sum(axis=1).tolist() == [3, 0, 2, 0, 3]


@pytest.mark.parametrize("stored", [BEYOND, 2**31, -(2**32) + 3])
def test_records_of_others_do_not_wrap(stored):
    example = tf.train.Example()
    example.features.feature["position"].int64_list.value.append(stored)
    column = Column("position", Role.BIAS, "int32", "B")
    batch = parse_requests(
        tf.constant([example.SerializeToString()]), (column,)
    )
    wanted = 2**31 - 1 if stored > 0 else -(2**31)
    assert batch["position"].numpy().tolist() == [wanted]


def test_an_age_that_is_no_number_reads_a_row():
    layer = TemporalEncoding(4)
    events = np.zeros((1, 3, 2), np.float32)
    ages = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    assert np.isfinite(layer(events, ages)).all()
