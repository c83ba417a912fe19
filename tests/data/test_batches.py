"""Requests survive the disk; what is damaged is named."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.batches import (
    numpy_batches,
    parse_requests,
    read_batches,
    traced_once,
)
from jd_tf.data.dataset import new_folder, seal, shard_name, write_dataset
from jd_tf.data.records import RequestWriter, count_records
from jd_tf.schema import DataError, IdColumn, Schema
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
COUNT = 57


@pytest.fixture(scope="module")
def requests():
    return random_requests(SCHEMA, COUNT)


@pytest.fixture
def folder(tmp_path, requests):
    path = tmp_path / "with a blank"
    splits = {"train": requests, "test": requests[:5]}
    write_dataset(path, SCHEMA, splits, num_shards=3)
    return path


def read_all(folder, split="train", **options):
    return list(numpy_batches(folder, split, 8, **options))


def by_request(batches):
    """Unpads batches with nothing but the lengths."""
    found = {}
    for batch in batches:
        for row, request_id in enumerate(batch["request_id"]):
            request = {}
            for column in SCHEMA.columns():
                value = batch[column.name][row]
                if column.ragged:
                    value = value[: batch[column.length][row]]
                request[column.name] = value
            found[int(request_id)] = request
    return found


def test_what_is_read_is_what_was_written(folder, requests):
    found = by_request(read_all(folder, keys=True))
    assert len(found) == COUNT
    for number, request in enumerate(requests):
        for name, value in request.items():
            if name in ("request_id", "user_id"):
                continue
            if name.endswith("brand_id"):
                value = [brand.encode() for brand in value]
            if name.endswith("tag_id"):
                value = [[*item, *[0] * (3 - len(item))] for item in value]
                value = np.reshape(value, (-1, 3))
            np.testing.assert_array_equal(
                found[number][name],
                np.asarray(value, found[number][name].dtype),
                name,
            )


def test_one_graph_serves_batches_of_all_widths(folder):
    traces = []

    def width(batch):
        traces.append(batch)
        return tf.shape(batch["item_id"])

    batches = read_batches(folder, "train", 2)
    graph = traced_once(width, batches)
    shapes = {tuple(graph(batch).numpy()) for batch in batches}
    assert len(shapes) > 2
    assert len(traces) == 1


def test_a_sample_is_spread_over_the_split(folder):
    whole = list(by_request(read_all(folder, keys=True)))
    assert list(by_request(read_all(folder, keys=True, every=4))) == whole[::4]


def test_padding_is_zero_and_shapes_follow_the_schema(folder):
    for batch in read_all(folder):
        for column in SCHEMA.columns():
            if column.name not in batch:
                continue
            array = batch[column.name]
            assert array.ndim == len(column.shape)
            assert array.dtype.kind == (
                "O" if column.dtype == "string" else np.dtype(column.dtype).kind
            )
            if column.ragged:
                lengths = batch[column.length]
                assert array.shape[1] == lengths.max()
                real = np.arange(array.shape[1]) < lengths[:, None]
                assert not array[~real].astype(bool).any()


def test_keys_reward_and_oracle_come_only_when_asked(tmp_path):
    schema = small_schema(oracle=True, reward=True)
    rows = random_requests(schema, 3)
    write_dataset(tmp_path / "d", schema, {"test": rows})
    plain = next(iter(read_batches(tmp_path / "d", "test", 3)))
    extra = {
        "request_id",
        "user_id",
        "reward",
        "oracle_probabilities",
        "oracle_relevance",
    }
    assert not extra & set(plain)
    full = next(
        iter(
            read_batches(
                tmp_path / "d", "test", 3, keys=True, reward=True, oracle=True
            )
        )
    )
    assert set(full) - set(plain) == extra


def item_ids(batches):
    return [batch["item_id"].tolist() for batch in batches]


def test_order_is_a_function_of_seed_and_epoch(folder):
    first = item_ids(read_all(folder, shuffle_seed=1, epoch=2))
    assert first == item_ids(read_all(folder, shuffle_seed=1, epoch=2))
    assert first != item_ids(read_all(folder, shuffle_seed=1, epoch=3))
    assert first != item_ids(read_all(folder, shuffle_seed=2, epoch=2))


def test_order_does_not_depend_on_the_seed_of_the_program(folder):
    """Or a resumed run would see some requests twice and others never."""
    orders = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        options = {"shuffle_seed": 1, "bucket_batches": 2}
        orders.append(item_ids(read_all(folder, **options)))
    assert orders[0] == orders[1]


def test_a_position_is_reached_by_skipping(folder):
    whole = item_ids(read_all(folder, shuffle_seed=1))
    rest = item_ids(read_all(folder, shuffle_seed=1, skip_batches=4))
    assert rest == whole[4:]


def test_another_schema_is_refused(folder):
    with pytest.raises(DataError, match="max_candidates"):
        read_batches(folder, "train", 8, schema=small_schema(max_candidates=9))


def test_a_column_that_is_not_there_is_no_empty_history(folder):
    """The data's schema claims a column that its records lack."""
    fields = SCHEMA.to_json()
    fields["context_columns"].append({"name": "weather", "num_buckets": 5})
    Schema.from_json(fields).save(folder / "schema.json")
    with pytest.raises(DataError, match="record 0: no column `weather`"):
        read_batches(folder, "train", 8)


