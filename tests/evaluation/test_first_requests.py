"""A smaller data folder holds the first requests, and stays readable."""

import numpy as np
import pytest

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import read_schema, split_files, write_dataset
from jd_tf.evaluation.ablations.first_requests import first_requests
from jd_tf.schema import DataError
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "whole"
    splits = {
        "train": random_requests(SCHEMA, 31, seed=1),
        "validation": random_requests(SCHEMA, 9, seed=2),
        "test": random_requests(SCHEMA, 8, seed=3),
    }
    write_dataset(folder, SCHEMA, splits, num_shards=3)
    return folder


def _ids(folder, split):
    batches = numpy_batches(folder, split, 4, keys=True)
    return sorted(int(i) for batch in batches for i in batch["request_id"])


def test_the_first_in_the_order_they_were_written(data, tmp_path):
    folder = first_requests(
        data, tmp_path / "few", {"train": 11, "validation": 0, "test": 99}
    )
    assert _ids(folder, "train") == list(range(11))
    assert _ids(folder, "validation") == list(range(9))
    assert _ids(folder, "test") == list(range(8))
    assert read_schema(folder) == SCHEMA
    one, other = (
        next(iter(numpy_batches(f, "train", 1)))["item_id"]
        for f in (data, folder)
    )
    np.testing.assert_array_equal(one, other)
    assert len(split_files(folder, "train")) == 3


def test_it_is_made_once_and_checked_after_that(data, tmp_path):
    folder = first_requests(data, tmp_path / "few", {"train": 5})
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    first_requests(data, folder, {"train": 5})
    assert before == {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    with pytest.raises(DataError, match="holds 5 requests of split `train`"):
        first_requests(data, folder, {"train": 6})


def test_what_cannot_be_done_is_named(data, tmp_path):
    with pytest.raises(DataError, match="no requests of split `late`"):
        first_requests(data, tmp_path / "a", {"late": 5})
    with pytest.raises(DataError, match="cannot take -1"):
        first_requests(data, tmp_path / "a", {"train": -1})
    assert not list(tmp_path.iterdir())
