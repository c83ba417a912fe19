"""Requests from every kind of file, and from files that are none."""

import gzip
import json

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.records import RequestWriter
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import SERVING_ROLES, DataError
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client.request_file import read_requests
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()


@pytest.fixture(scope="module")
def requests():
    return random_requests(SCHEMA, 5)


@pytest.fixture(scope="module")
def checked(requests):
    return [
        RequestValidator(SCHEMA, SERVING_ROLES).check(request)
        for request in requests
    ]


def plain(request):
    return {
        name: value.tolist() if hasattr(value, "tolist") else value
        for name, value in request.items()
    }


def assert_read(path, checked):
    read = read_requests(path, SCHEMA)
    assert len(read) == len(checked)
    for mine, theirs in zip(checked, read, strict=True):
        again = RequestValidator(SCHEMA, SERVING_ROLES).check(theirs)
        for name, array in mine.items():
            np.testing.assert_array_equal(array, again[name])
    assert len(read_requests(path, SCHEMA, limit=2)) == min(2, len(checked))


def test_json_of_every_form(tmp_path, requests, checked):
    texts = [json.dumps(plain(request)) for request in requests]
    batch = pad_requests(checked, SCHEMA.columns(*SERVING_ROLES))
    as_text = {
        name: [[i.decode() for i in row] for row in array]
        if array.dtype == object
        else array.tolist()
        for name, array in batch.items()
    }
    path = tmp_path / "requests"
    for text, expected in (
        (texts[0], checked[:1]),
        (f"[{','.join(texts)}]", checked),
        ("\n".join(texts) + "\n\n", checked),
        (json.dumps(plain(requests[1]), indent=2), checked[1:2]),
        (json.dumps(as_text), checked),
    ):
        path.write_text(text, encoding="utf-8")
        assert_read(path, expected)


def write_records(path, requests):
    with RequestWriter(path, SCHEMA) as writer:
        for request in requests:
            writer.write(request)
    return path


def test_records_of_ours(tmp_path, requests, checked):
    path = write_records(tmp_path / "a.tfrecord", requests)
    assert_read(path, checked)
    assert read_requests(path, SCHEMA)[3]["request_id"] == b"3"


def test_cut_records_are_errors(tmp_path, requests):
    path = write_records(tmp_path / "a.tfrecord", requests)
    content = path.read_bytes()
    for share in (0.5, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match=r"a\.tfrecord: record \d is cut"):
            read_requests(path, SCHEMA)


def test_changed_bytes_are_errors(tmp_path, requests):
    path = write_records(tmp_path / "a.tfrecord", requests)
    content = bytearray(path.read_bytes())
    content[-20] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="record 4: not a request"):
        read_requests(path, SCHEMA)


def rewrite(path, change):
    examples = [
        tf.train.Example.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]
    change(examples[1].features.feature)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())


def wrong_type(feature):
    del feature["order_item_id"]
    feature["order_item_id"].float_list.value.append(3.0)


def wrong_count(feature):
    feature["click_action_counts"].float_list.value.append(3.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("order_item_id"), "no column `order_item_id`"),
        (wrong_type, "`order_item_id` holds a float_list, should hold int64"),
        (wrong_count, "`click_action_counts` holds"),
    ],
)
def test_records_of_another_schema_are_errors(
    tmp_path, requests, change, message
):
    path = write_records(tmp_path / "a.tfrecord", requests)
    rewrite(path, change)
    with pytest.raises(DataError) as caught:
        read_requests(path, SCHEMA)
    assert message in str(caught.value)
    assert "record 1" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"[]", "holds no requests"),
        (b'{"item_id": [1, 2', "not JSON"),
        (b'{"a": 1}\n{"a": 2}\n{"a"', "not JSON: line 3"),
        (b"item_id,click\n1,2\n", "not JSON"),
        (b"\xff\xfe\xfd", "neither a TFRecord file nor UTF-8"),
        (gzip.compress(b"{}", mtime=0), "is compressed"),
        (b"[" * 100_000, "not JSON"),
        (b'{"item_id": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_what_is_no_request_file_is_an_error(tmp_path, content, message):
    path = tmp_path / "requests.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_requests(path, SCHEMA)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_files_and_folders_are_errors(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_requests(tmp_path / "none.json", SCHEMA)
    with pytest.raises(DataError, match="is a folder"):
        read_requests(tmp_path, SCHEMA)