def test_records_of_ages_are_refused(tmp_path, requests):
    """As 0.2 wrote them; the message names what makes them anew."""
    path = tmp_path / "d"
    write_dataset(path, SCHEMA, {"train": requests[:2]}, num_shards=1)
    shard = path / shard_name("train", 0, 1)
    old = shard.read_bytes()
    records = [bytes(r.numpy()) for r in tf.data.TFRecordDataset(str(shard))]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in records:
            example = tf.train.Example.FromString(record)
            feature = example.features.feature
            for name in ("click", "order"):
                del feature[f"{name}_event_time"]
                feature[f"{name}_age_seconds"].float_list.value.append(1.0)
            writer.write(example.SerializeToString())
    (path / "manifest.json").unlink()
    assert shard.read_bytes() != old
    with pytest.raises(DataError) as caught:
        read_batches(path, "train", 2)
    message = str(caught.value)
    assert "`click_age_seconds` is of jd_tf 0.2" in message
    assert "python -m experiments.make_data" in message


@pytest.mark.parametrize(
    "name", ["click_category_id", "click_tag_id", "click_tag_id/counts"]
)
def test_a_history_column_missing_further_on_is_found(tmp_path, requests, name):
    """Not in the first record, where a check of the keys would find it."""
    path = tmp_path / "d"
    write_dataset(path, SCHEMA, {"train": requests[:6]}, num_shards=1)
    shard = path / shard_name("train", 0, 1)
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(shard))]
    victim = next(i for i in range(1, 6) if any(requests[i]["click_tag_id"]))
    example = tf.train.Example.FromString(records[victim])
    del example.features.feature[name]
    records[victim] = example.SerializeToString()
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in records:
            writer.write(record)
    seal(path, SCHEMA)
    with pytest.raises(
        DataError, match=f"record {victim}: .*`{name.split('/')[0]}`"
    ):
        read_all(path)


def test_values_are_ragged_on_disk(tmp_path, requests):
    for count in (1, 6):
        with RequestWriter(tmp_path / "r", SCHEMA) as writer:
            for request in requests[:count]:
                writer.write(request)
    for raw, request in zip(
        tf.data.TFRecordDataset(str(tmp_path / "r")), requests, strict=False
    ):
        feature = tf.train.Example.FromString(raw.numpy()).features.feature
        for name in ("tag_id", "click_tag_id"):
            items = list(request[name])
            values = [value for item in items for value in item]
            assert feature[name].int64_list.value == values
            counts = feature[f"{name}/counts"].int64_list.value
            assert counts == [len(item) for item in items]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, 1], "`tag_id` disagrees with `num_candidates`"),
        ([1, 1, 1], "`tag_id` disagrees with `tag_id/counts`"),
        ([-1, 2, 3], "`tag_id` holds fewer than 0 or more than 3 values"),
        ([0, 0, 4], "`tag_id` holds fewer than 0 or more than 3 values"),
    ],
)
def test_counts_that_cannot_be_are_named(counts, message):
    columns = [
        c for c in SCHEMA.columns() if c.name in ("tag_id", "num_candidates")
    ]
    example = tf.train.Example()
    feature = example.features.feature
    feature["num_candidates"].int64_list.value.append(3)
    feature["tag_id"].int64_list.value.extend([4, 5, 6, 7])
    feature["tag_id/counts"].int64_list.value.extend(counts)
    records = tf.constant([example.SerializeToString()])
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        parse_requests(records, columns)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_shards_are_named(folder, keep):
    shard = folder / shard_name("train", 1, 3)
    data = shard.read_bytes()
    shard.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(DataError, match=r"train-00001.*truncated"):
        read_batches(folder, "train", 8)
    (folder / "manifest.json").unlink()
    if keep:
        with pytest.raises(DataError, match=r"train-00001.*record \d+"):
            read_batches(folder, "train", 8)


