"""Records of a data folder as plain values, to compare with."""

import numpy as np

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import read_schema

SPLITS = ("train", "validation", "test")


def read_requests(folder):
    """Request id -> split and columns; padding cut off."""
    schema, requests = read_schema(folder), {}
    for split in SPLITS:
        for batch in numpy_batches(folder, split, 1, keys=True):
            request = {"split": split}
            for column in schema.columns():
                value = batch[column.name][0]
                if column.multi_valued:
                    value = [
                        [plain(one) for one in item if one not in (0, b"")]
                        for item in value
                    ]
                request[column.name] = plain(value)
            name = request.pop("request_id")
            assert name not in requests
            requests[name] = request
    return requests


def plain(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return [plain(one) for one in value.tolist()]
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


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
