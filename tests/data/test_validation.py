"""Requests are checked where they enter; errors name the column."""

import dataclasses
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import (
    SERVING_ROLES,
    UNKNOWN_DWELL,
    DataError,
    IdColumn,
    Objective,
)
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
SERVED = RequestValidator(SCHEMA, SERVING_ROLES)


def a_request(schema=SCHEMA):
    """One with clicks and several candidates, so that all can be spoilt."""
    return next(
        r
        for r in random_requests(schema, 50)
        if len(r["click_item_id"]) > 3 and len(r["item_id"]) > 3
    )


def test_a_good_request_is_typed_and_counted():
    request = a_request()
    checked = RequestValidator(SCHEMA).check(request)
    assert set(checked) == {c.name for c in SCHEMA.columns()}
    assert checked["click_length"] == len(request["click_item_id"])
    assert checked["num_candidates"] == len(request["item_id"])
    assert checked["click_event_time"].dtype == np.int64
    assert checked["item_id"].dtype == np.int64
    assert checked["request_id"].item() == str(request["request_id"]).encode()


def spoil(name, value, index=(0,)):
    def change(request):
        array = np.array(request[name], copy=True)
        array = array.astype(object) if isinstance(value, str) else array
        array[index] = value
        request[name] = array

    return change


def replace(name, value):
    return lambda request: request.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("click_item_id"), "missing: `click_item_id`"),
        (lambda r: r.pop("order_item_id"), "missing: `order_item_id`"),
        (spoil("click_item_id", 0), "`click_item_id` holds 0; ids start at 1"),
        (spoil("item_id", -3), "`item_id` holds -3"),
        (spoil("click_event_time", 10**12), "are these milliseconds"),
        (spoil("click_event_time", 10**10), "after `request_time` 17"),
        (spoil("click_event_time", 0), "newest first"),
        (replace("request_time", 2**63 - 1), "holds 9223372036854775807, bey"),
        (replace("request_time", -(2**63)), "holds -9223372036854775808, bey"),
        (replace("request_time", 1.7e9), "must hold int64, holds 17"),
        (replace("request_time", 0), "`click_event_time` holds 1"),
        (spoil("click_dwell_seconds", np.inf), "holds inf"),
        (spoil("click_dwell_seconds", -2.0), "holds -2.0 < 0"),
        (spoil("labels", 0.5, (0, 0)), "`labels` holds 0.5"),
        (spoil("label_weights", -1.0, (0, 0)), "`label_weights` holds -1.0"),
        (spoil("position", 2**32 + 3), "`position` holds 4294967299, beyond"),
        (spoil("position", -(2**32) + 3), "`position` holds -4294967293, bey"),
        (spoil("position", 10), "`position` holds 10, the schema allows 0 to"),
        (replace("scenario", 1.5), "`scenario` must hold int64, holds 1.5"),
        (replace("scenario", "feed"), "`scenario` must hold int64"),
        (replace("session_dense", [1.0]), r"must have shape \(3,\)"),
        (replace("click_category_id", [1]), "`click_category_id` must have"),
        (replace("click_action_counts", []), "`click_action_counts` must"),
        (replace("item_id", []), "`item_id` is empty"),
        (replace("user_id", 1.5), "`user_id` must hold strings"),
        (spoil("brand_id", ""), "`brand_id` holds an empty string"),
    ],
)
def test_bad_values_are_named(change, message):
    request = a_request()
    change(request)
    with pytest.raises(DataError, match=message):
        RequestValidator(SCHEMA).check(request)


def test_unknown_dwell_is_no_error():
    request = a_request()
    spoil("click_dwell_seconds", UNKNOWN_DWELL)(request)
    checked = RequestValidator(SCHEMA).check(request)
    assert checked["click_dwell_seconds"][0] == UNKNOWN_DWELL


def test_a_text_may_be_empty_and_an_id_not():
    title = IdColumn("title", "string", num_buckets=9, text=True)
    schema = small_schema(item_columns=(*SCHEMA.item_columns, title))
    request = a_request()
    for name in ("title", "click_title", "order_title"):
        brands = request[name.replace("title", "brand_id")]
        request[name] = [""] * len(brands)
    checked = RequestValidator(schema).check(request)
    assert checked["title"].tolist() == [b""] * len(request["title"])


def test_too_long_a_history_is_refused():
    request = a_request()
    for column in SCHEMA.columns():
        if column.length == "order_length":
            inner = (column.inner,) if column.inner else ()
            kind = object if column.dtype == "string" else column.dtype
            request[column.name] = np.ones((7, *inner), kind)
            if kind is object:
                request[column.name][:] = "b1"
    with pytest.raises(DataError, match="7 entries, more than the schema's 6"):
        RequestValidator(SCHEMA).check(request)


