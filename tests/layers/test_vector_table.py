"""VectorTable: exact ids, refreshing, cost."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import TextEncoder, VectorTable
from tests.layers import harness

LAST = 2**63 - 1


def _table(ids, vectors, num_rows=50, **kwargs):
    table = VectorTable(num_rows, np.shape(vectors)[1], **kwargs)
    table.assign(np.asarray(ids), np.asarray(vectors, np.float32))
    return table


def test_equals_a_dictionary():
    rng = np.random.default_rng(0)
    ids = rng.integers(-(2**63), LAST, 40)
    vectors = rng.normal(size=(40, 3)).astype(np.float32)
    vector_of = dict(zip(ids.tolist(), vectors, strict=True))
    near = np.concatenate([ids, ids + 1, [0, LAST, -LAST - 1, 1]])
    mixed = rng.permutation(near).reshape(4, -1)
    found, present = _table(ids, vectors)(mixed)
    assert found.shape == (*mixed.shape, 3)
    for place in np.ndindex(mixed.shape):
        number = int(mixed[place])
        assert present[place] == (number in vector_of)
        expected = vector_of.get(number, np.zeros(3))
        np.testing.assert_array_equal(found[place], expected)
    assert 40 <= np.sum(present) < mixed.size


@pytest.mark.parametrize("kind", [object, str, bytes])
def test_words_are_keys_too(kind):
    words = np.array(["tea", "红茶", "a" * 500])
    if kind is bytes:
        words = np.array([word.encode() for word in words], object)
    table = _table(words.astype(kind), np.eye(3), id_dtype="string")
    ids = np.array([["", "red", "红茶"], ["tea", "a" * 500, "0"]], object)
    found, present = table(ids)
    assert present.numpy().tolist() == [
        [False, False, True],
        [True, True, False],
    ]
    np.testing.assert_array_equal(found[0, 2], [0, 1, 0])
    np.testing.assert_array_equal(found[1, 1], [0, 0, 1])
    assert not np.any(found[0, :2])


def test_an_empty_table_and_a_full_one():
    table = VectorTable(3, 2)
    ids = np.array([-5, 0, 1, 2, 3, LAST])
    found, present = table(ids)
    assert not np.any(found)
    assert not np.any(present)
    table.assign([3, 1, 2], np.arange(6.0).reshape(3, 2))
    assert table(ids)[1].numpy().tolist() == [
        False,
        False,
        True,
        True,
        True,
        False,
    ]
    table.assign(np.zeros(0, np.int64), np.zeros((0, 2)))
    assert not np.any(table(ids)[1])


def test_refreshing_moves_no_other_id():
    rng = np.random.default_rng(1)
    ids = rng.choice(10**9, 30, replace=False) + 1
    vectors = rng.normal(size=(30, 4)).astype(np.float32)
    table = _table(ids, vectors)
    served = tf.function(table)
    before = served(ids)[0].numpy()
    np.testing.assert_array_equal(before, vectors)
    # One vector changes, one item leaves, two come; the order is another.
    vectors[4] += 1
    order = rng.permutation(np.delete(np.arange(30), 9))
    new_ids = np.append(ids[order], [5 * 10**9, -1])
    table.assign(new_ids, np.append(vectors[order], np.ones((2, 4)), axis=0))
    after, present = (part.numpy() for part in served(ids))
    others = np.delete(np.arange(30), [4, 9])
    np.testing.assert_array_equal(after[others], before[others])
    np.testing.assert_array_equal(after[4], before[4] + 1)
    assert not np.any(after[9])
    assert np.flatnonzero(~present).tolist() == [9]
    np.testing.assert_array_equal(served(new_ids[-2:])[0], np.ones((2, 4)))


def test_int32_ids_are_the_same_ids():
    table = _table([7, 9], np.eye(2))
    ids = np.array([0, 7, 9])
    np.testing.assert_array_equal(table(ids)[0], table(ids.astype("int32"))[0])


def test_nothing_in_it_is_trained():
    table = _table([7], np.ones((1, 2)))
    assert table.trainable_weights == []
    table.trainable = True
    with tf.GradientTape() as tape:
        tf.reduce_sum(table(np.array([7]))[0])
    assert tape.watched_variables() == ()


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_graph_never_reads_all_vectors(policy):
    table = _table([7], np.ones((1, 2)), dtype=policy)
    function = tf.function(table).get_concrete_function(
        tf.TensorSpec([None, None], tf.int64)
    )
    operations = function.graph.get_operations()
    gathers = [op for op in operations if op.type == "ResourceGather"]
    assert [op.outputs[0].dtype for op in gathers] == [tf.float32]
    read = [op.outputs[0] for op in operations if op.type == "ReadVariableOp"]
    # The ids are read, once, to be searched; vectors are only gathered from.
    assert len(read) == 1
    assert all(tensor.dtype == tf.int64 for tensor in read)
    assert [out.shape.rank for out in function.outputs] == [3, 2]


@pytest.mark.parametrize(
    "layer", [VectorTable(2, 2), TextEncoder(2, 9)], ids=["table", "text"]
)
def test_keras_does_not_compile_it_with_xla(layer):
    model = keras.Sequential([layer])
    with pytest.warns(UserWarning, match="doesn't support `jit_compile"):
        model.compile(jit_compile=True)
    assert not model.jit_compile


def test_refreshed_table_is_what_a_saved_model_holds(tmp_path):
    table = _table([7, 9], np.eye(2))
    ids = {"ids": np.array([[9], [0], [7]])}
    expected = harness.outputs(table, ids)
    served = harness.saved_and_loaded(table, ids, tmp_path)
    harness.assert_same(served, expected, 0.0)
    assert expected[1].ravel().tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        ([1, 2, 3], np.ones((3, 2)), "room for `num_rows`=2 .* Got: 3"),
        (
            [1, 2],
            np.ones((2, 3)),
            r"\(M, 2\) vectors. Got: \(2,\) and \(2, 3\)",
        ),
        ([1], np.ones((2, 2)), r"Got: \(1,\) and \(2, 2\)"),
        ([[1]], np.ones((1, 2)), r"Got: \(1, 1\) and \(1, 2\)"),
        ([1, 1], np.ones((2, 2)), "that is there twice: .*1"),
        ([1, 0], np.ones((2, 2)), "padding or out of range: .*0"),
        ([LAST, 1], np.ones((2, 2)), f"padding or out of range: .*{LAST}"),
        ([5, 1], [[np.nan, 1], [1, 1]], "without a finite vector: .*5"),
        ([1.5], np.ones((1, 2)), r"takes int64 ids\. Got: float64"),
        (["a"], np.ones((1, 2)), r"takes int64 ids\. Got: string"),
    ],
)
def test_wrong_vectors_are_named_and_change_nothing(ids, vectors, message):
    table = _table([4, 6], np.eye(2), num_rows=2)
    with pytest.raises(ValueError, match=message):
        table.assign(ids, np.asarray(vectors))
    np.testing.assert_array_equal(table(np.array([4, 6]))[0], np.eye(2))


def test_wrong_ids_are_named():
    with pytest.raises(ValueError, match="'images' takes string ids"):
        VectorTable(2, 2, "string", name="images")(np.array([1]))
