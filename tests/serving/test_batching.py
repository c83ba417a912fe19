"""Padding and its undoing."""

import numpy as np
import pytest

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import SERVING_ROLES, DataError
from jd_tf.serving.batching import is_batch, pad_requests, split_batch
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
COLUMNS = SCHEMA.columns(*SERVING_ROLES)


@pytest.fixture
def checked():
    checker = RequestValidator(SCHEMA, SERVING_ROLES)
    return [checker.check(request) for request in random_requests(SCHEMA, 9)]


def test_padding_is_zero_and_as_wide_as_the_longest(checked):
    batch = pad_requests(checked, COLUMNS)
    for column in COLUMNS:
        array = batch[column.name]
        assert len(array) == 9
        assert array.ndim == len(column.shape)
        assert array.dtype == (
            object if column.dtype == "string" else column.dtype
        )
        if column.ragged:
            assert array.shape[1] == max(batch[column.length])
            fill = b"" if column.dtype == "string" else 0
            for row, length in enumerate(batch[column.length]):
                np.testing.assert_array_equal(
                    array[row, :length], checked[row][column.name]
                )
                assert (array[row, length:] == fill).all()


def test_no_axis_is_ever_empty(checked):
    empty = dict(checked[0])
    for column in COLUMNS:
        if column.length == "order_length":
            empty[column.name] = empty[column.name][:0]
    empty["order_length"] = np.int32(0)
    batch = pad_requests([empty], COLUMNS, {"click_length": 12})
    assert batch["order_item_id"].shape == (1, 1)
    assert batch["order_brand_id"][0, 0] == b""
    assert batch["click_action_counts"].shape == (1, 12, 2)


def test_splitting_undoes_padding(checked):
    batch = pad_requests(checked, COLUMNS)
    assert is_batch(batch)
    assert not is_batch(checked[0])
    as_lists = {name: array.tolist() for name, array in batch.items()}
    for source in (batch, as_lists):
        requests = split_batch(source, SCHEMA)
        again = [
            RequestValidator(SCHEMA, SERVING_ROLES).check(request)
            for request in requests
        ]
        for one, other in zip(checked, again, strict=True):
            for name, array in one.items():
                np.testing.assert_array_equal(array, other[name])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("item_id", [[1, 2]], "`item_id` must have 9 rows"),
        ("scenario", 3, "`scenario` must have 9 rows"),
        ("click_length", [99] * 9, "row 0: `click_length` is 99"),
        ("click_length", [-1] * 9, "row 0: `click_length` is -1"),
        ("click_length", [1.5] * 9, "row 0: `click_length` is 1.5"),
        ("click_length", None, "`click_length` is missing"),
        ("item_id", [1] * 9, "`item_id` has no entries"),
    ],
)
def test_batches_that_disagree_are_refused(checked, column, value, message):
    batch = {**pad_requests(checked, COLUMNS), column: value}
    if value is None:
        del batch[column]
    with pytest.raises(DataError) as caught:
        split_batch(batch, SCHEMA)
    assert message in str(caught.value)