def test_cells_outside_a_sample_space_must_weigh_nothing():
    schema = small_schema(
        objectives=(
            Objective("click"),
            Objective("long_view", sample_space="click"),
        )
    )
    request = a_request(schema)
    request["labels"][:] = [[0.0, 0.0]]
    with pytest.raises(DataError, match="`long_view` counts an impression"):
        RequestValidator(schema).check(request)
    request["label_weights"][:, 1] = 0.0
    RequestValidator(schema).check(request)


def plain(request):
    """As JSON has it: nested lists."""
    as_list = {
        name: value.tolist() if hasattr(value, "tolist") else value
        for name, value in request.items()
    }
    return json.loads(json.dumps(as_list))


@pytest.fixture
def request_():
    """Five clicks, two orders, three candidates; no keys and no labels."""
    lengths = {"click_length": 5, "order_length": 2, "num_candidates": 3}
    found = [
        r
        for r in random_requests(SCHEMA, 200)
        if len(r["click_item_id"]) >= 5
        and len(r["order_item_id"]) >= 2
        and len(r["item_id"]) >= 3
    ]
    return plain(
        {
            c.name: found[0][c.name][: lengths[c.length]]
            if c.ragged
            else found[0][c.name]
            for c in SCHEMA.columns(*SERVING_ROLES)
            if c.name not in lengths
        }
    )


def test_served_columns_are_typed_and_no_others():
    for request in random_requests(SCHEMA, 20):
        checked = SERVED.check(request)
        columns = SCHEMA.columns(*SERVING_ROLES)
        assert list(checked) == [column.name for column in columns]
        for column in columns:
            array = checked[column.name]
            is_text = column.dtype == "string"
            assert array.dtype == (object if is_text else column.dtype)
            if column.ragged:
                assert len(array) == checked[column.length]
        for name in ("item_id", "click_event_time", "scenario"):
            np.testing.assert_allclose(checked[name], request[name], 1e-6)


def test_lists_are_as_good_as_arrays():
    request = random_requests(SCHEMA, 1)[0]
    from_arrays, from_lists = map(SERVED.check, (request, plain(request)))
    for name, array in from_arrays.items():
        np.testing.assert_array_equal(array, from_lists[name])


def test_keys_and_labels_are_not_needed(request_):
    assert not {"user_id", "labels", "position"} & set(request_)
    assert SERVED.check(request_)["num_candidates"] == 3


def test_empty_histories_are_empty_lists(request_):
    for column in SCHEMA.columns():
        if column.length == "click_length":
            request_[column.name] = []
    checked = SERVED.check(request_)
    assert checked["click_length"] == 0
    assert checked["click_action_counts"].shape == (0, 2)
    assert checked["order_length"] == 2


def test_any_number_of_candidates_will_do(request_):
    original = dict(request_)
    for count in (0, 1, SCHEMA.max_candidates + 1, 5000):
        for column in SCHEMA.columns(*SERVING_ROLES):
            if column.length == "num_candidates":
                value = itertools.cycle(original[column.name])
                request_[column.name] = list(itertools.islice(value, count))
        checked = SERVED.check(request_)
        assert checked["num_candidates"] == count
        assert checked["item_dense"].shape == (count, 2)
        assert checked["item_id"].dtype == np.int64


@pytest.mark.parametrize(
    ("column", "value", "message"),
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
        ("item_id", [], "like the others of `num_candidates`, has (3,)"),
        ("brand_id", [1, 2, 3], "must hold strings, holds int 1"),
        ("brand_id", ["a", "", "c"], "empty string"),
        ("brand_id", [["a"], ["b"], ["c"]], "must have 1 dimensions"),
        ("item_dense", [[1.0, float("nan")]] * 3, "holds nan"),
        ("item_dense", [[1.0, 1e300]] * 3, "holds inf"),
        ("item_dense", [[1.0]] * 3, "must have shape (3, 2)"),
        ("item_dense", [1.0, 2.0, 3.0], "must have 2 dimensions, has 1"),
        ("click_event_time", [1, 2, 3, 4, 5], "newest first, times falling"),
        ("click_event_time", [9_999_999_999, 3, 2, 1, 0], "after `request_t"),
        ("click_event_time", [1_700_000_000_000] * 5, "are these millisec"),
        ("order_event_time", [0, -(2**63)], "holds -9223372036854775808"),
        ("order_event_time", [1.0, 0.5], "must hold int64, holds 1.0"),
        ("request_time", 2**63, "must hold int64, holds 9223372036854775808"),
        ("request_time", [1], "must have 0 dimensions, has 1"),
        ("click_item_id", list(range(1, 7)), "others of `click_length`"),
        ("tag_id", [[1], 2, []], "must hold a list of values for each item"),
        ("tag_id", ["ab", "", "c"], "must hold a list of values for each"),
        ("tag_id", 7, "must hold a list of values for each item, is 7"),
        ("tag_id", [[1], [[2]], []], "must hold a list of values for each"),
        ("tag_id", np.ones((3, 1, 1)), "must hold a list of values for each"),
        ("tag_id", [[1], []], "like the others of `num_candidates`"),
        ("tag_id", [[], [4, 1, 2, 3], []], "4 values of the item at place 1"),
        ("tag_id", [[], [4, 1, 2, 3], []], "`max_values` 3: [4, 1, 2, 3]; "),
        ("tag_id", [[], [4, -1], []], "holds -1; ids start at 1, 0 pads"),
        ("tag_id", [[], [4, 1.5], []], "must hold int64, holds 1.5"),
        ("tag_id", [[], ["4"], []], "must hold int64, holds '4'"),
        ("tag_id", [[], [None], []], "must hold int64, holds None"),
        ("scenario", [1], "must have 0 dimensions, has 1"),
        ("scenario", "x", "must hold int64, holds 'x'"),
        ("session_dense", [1.0, 2.0], "must have shape (3,)"),
        ("click_length", 4, "is 4, but its columns have 5 entries"),
        ("num_candidates", 2, "is 2, but its columns have 3 entries"),
    ],
)
def test_wrong_values_name_the_column(request_, column, value, message):
    with pytest.raises(DataError) as caught:
        SERVED.check({**request_, column: value})
    assert message in str(caught.value)
    assert column in str(caught.value) or "others of" in str(caught.value)


