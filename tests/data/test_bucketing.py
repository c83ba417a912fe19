"""Training batches of requests of like size."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import write_dataset
from tests.data.test_batches import (
    COUNT,
    SCHEMA,
    by_request,
    item_ids,
    read_all,
)
from tests.requests import random_requests

REQUESTS = random_requests(SCHEMA, COUNT)


@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "d", SCHEMA, {"train": REQUESTS}, num_shards=3)
    return tmp_path / "d"


@pytest.mark.parametrize("window", [1, 3, 100])
def test_buckets_only_change_the_order_and_save_padding(folder, window):
    options = {"shuffle_seed": 1, "keys": True}
    plain = read_all(folder, **options)
    buckets = read_all(folder, bucket_batches=window, **options)
    sizes = [len(batch["labels"]) for batch in buckets]
    assert sizes == [len(batch["labels"]) for batch in plain]
    assert sizes[-1] == COUNT % 8  # a window with a smaller batch at its end
    found, before = by_request(buckets), by_request(plain)
    assert found.keys() == before.keys() == set(range(COUNT))
    for number, request in found.items():
        for name, value in request.items():
            np.testing.assert_array_equal(value, before[number][name], name)

    def cells(batches):
        return sum(
            array.size
            for batch in batches
            for array in batch.values()
            if array.ndim > 1
        )

    assert cells(buckets) < cells(plain) or window == 1

    def members(batches):
        return [set(batch["request_id"].tolist()) for batch in batches]

    # A window sorts its own requests and takes none from another.
    for start in range(0, len(sizes), window):
        here = slice(start, start + window)
        assert set().union(*members(buckets[here])) == set().union(
            *members(plain[here])
        )


def test_buckets_are_a_function_of_seed_and_epoch(folder):
    def read(**options):
        return item_ids(read_all(folder, bucket_batches=3, **options))

    first = read(shuffle_seed=1, epoch=2)
    assert first == read(shuffle_seed=1, epoch=2)
    assert read(shuffle_seed=1, epoch=2, skip_batches=4) == first[4:]
    assert first != read(shuffle_seed=1, epoch=3)
    assert first != read(shuffle_seed=2, epoch=2)


@pytest.mark.slow
def test_batches_of_like_size_come_in_no_fixed_order(tmp_path):
    """Neither the short ones first nor every window alike."""
    requests = [
        {**request, "request_id": number}
        for number, request in enumerate(REQUESTS * 8)
    ]
    write_dataset(tmp_path / "d", SCHEMA, {"train": requests})
    sizes = {}
    for path in (tmp_path / "d").glob("*.tfrecord"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            (key,) = example.features.feature["request_id"].bytes_list.value
            sizes[key] = len(record)
    batches = numpy_batches(
        tmp_path / "d",
        "train",
        8,
        shuffle_seed=1,
        bucket_batches=8,
        keys=True,
    )
    ranges = [
        sorted(sizes[key] for key in batch["request_id"]) for batch in batches
    ]
    orders = set()
    for start in range(0, len(ranges) - 7, 8):
        window = ranges[start : start + 8]
        order = sorted(range(8), key=lambda n, window=window: window[n])
        for one, two in itertools.pairwise(order):
            assert window[one][-1] <= window[two][0]
        orders.add(tuple(order))
    assert len(orders) == len(ranges) // 8
    assert tuple(range(8)) not in orders
