"""Requests are checked where they enter; errors name the column."""

import numpy as np
import pytest

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import UNKNOWN_DWELL, DataError, IdColumn, Objective
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()


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
    assert checked["click_age_seconds"].dtype == np.float32
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
        (lambda r: r.pop("click_item_id"), "`click_item_id` is missing"),
        (lambda r: r.pop("order_item_id"), "`order_item_id` is missing"),
        (spoil("click_item_id", 0), "`click_item_id` holds 0; ids start at 1"),
        (spoil("item_id", -3), "`item_id` holds -3"),
        (spoil("click_age_seconds", np.nan), "`click_age_seconds` holds nan"),
        (spoil("click_age_seconds", -1.0), "`click_age_seconds` holds -1.0"),
        (spoil("click_age_seconds", 1e9), "newest first"),
        (spoil("click_dwell_seconds", np.inf), "holds inf"),
        (spoil("click_dwell_seconds", -2.0), "holds -2.0 < 0"),
        (spoil("labels", 0.5, (0, 0)), "`labels` holds 0.5"),
        (spoil("label_weights", -1.0, (0, 0)), "`label_weights` holds -1.0"),
        (spoil("position", 10), "`position` holds 10, the schema allows 0 to"),
        (replace("scenario", 1.5), "`scenario` must hold whole numbers"),
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
