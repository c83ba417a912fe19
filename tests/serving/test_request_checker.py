"""What a request may hold, and what it is told when it does not."""

import json

import numpy as np
import pytest

from jd_tf.schema import SERVING_ROLES, DataError
from jd_tf.serving.client.request_checker import RequestChecker
from jd_tf.serving.export.warmup import sample_request
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
CHECKER = RequestChecker(SCHEMA)


def plain(request):
    """As JSON has it: nested lists."""
    as_list = {
        name: value.tolist() if hasattr(value, "tolist") else value
        for name, value in request.items()
    }
    return json.loads(json.dumps(as_list))


@pytest.fixture
def request_():
    """Five clicks, two orders, three candidates."""
    generator = np.random.default_rng(4)
    request = sample_request(SCHEMA, generator, 5, 3)
    for column in SCHEMA.columns():
        if column.length == "order_length":
            request[column.name] = request[column.name][:2]
    return plain(request)


def test_checked_columns_are_typed_and_served_only():
    for request in random_requests(SCHEMA, 20):
        checked = CHECKER.check(request)
        columns = SCHEMA.columns(*SERVING_ROLES)
        assert list(checked) == [column.name for column in columns]
        for column in columns:
            array = checked[column.name]
            is_text = column.dtype == "string"
            assert array.dtype == (object if is_text else column.dtype)
            if column.ragged:
                assert len(array) == checked[column.length]
        for name in ("item_id", "click_age_seconds", "scenario"):
            np.testing.assert_allclose(checked[name], request[name], 1e-6)


def test_lists_are_as_good_as_arrays():
    request = random_requests(SCHEMA, 1)[0]
    from_arrays, from_lists = map(CHECKER.check, (request, plain(request)))
    for name, array in from_arrays.items():
        np.testing.assert_array_equal(array, from_lists[name])


def test_keys_and_labels_are_not_needed(request_):
    assert not {"user_id", "labels", "position"} & set(request_)
    assert CHECKER.check(request_)["num_candidates"] == 3


def test_empty_histories_are_empty_lists(request_):
    for column in SCHEMA.columns():
        if column.length == "click_length":
            request_[column.name] = []
    checked = CHECKER.check(request_)
    assert checked["click_length"] == 0
    assert checked["click_action_counts"].shape == (0, 2)
    assert checked["order_length"] == 2


def test_any_number_of_candidates_will_do(request_):
    original = dict(request_)
    for count in (0, 1, SCHEMA.max_candidates + 1, 5000):
        for column in SCHEMA.columns(*SERVING_ROLES):
            if column.length == "num_candidates":
                value = np.asarray(original[column.name])
                shape = (count, *value.shape[1:])
                request_[column.name] = np.resize(value, shape).tolist()
        checked = CHECKER.check(request_)
        assert checked["num_candidates"] == count
        assert checked["item_dense"].shape == (count, 2)
        assert checked["item_id"].dtype == np.int64


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("item_id", [1.5, 2, 3], "must hold int64, holds 1.5"),
        ("item_id", ["1", "2", "3"], "must hold int64, holds '1'"),
        ("item_id", [1, None, 3], "must hold int64, holds None"),
        (
            "item_id",
            [1, 2**63, 3],
            "must hold int64, holds 9223372036854775808",
        ),
        ("item_id", [True, False, True], "must hold int64, holds True"),
        ("item_id", [1, -2, 3], "holds -2; ids start at 1"),
        ("item_id", [1, 0, 3], "ids start at 1"),
        ("item_id", [1, 2], "like the others of `num_candidates`"),
        ("item_id", 7, "must have 1 dimensions, has 0"),
        ("item_id", [[1, 2, 3]], "must have 1 dimensions, has 2"),
        ("item_id", [[1], [2, 3]], "lists of different lengths"),
        ("item_id", {"a": 1}, "must have 1 dimensions, has 0"),
        ("item_id", [], "has 3 entries, but `item_id` has none"),
        ("brand_id", [1, 2, 3], "must hold strings, holds int 1"),
        ("brand_id", ["a", "", "c"], "empty string"),
        ("brand_id", [["a"], ["b"], ["c"]], "must have 1 dimensions"),
        ("item_dense", [[1.0, float("nan")]] * 3, "holds nan"),
        ("item_dense", [[1.0, 1e300]] * 3, "holds inf"),
        ("item_dense", [[1.0]] * 3, "must have shape (3, 2)"),
        ("item_dense", [1.0, 2.0, 3.0], "must have 2 dimensions, has 1"),
        ("click_age_seconds", [5.0, 4.0, 3.0, 2.0, 1.0], "newest first"),
        ("click_age_seconds", [-1.0, 0, 1, 2, 3], "holds -1.0 < 0"),
        ("order_age_seconds", [float("inf")] * 2, "holds inf"),
        ("click_item_id", list(range(1, 7)), "others of `click_length`"),
        ("scenario", [1], "must have 0 dimensions, has 1"),
        ("scenario", "x", "must hold int64, holds 'x'"),
        ("session_dense", [1.0, 2.0], "must have shape (3,)"),
        ("click_length", 4, "says 4, but its columns have 5 entries"),
        ("num_candidates", 2, "says 2, but its columns have 3 entries"),
    ],
)
def test_wrong_values_name_the_column(request_, column, value, complaint):
    with pytest.raises(DataError) as caught:
        CHECKER.check({**request_, column: value})
    assert complaint in str(caught.value)
    assert column in str(caught.value) or "others of" in str(caught.value)


def test_histories_beyond_the_schema_are_refused(request_):
    for column in SCHEMA.columns():
        if column.length == "order_length":
            request_[column.name] = np.resize(request_[column.name], 7)
    request_["order_age_seconds"] = np.arange(7.0)
    with pytest.raises(DataError, match="has 7 entries, more than the schema"):
        CHECKER.check(request_)


def test_misspelt_columns_get_a_hint(request_):
    request_["clik_item_id"] = request_.pop("click_item_id")
    with pytest.raises(DataError, match="did you mean `click_item_id`"):
        CHECKER.check(request_)


def test_all_missing_columns_are_named(request_):
    for name in ("order_item_id", "order_age_seconds"):
        del request_[name]
    with pytest.raises(DataError) as caught:
        CHECKER.check(request_)
    assert "`order_item_id`, `order_age_seconds`" in str(caught.value)
    assert "absent history as []" in str(caught.value)


def test_no_request_at_all_is_told():
    with pytest.raises(DataError, match="this is a list"):
        CHECKER.check([1, 2])


def test_samples_pass_for_every_kind_of_column():
    generator = np.random.default_rng(0)
    for schema in (
        SCHEMA,
        small_schema(item_dense=(), session_dense=(), context_columns=()),
    ):
        for length, count in ((0, 1), (3, 2), (99, 99)):
            request = sample_request(schema, generator, length, count)
            checked = RequestChecker(schema).check(request)
            assert checked["click_length"] == min(length, 12)
            assert checked["num_candidates"] == min(count, 7)