@pytest.mark.parametrize("dtype", ["int64", "string"])
def test_values_count_once_and_padding_is_none(request_, dtype):
    tag = IdColumn("tag_id", dtype, num_buckets=9, max_values=3)
    columns = (*SCHEMA.item_columns[:-1], tag)
    validator = RequestValidator(
        dataclasses.replace(SCHEMA, item_columns=columns), SERVING_ROLES
    )

    def checked(*items):
        if dtype == "string":
            items = [["" if i == 0 else f"t{i}" for i in one] for one in items]
        values = {"tag_id": items, "click_tag_id": [[]] * 5}
        return validator.check({**request_, **values, "order_tag_id": [[]] * 2})

    given = checked([7, 0, 5, 7, 5, 6], (), [0, 0, 0, 0])["tag_id"]
    np.testing.assert_array_equal(given, checked([7, 5, 6], [], [0])["tag_id"])
    np.testing.assert_array_equal(
        given.astype(bool), [[True] * 3, [False] * 3, [False] * 3]
    )
    again = checked([7, 5, 6], [], [])
    assert again["tag_id"].dtype == (object if dtype == "string" else np.int64)
    assert again["click_tag_id"].shape == (5, 3)


def test_histories_beyond_the_schema_are_refused(request_):
    for column in SCHEMA.columns():
        if column.length == "order_length":
            value = itertools.cycle(request_[column.name])
            request_[column.name] = list(itertools.islice(value, 7))
    request_["order_event_time"] = -np.arange(7)
    with pytest.raises(DataError, match="has 7 entries, more than the schema"):
        SERVED.check(request_)


def test_misspelt_columns_get_a_hint(request_):
    request_["clik_item_id"] = request_.pop("click_item_id")
    with pytest.raises(DataError, match="did you mean `click_item_id`"):
        SERVED.check(request_)


def test_all_missing_columns_are_named(request_):
    for name in ("order_item_id", "order_event_time"):
        del request_[name]
    with pytest.raises(DataError) as caught:
        SERVED.check(request_)
    assert "`order_item_id`, `order_event_time`" in str(caught.value)
    assert "absent history as []" in str(caught.value)


def test_a_list_is_no_request():
    with pytest.raises(DataError, match="this is a list"):
        SERVED.check([1, 2])


def test_long_strings_are_refused_where_there_is_a_limit(request_):
    limited = RequestValidator(SCHEMA, SERVING_ROLES, max_string_bytes=8)
    limited.check(request_)
    for name, value in (("brand_id", ["x" * 9] * 3), ("user_id", "ä" * 5)):
        with pytest.raises(DataError, match=f"`{name}` holds a string of"):
            limited.check({**request_, name: value})


def test_long_values_are_refused_too(request_):
    tag = IdColumn("tag", "string", num_buckets=9, max_values=2)
    schema = dataclasses.replace(
        SCHEMA, item_columns=(*SCHEMA.item_columns, tag)
    )
    limited = RequestValidator(schema, SERVING_ROLES, max_string_bytes=8)
    values = {"tag": [["a", "x" * 9], [], []]}
    values |= {"click_tag": [[]] * 5, "order_tag": [[]] * 2}
    with pytest.raises(DataError, match="`tag` holds a string of 9 bytes"):
        limited.check({**request_, **values})


def test_no_tensorflow_is_loaded():
    code = (
        "import sys, jd_tf.data.validation; print('tensorflow' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout == "False\n"
