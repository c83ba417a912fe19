"""Records of a data folder as plain values, to compare with."""

import itertools

import numpy as np
import tensorflow as tf

from jd_tf.data.dataset import read_schema, split_files

SPLITS = ("train", "validation", "test")


def read_requests(folder):
    """Request id -> split and columns."""
    schema, requests = read_schema(folder), {}
    for split in SPLITS:
        for path in split_files(folder, split):
            for record in tf.data.TFRecordDataset(str(path)):
                features = tf.train.Example.FromString(record.numpy()).features
                request = {"split": split}
                for column in schema.columns():
                    request[column.name] = decode(features.feature, column)
                name = request.pop("request_id")
                assert name not in requests
                requests[name] = request
    return requests


def decode(features, column):
    """The value of a column as (lists of) plain values."""
    feature = features[column.name]
    values = list(getattr(feature, feature.WhichOneof("kind")).value)
    values = [v.decode() if isinstance(v, bytes) else v for v in values]
    if column.multi_valued:
        rest = iter(values)
        counts = features[column.counts].int64_list.value
        return [list(itertools.islice(rest, count)) for count in counts]
    if column.inner and column.ragged:
        return np.reshape(values, (-1, column.inner)).tolist()
    return values if column.ragged or column.inner else values[0]


def assert_same(made, expected, name):
    """Compares the columns of one request; floats as float32."""
    for column, value in expected.items():
        found = made[column]
        if column.endswith(("dense", "labels", "weights", "counts", "seconds")):
            np.testing.assert_array_equal(
                np.array(found, np.float32).reshape(-1),
                np.array(value, np.float32).reshape(-1),
                f"{name}: {column}",
            )
        else:
            assert found == value, f"{name}: {column}"
