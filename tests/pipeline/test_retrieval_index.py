"""The index against argsort, and Keras 2 and 3 in one process."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.metrics.retrieval_metrics import place_metrics
from jd_tf.pipeline.retrieval_index import (
    KINDS,
    RetrievalIndex,
    load_recommenders,
)
from jd_tf.schema import DataError
from jd_tf.serving.signature_names import LOWEST_SCORE

ITEMS, USERS, VECTORS, DIM = 40, 6, 2, 5


def drawn(text=False):
    rng = np.random.default_rng(2)
    item_id = 100 + rng.permutation(ITEMS)
    vectors = rng.normal(size=(ITEMS, DIM)).astype("float32")
    users = rng.normal(size=(USERS, VECTORS, DIM)).astype("float32")
    excluded = rng.choice(item_id, (USERS, 7))
    excluded[:, 4:] = 0
    if text:
        item_id, excluded = (
            np.array(
                [b"i%d" % n if n else b"" for n in ids.flat], object
            ).reshape(ids.shape)
            for ids in (item_id, excluded)
        )
    return item_id, vectors, users, excluded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [False, True])
def test_finds_what_sorting_finds(kind, text):
    item_id, vectors, users, excluded = drawn(text)
    index = RetrievalIndex(item_id.tolist(), vectors, kind)
    ids, scores, found = index.search(
        tf.constant(users), 9, tf.constant(excluded.tolist(), index.item_dtype)
    )
    for row in range(USERS):
        best = {
            item: max(float(user @ vector) for user in users[row])
            for item, vector in zip(item_id, vectors, strict=True)
            if item not in excluded[row]
        }
        order = sorted(best, key=best.get, reverse=True)[:9]
        assert ids[row].numpy().tolist() == order
        np.testing.assert_allclose(
            scores[row], [best[item] for item in order], rtol=1e-5
        )
    assert found.numpy().tolist() == [9] * USERS


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_excluded_never_fills_a_list(kind):
    index = RetrievalIndex([3, 4, 5], np.eye(3), kind)
    ids, scores, found = index.search(
        tf.ones((1, 1, 3)), 4, tf.constant([[4, 9, 3, 0]], tf.int64)
    )
    # There are fewer items than are wanted.
    assert ids.numpy().tolist() == [[5, 0, 0, 0]]
    assert scores.numpy().tolist() == [[1.0, *[np.float32(LOWEST_SCORE)] * 3]]
    assert found.numpy().tolist() == [1]


def test_recall_is_that_of_factorized_top_k():
    """Their metric, of the same vectors, and places by our own counting."""
    rng = np.random.default_rng(7)
    users = rng.normal(size=(30, DIM)).astype("float32")
    vectors = rng.normal(size=(ITEMS, DIM)).astype("float32")
    target = rng.integers(0, ITEMS, 30)
    metrics = load_recommenders().metrics
    theirs = metrics.FactorizedTopK(
        tf.data.Dataset.from_tensor_slices(vectors).batch(16), ks=(1, 10, 20)
    )
    theirs.update_state(tf.constant(users), tf.constant(vectors[target]))
    scores = users @ vectors.T
    own = scores[np.arange(30), target, None]
    found = place_metrics(
        (scores > own).sum(axis=1), np.zeros(30), places=(1, 10, 20)
    )
    ours = [found[f"recall@{k}"].mean() for k in (1, 10, 20)]
    np.testing.assert_allclose([float(m) for m in theirs.result()], ours)
    assert 0 < ours[1] < ours[2] < 1


def test_errors_say_what_is_wrong():
    with pytest.raises(DataError, match="one of"):
        RetrievalIndex([1], [[1.0]], "forest")
    with pytest.raises(DataError, match="at least one item"):
        RetrievalIndex([], np.zeros((0, 2)))


_BOTH = """
import keras, numpy as np, tensorflow as tf
{first}
from jd_tf.pipeline.retrieval_index import RetrievalIndex
index = RetrievalIndex([3, 4], np.eye(2))
none = tf.zeros((1, 0), "int64")
ids, *_ = index.search(tf.constant([[[0.0, 1.0]]]), 1, none)
model = keras.Sequential([keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
print(ids.numpy().tolist(), keras.__version__[0], tf.keras.__name__)
"""


def run(first, **variables):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "TF_USE_LEGACY_KERAS"
    }
    return subprocess.run(
        [sys.executable, "-c", _BOTH.format(first=first)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment, **variables},
    )


def test_both_versions_of_keras_run_side_by_side():
    finished = run("")
    assert finished.stdout.split()[:2] == ["[[4]]", "3"], finished.stderr


@pytest.mark.slow
def test_a_process_that_used_keras_2_says_what_to_set():
    used = "tf.keras.layers"
    finished = run(used)
    assert finished.returncode
    assert "TF_USE_LEGACY_KERAS=1 before the process" in finished.stderr
    finished = run(used, TF_USE_LEGACY_KERAS="1")
    assert finished.stdout.split()[:2] == ["[[4]]", "3"], finished.stderr
