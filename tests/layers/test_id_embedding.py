"""IdEmbedding: rows, padding, sparse gradients, cost."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.layers import IdEmbedding
from tests import references
from tests.cases import case_named
from tests.layers import harness

SOME_IDS = [0, 1, 2, -1, 7, 10**12, 2**63 - 1, -(2**63), 123_456_789]


def test_hashed_rows_are_those_of_whole_number_arithmetic():
    layer = IdEmbedding(2, num_buckets=1009)
    rng = np.random.default_rng(0)
    ids = [*SOME_IDS, *rng.integers(-(2**63), 2**63 - 1, 200).tolist()]
    expected = [references.hashed_row(i, 1009) for i in ids]
    assert layer.rows(np.array(ids)).numpy().tolist() == expected


@pytest.mark.parametrize("step", [1, 1000, 1 << 20, 1 << 40])
def test_hash_spreads_regular_ids_evenly(step):
    layer = IdEmbedding(2, num_buckets=101)
    ids = np.arange(1, 20_001, dtype=np.int64) * step
    counts = np.bincount(layer.rows(ids).numpy(), minlength=101)
    assert counts[0] == 0
    # 100 rows of 200 ids each: chi-square of 99 degrees, mean 99, sd 14.
    assert np.sum((counts[1:] - 200.0) ** 2 / 200.0) < 99 + 6 * 14


def test_unknown_ids_say_nothing_until_training_meets_one():
    keras.utils.set_random_seed(1)
    layer = IdEmbedding(4, vocabulary=(11, 12))
    known, unknown = np.array([11, 12]), np.array([99, -1])
    assert not layer(unknown).numpy().any()
    assert layer(known).numpy().all()

    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((layer(ids) - 1.0) ** 2)
        gradient = tape.gradient(loss, [layer.table.value])
        keras.optimizers.Adam(0.1).apply(gradient, [layer.table])

    step(known)
    assert not layer(unknown).numpy().any()
    step(unknown)
    assert layer(unknown).numpy().all()
    copy = IdEmbedding.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


def test_vocabulary_rows_are_padding_unknown_then_in_order():
    layer = IdEmbedding(2, vocabulary=(30, -5, 20))
    rows = layer.rows(np.array([[0, 30, -5], [20, 31, 2**62]]))
    assert rows.numpy().tolist() == [[0, 2, 3], [4, 1, 1]]
    layer.build()
    assert layer.table.shape == (5, 2)


def test_words_are_looked_up_or_hashed():
    words = np.array(["", "tea", "new", "红茶"], dtype=object)
    known = IdEmbedding(2, vocabulary=("红茶", "tea"), id_dtype="string")
    assert known.rows(words).numpy().tolist() == [0, 3, 1, 2]
    hashed = IdEmbedding(2, num_buckets=50, id_dtype="string").rows(words)
    assert hashed[0] == 0
    assert np.all((hashed[1:] >= 1) & (hashed[1:] < 50))
    assert len(set(hashed.numpy())) > 2


def test_int32_ids_are_the_same_ids():
    layer = IdEmbedding(2, num_buckets=50)
    ids = np.arange(5)
    np.testing.assert_array_equal(
        layer(ids.astype(np.int32)), layer(ids.astype(np.int64))
    )


def _gradient(layer, ids, compiled):
    def compute():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(ids), tf.float32) ** 2)
        return tape.gradient(loss, layer.table.value)

    return (tf.function(compute) if compiled else compute)()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_gradient_is_sparse_and_none_is_of_padding(compiled, policy):
    layer = IdEmbedding(3, num_buckets=50, dtype=policy)
    ids = tf.constant([[5, 0, 9], [5, 0, 0]], tf.int64)
    layer(ids)
    gradient = _gradient(layer, ids, compiled)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.values.shape == (6, 3)
    dense = tf.convert_to_tensor(gradient).numpy()
    touched = sorted(set(layer.rows(ids).numpy().ravel()) - {0})
    assert np.flatnonzero(dense.any(axis=1)).tolist() == touched


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_pooled_gradient_is_sparse_and_none_is_of_padding(compiled, pooling):
    layer = IdEmbedding(3, num_buckets=50, pooling=pooling)
    ids = tf.constant([[5, 0, 9], [0, 0, 0]], tf.int64)
    layer(ids)
    gradient = _gradient(layer, ids, compiled)
    assert isinstance(gradient, tf.IndexedSlices)
    dense = tf.convert_to_tensor(gradient).numpy()
    rows = layer.rows(ids).numpy()
    assert np.flatnonzero(dense.any(axis=1)).tolist() == sorted(rows[0, ::2])
    expected = 2 * references.pooled(layer.table.numpy(), rows[0], pooling)
    share = 2 if pooling == "mean" else 1
    np.testing.assert_allclose(dense[rows[0, 0]], expected / share, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_pooling_equals_a_loop(pooling):
    case = case_named(f"ids_pooled_by_{pooling}")
    layer = harness.make(case)
    values = harness.arguments(case)
    (actual,) = harness.outputs(layer, values)
    rows = layer.rows(values["ids"]).numpy()
    assert not rows.any(axis=-1).all()
    for place in np.ndindex(rows.shape[:-1]):
        expected = references.pooled(layer.table.numpy(), rows[place], pooling)
        harness.assert_same([actual[place]], [expected])


def test_values_are_pooled_in_any_order_and_with_any_padding():
    layer = IdEmbedding(3, num_buckets=50, pooling="mean")
    one = layer(np.array([[4, 7, 9]]))
    other = layer(np.array([[0, 9, 0, 7, 4]]))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_padding_is_exactly_zero_whatever_its_row_holds():
    layer = IdEmbedding(3, num_buckets=50, embeddings_initializer="ones")
    vectors = layer(np.array([0, 4])).numpy()
    np.testing.assert_array_equal(vectors, [[0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_graph_never_reads_the_whole_table(policy):
    layer = IdEmbedding(3, num_buckets=50, dtype=policy)
    layer.build((None,))
    function = tf.function(layer).get_concrete_function(
        tf.TensorSpec([None], tf.int64)
    )
    operations = [op.type for op in function.graph.get_operations()]
    assert "ResourceGather" in operations
    assert "ReadVariableOp" not in operations


def test_starts_small_and_uniform():
    layer = IdEmbedding(16, num_buckets=10_000)
    layer.build((None,))
    table = layer.table.numpy()
    assert np.abs(table).max() < 0.0501
    assert np.std(table) == pytest.approx(0.1 / np.sqrt(12), rel=0.01)


def test_keras_does_not_compile_it_with_xla():
    model = keras.Sequential([IdEmbedding(2, num_buckets=9)])
    with pytest.warns(UserWarning, match="doesn't support `jit_compile"):
        model.compile(jit_compile=True)
    assert not model.jit_compile


def test_shared_by_history_and_candidates():
    layer = IdEmbedding(4, num_buckets=30)
    history = keras.Input((None,), dtype="int64", name="history")
    candidates = keras.Input((None,), dtype="int64", name="candidates")
    model = keras.Model(
        [history, candidates], [layer(history), layer(candidates)]
    )
    assert len(model.trainable_weights) == 1
    ids = np.array([[3, 4, 0]])
    one, other = model([ids, ids])
    np.testing.assert_array_equal(one, other)


def test_wrong_ids_are_named():
    layer = IdEmbedding(2, num_buckets=9, name="brand")
    with pytest.raises(ValueError, match="'brand' takes int64 ids"):
        layer(tf.constant(["a"]))
    with pytest.raises(ValueError, match=r"takes int64 ids\. Got: float32"):
        layer(tf.constant([1.0]))
