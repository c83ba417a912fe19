"""Impossible requests are refused, suspicious ones named in a warning."""

import numpy as np
import pytest

from jd_tf.data.dataset import write_dataset
from jd_tf.data.summary import write_summary
from jd_tf.data.summary_report import summary_text
from jd_tf.data.suspicions import Suspicions
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import Behavior, DataError, Objective
from tests.experiments.programs import tiny_schema
from tests.requests import random_requests, small_schema

SCHEMA = tiny_schema(Objective("click"), Objective("order", given="click"))


def _full(count=1, seed=3, schema=SCHEMA):
    """Requests with several candidates and events."""
    requests = [
        r
        for r in random_requests(schema, 40 * count, seed)
        if len(r["item_id"]) > 2 and len(r["click_item_id"]) > 1
    ][:count]
    for number, request in enumerate(requests):
        request["request_id"] = f"{seed}-{number}"
    return requests


def _spoil(**columns):
    (request,) = _full()
    for name, change in columns.items():
        request[name] = change(np.array(request[name], copy=True))
    return request


def _cell(place, value):
    def change(array):
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            _spoil(labels=_cell(1, (0.0, 1.0))),
            r"'3-0'.*`labels` holds `order` without `click`.*place 1",
        ),
        (
            _spoil(item_id=lambda ids: _cell(2, ids[0])(ids)),
            r"'3-0'.*`item_id` holds \d+ more than once, at places \[0, 2\]",
        ),
    ],
)
def test_impossible_requests_are_refused(request_, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write_dataset(tmp_path / "data", SCHEMA, {"train": [request_]})
    assert not (tmp_path / "data").exists()


def test_an_order_may_count_where_its_click_is_unknown():
    request = _spoil(
        labels=_cell(1, (0.0, 1.0)), label_weights=_cell(1, (0.0, 1.0))
    )
    RequestValidator(SCHEMA).check(request)


def test_a_client_may_rank_an_item_twice():
    request = _spoil(item_id=lambda ids: _cell(2, ids[0])(ids))
    columns = ("item_id", "click_item_id", "click_event_time", "request_time")
    served = {name: request[name] for name in columns}
    RequestValidator(SCHEMA, ("history", "context", "candidate")).check(served)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": _full(2) + _full(1)}, "'3-0': split `train` has a request"),
        ({"train": _full(), "test": []}, "split `test` has no request"),
        ({"trian": _full()}, "there is no split `trian`: a split is train, "),
        ({"": _full()}, "there is no split ``"),
    ],
)
def test_impossible_splits_are_refused(splits, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write_dataset(tmp_path / "data", SCHEMA, splits)
    assert not (tmp_path / "data").exists()


def _lines(schema=SCHEMA, **splits):
    found, validator = Suspicions(schema), RequestValidator(schema)
    for split, requests in splits.items():
        for request in requests:
            found.add(split, validator.check(request))
    return found.lines()


def _later(requests, seconds):
    for request in requests:
        for name in ("request_time", "click_event_time"):
            request[name] = np.asarray(request[name]) + seconds
    return requests


def test_ordinary_data_are_not_suspected():
    later = _later(_full(30, 2), 10_000)
    test = _later(_full(30, 3), 20_000)
    assert not _lines(train=_full(30, 1), validation=later, test=test)


def test_the_requests_own_event_in_the_history_is_named():
    requests = _full(30)
    clicked = 0
    for request in requests:
        places = np.flatnonzero(request["labels"][:, 0])
        if len(places):
            # What a join without a strict "before" makes.
            request["click_item_id"][0] = request["item_id"][places[0]]
            request["click_event_time"][0] = request["request_time"]
            clicked += 1
    lines = _lines(train=requests)
    # Orders are of clicked items, so those are met, too.
    line = next(line for line in lines if "of `click` are" in line)
    positives = sum(int(r["labels"][:, 0].sum()) for r in requests)
    assert line.startswith(f"train: {clicked} of {positives} positives")
    assert "history `click`" in line
    assert "event to predict" in line


def test_events_of_the_same_second_that_tell_nothing_are_not_suspected():
    requests = _full(60)
    generator = np.random.default_rng(1)
    for request in requests:
        request["click_item_id"][0] = generator.choice(request["item_id"])
        request["click_event_time"][0] = request["request_time"]
    assert not _lines(train=requests)


def test_a_test_split_before_the_training_is_named():
    train, test = _later(_full(30, 1), 5000), _full(20, 2)
    (line,) = _lines(train=train, test=test)
    assert line.startswith("test: 100% of its requests are before")
    (line,) = _lines(train=train, validation=test)
    assert line.startswith("validation: 100% of its requests are before")
    # Logs without a clock have nothing to compare.
    for request in (*train, *test):
        request["click_event_time"] = (
            request["click_event_time"] - request["request_time"]
        )
        request["request_time"] = 0
    assert not _lines(train=train, test=test)


def test_the_same_requests_in_two_splits_are_named():
    train = _full(20, 1)
    test = _later(_full(20, 1), 10_000)
    (line,) = _lines(train=train, test=test)
    assert line.startswith("test: 20 request ids are in train, too")


def test_ids_that_are_no_text_are_named_all_the_same(tmp_path, caplog):
    splits = {"train": _full(2, 1), "test": _later(_full(2, 2), 10_000)}
    for requests in splits.values():
        for number, request in enumerate(requests):
            request["request_id"] = bytes([0xFE + number])
    write_dataset(tmp_path / "data", SCHEMA, splits)
    assert "test: 2 request ids are in train, too" in caplog.text


@pytest.mark.parametrize(
    ("one", "other"), [(1, "1"), (b"1", "1"), (1, np.bytes_(b"1"))]
)
def test_an_id_is_what_is_stored_of_it(tmp_path, one, other):
    requests = _full(2)
    requests[0]["request_id"], requests[1]["request_id"] = one, other
    with pytest.raises(DataError, match="request '1': split `train` has a"):
        write_dataset(tmp_path / "data", SCHEMA, {"train": requests})
    assert not (tmp_path / "data").exists()


def test_a_folder_has_a_split(tmp_path):
    with pytest.raises(DataError, match="there is no split to write"):
        write_dataset(tmp_path / "data", SCHEMA, {})


def test_milliseconds_are_named():
    schema = small_schema(
        behaviors=(Behavior("click", max_length=12, dwell=True),),
        objectives=(Objective("click"),),
    )
    requests = _full(20, schema=schema)
    assert not _lines(schema, train=requests)
    for request in requests:
        ages = request["request_time"] - request["click_event_time"]
        days = (ages + 1) * 86_400_000
        request["click_event_time"] = request["request_time"] - days
        request["click_dwell_seconds"] = request["click_dwell_seconds"] * 1e4
    time, dwell = _lines(schema, train=requests)
    assert time.startswith("`click_event_time`: ")
    assert dwell.startswith("`click_dwell_seconds`: ")
    assert "first: request '3-0'): are these milliseconds?" in time


def test_warnings_are_logged_and_stand_first_in_the_summary(tmp_path, caplog):
    train, test = _later(_full(30, 1), 5000), _full(20, 2)
    splits = {"train": train, "validation": _later(_full(9, 4), 9000)}
    write_dataset(tmp_path / "data", SCHEMA, {**splits, "test": test})
    assert "test: 100% of its requests are before" in caplog.text
    summary = write_summary(tmp_path / "data", warnings=["Look here."])
    assert summary_text(summary).splitlines()[2] == "WARNING: Look here."