def test_a_flipped_byte_is_named(folder):
    shard = folder / shard_name("train", 1, 3)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"train-00001.*record \d+"):
        read_all(folder)


def test_missing_shard_split_and_folder_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="no requests of split `dev`"):
        read_batches(folder, "dev", 8)
    with pytest.raises(DataError, match="no such folder"):
        read_batches(tmp_path / "nowhere", "train", 8)
    (folder / shard_name("train", 0, 3)).unlink()
    with pytest.raises(DataError, match=r"train-00000.*missing"):
        read_batches(folder, "train", 8)


def test_writing_is_whole_or_not_at_all(tmp_path, requests):
    bad = {**requests[1], "labels": requests[1]["labels"] + 0.5}
    path = tmp_path / "d"
    with pytest.raises(DataError, match=r"request 1: column `labels` holds"):
        write_dataset(path, SCHEMA, {"train": [requests[0], bad]})
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_is_left_alone(tmp_path, requests):
    path = tmp_path / "d"
    path.mkdir()
    (path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        write_dataset(path, SCHEMA, {"train": requests})
    assert (path / "mine.txt").read_text() == "mine"
    write_dataset(path, SCHEMA, {"train": requests}, overwrite=True)
    assert not (path / "mine.txt").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d"]


def test_a_killed_writer_leaves_no_folder(tmp_path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from jd_tf.data.dataset import new_folder\n"
        "with new_folder(Path(sys.argv[1]) / 'd') as f:\n"
        "    (f / 'a').write_text('a'); os.kill(os.getpid(), 9)\n"
    )
    result = subprocess.run([sys.executable, "-c", program, tmp_path])
    assert result.returncode == -9
    assert not (tmp_path / "d").exists()
    (left,) = tmp_path.iterdir()
    # Another folder's, and one that is still being written, stay.
    with new_folder(tmp_path / "d.b") as other, new_folder(tmp_path / "d"):
        assert other.is_dir()
        assert not left.exists()
        with new_folder(tmp_path / "d.b"):
            assert other.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "d.b"]


def test_new_folder_keeps_the_old_one_on_failure(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("old")

    def fail():
        with new_folder(tmp_path / "d", overwrite=True) as new:
            (new / "a").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "d" / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_records_are_counted_without_reading_them(tmp_path, requests):
    path = tmp_path / "a.tfrecord"
    with RequestWriter(path, SCHEMA) as writer:
        for request in requests:
            writer.write(request)
    assert count_records(path) == COUNT == writer.num_requests


def test_the_manifest_counts(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    train = [v["records"] for k, v in manifest.items() if "train" in k]
    assert sum(train) == COUNT
    assert len(train) == 3


def test_parsing_is_the_same_bare_and_inside_a_pipeline(folder):
    columns = SCHEMA.columns()
    shard = str(folder / shard_name("train", 0, 3))
    records = tf.stack(list(tf.data.TFRecordDataset(shard)))
    bare = parse_requests(records, columns)
    inside = next(
        iter(
            tf.data.Dataset.from_tensors(records).map(
                lambda r: parse_requests(r, columns)
            )
        )
    )
    for name, tensor in bare.items():
        np.testing.assert_array_equal(tensor, inside[name], name)


def test_empty_histories_keep_their_inner_axis(tmp_path, requests):
    nobody = next(r for r in requests if not len(r["click_item_id"]))
    write_dataset(tmp_path / "d", SCHEMA, {"test": [nobody]})
    (batch,) = read_all(tmp_path / "d", "test")
    assert batch["click_item_id"].shape == (1, 0)
    assert batch["click_action_counts"].shape == (1, 0, 2)


def test_string_ids_are_read(tmp_path):
    schema = small_schema(
        item_columns=(IdColumn("item_id", dtype="string", num_buckets=9),)
    )
    rows = random_requests(schema, 4)
    write_dataset(tmp_path / "d", schema, {"test": rows}, num_shards=1)
    (batch,) = read_all(tmp_path / "d", "test")
    assert batch["item_id"][0, 0] == rows[0]["item_id"][0].encode()
