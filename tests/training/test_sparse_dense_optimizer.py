"""Optimizer steps against NumPy loops, and their cost: the rows touched."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer

ROWS, DIM = 11, 3
RATE, TABLE_RATE = 0.01, 0.1


class Bilinear(keras.Model):
    """The smallest model with a table and a dense weight."""

    def __init__(self, num_rows=ROWS, **kwargs):
        super().__init__(**kwargs)
        self.num_rows = num_rows

    def build(self, shape=None):
        self.table = self.add_weight((self.num_rows, DIM), name="table")
        self.kernel = self.add_weight((DIM, 1), name="kernel")

    def call(self, ids):
        vectors = tf.gather(self.table.value, ids)
        return tf.matmul(tf.reduce_sum(vectors, axis=1), self.kernel)

    def get_config(self):
        return {**super().get_config(), "num_rows": self.num_rows}


def _batches(num=5):
    random = np.random.default_rng(3)
    # Few ids of many: duplicates within a batch, rows never touched.
    return [
        (
            random.integers(0, ROWS // 2, (4, 3)),
            random.normal(size=(4, 1)).astype("float32"),
        )
        for _ in range(num)
    ]


def _dense_gradients(table, kernel, ids, target):
    """Of the mean squared error, by the chain rule, row after row."""
    pooled = table[ids].sum(axis=1)
    outer = 2 * (pooled @ kernel - target) / target.size
    table_gradient = np.zeros_like(table)
    for example, row_ids in enumerate(ids):
        for row in row_ids:
            table_gradient[row] += outer[example] * kernel[:, 0]
    return table_gradient, pooled.T @ outer


def _train(model, optimizer, batches):
    @tf.function
    def step(ids, target):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(ids) - target))
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    for ids, target in batches:
        step(tf.constant(ids), tf.constant(target))


def _fit(model, batches):
    stacked = tuple(np.stack(part) for part in zip(*batches, strict=True))
    dataset = tf.data.Dataset.from_tensor_slices(stacked)
    model.fit(dataset, verbose=0, shuffle=False)


def _model():
    model = Bilinear()
    model.build()
    return model


def _oracle(model, batches, method, clip=None, decay=0.0):
    table, kernel = (v.numpy().astype("float64") for v in model.weights)
    sums = np.zeros_like(table)
    slots = {name: [np.zeros_like(w)] * 2 for name, w in
             (("table", table), ("kernel", kernel))}  # fmt: skip
    for step, (ids, target) in enumerate(batches, start=1):
        gradients = _dense_gradients(table, kernel, ids, target)
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        scale = min(1.0, clip / norm) if clip else 1.0
        table_gradient, kernel_gradient = (g * scale for g in gradients)
        kernel = kernel * (1 - decay * RATE)

        def adam(name, weight, gradient, rate, rows, step=step):
            m, v = (slot.copy() for slot in slots[name])
            weight = weight.copy()
            m[rows] = 0.9 * m[rows] + 0.1 * gradient[rows]
            v[rows] = 0.999 * v[rows] + 0.001 * gradient[rows] ** 2
            slots[name] = [m, v]
            rate = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weight[rows] -= rate * m[rows] / (np.sqrt(v[rows]) + 1e-7)
            return weight

        kernel = adam("kernel", kernel, kernel_gradient, RATE, slice(None))
        if method == "adagrad":
            sums += table_gradient**2
            moved = table_gradient / np.maximum(np.sqrt(sums), 1e-30)
            table = table - TABLE_RATE * moved
        else:
            rows = np.unique(ids) if method == "lazy_adam" else slice(None)
            rate = TABLE_RATE if method == "lazy_adam" else RATE
            table = adam("table", table, table_gradient, rate, rows)
    return table, kernel


@pytest.mark.parametrize("method", ["adagrad", "lazy_adam"])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_steps_equal_numpy(method, clip):
    model = _model()
    expected = _oracle(model, _batches(), method, clip, decay=0.02)
    optimizer = SparseDenseOptimizer(
        RATE, TABLE_RATE, method, global_clipnorm=clip, weight_decay=0.02
    )
    _train(model, optimizer, _batches())
    for weight, answer in zip(model.weights, expected, strict=True):
        np.testing.assert_allclose(weight.numpy(), answer, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["adagrad", "lazy_adam"])
def test_untouched_rows_are_bit_identical(method):
    model = _model()
    before = model.table.numpy()
    optimizer = SparseDenseOptimizer(
        RATE, TABLE_RATE, method, weight_decay=0.1, global_clipnorm=1.0
    )
    _train(model, optimizer, _batches())
    touched = np.unique(np.concatenate([ids.ravel() for ids, _ in _batches()]))
    after = model.table.numpy()
    untouched = np.setdiff1d(np.arange(ROWS), touched)
    assert untouched.size
    np.testing.assert_array_equal(after[untouched], before[untouched])
    assert (after[touched] != before[touched]).any(axis=1).all()


@pytest.mark.parametrize(
    ("method", "scale", "tolerance"),
    [
        ("adagrad", 1e-3, 1e-3),
        ("adagrad", 1e-9, 1e-2),
        ("lazy_adam", 1e-3, 0.1),
    ],
)
def test_a_table_moves_alike_whatever_the_scale_of_the_loss(
    method, scale, tolerance
):
    gradient = np.float32([[0.3, -1.0], [0.0, 2.0]])

    def moved(factor):
        table = keras.Variable(np.zeros((3, 2)), name="table")
        optimizer = SparseDenseOptimizer(RATE, TABLE_RATE, method)
        for _ in range(2):
            values = tf.constant(gradient * factor)
            slices = tf.IndexedSlices(values, tf.constant([2, 0]))
            optimizer.apply([slices], [table])
        return table.numpy()

    whole, scaled = moved(1.0), moved(scale)
    np.testing.assert_allclose(scaled, whole, rtol=tolerance)
    # The second step of Adagrad is shorter by the root of two.
    signs = np.float32([[0.0, -1.0], [0.0, 0.0], [-1.0, 1.0]])
    both = 1 + (1 if method == "lazy_adam" else 0.5**0.5)
    np.testing.assert_allclose(whole, TABLE_RATE * both * signs, rtol=1e-4)


@pytest.mark.parametrize("method", ["adagrad", "lazy_adam"])
@pytest.mark.parametrize(
    "options",
    [{}, {"global_clipnorm": 1.0}, {"weight_decay": 0.1}],
    ids=lambda options: next(iter(options), "plain"),
)  # fmt: skip
def test_no_operation_is_as_large_as_the_table(method, options):
    num_rows = 7919
    model = Bilinear(num_rows)
    model.build()
    optimizer = SparseDenseOptimizer(table_method=method, **options)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(ids)))
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    graph = step.get_concrete_function(tf.TensorSpec((None, 3), tf.int64)).graph
    large = [
        operation.name
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.dtype != tf.resource and num_rows in (output.shape or ())
    ]
    assert not large


def test_fit_and_own_loop_take_the_same_steps():
    models = [_model(), _model()]
    models[1].set_weights(models[0].get_weights())
    _train(models[0], SparseDenseOptimizer(RATE, TABLE_RATE), _batches())
    models[1].compile(
        SparseDenseOptimizer(RATE, TABLE_RATE), "mse", jit_compile=False
    )
    _fit(models[1], _batches())
    for one, other in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation")
@pytest.mark.parametrize("method", ["adagrad", "lazy_adam"])
def test_saved_model_file_continues_where_it_stopped(tmp_path, method):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    model = _model()
    model.compile(
        SparseDenseOptimizer(RATE, schedule, method, global_clipnorm=0.1),
        "mse",
        jit_compile=False,
    )
    _fit(model, _batches())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"Bilinear": Bilinear}
    )
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for either in (model, loaded):
        _fit(either, _batches(7)[5:])
    for one, other in zip(
        model.get_weights(), loaded.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_rates_follow_schedules_and_can_be_set():
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, 10, warmup_target=1.0, warmup_steps=4
    )
    optimizer = SparseDenseOptimizer(schedule, 0.5)
    optimizer.iterations.assign(2)
    assert float(optimizer.learning_rate) == pytest.approx(0.5)
    optimizer.table_learning_rate = 0.25
    assert optimizer.get_config()["table_learning_rate"] == 0.25
    with pytest.raises(TypeError, match="schedule"):
        SparseDenseOptimizer(0.1, schedule).table_learning_rate = 0.5


def test_large_sparse_gradient_outside_the_pattern_is_refused():
    model = Bilinear(20_000)
    model.build()
    optimizer = SparseDenseOptimizer(table_pattern="nothing")
    with pytest.raises(ValueError, match="table`, \\(20000, 3\\)"):
        _train(model, optimizer, _batches(1))


def test_small_sparse_gradient_outside_the_pattern_is_dense_adam():
    model = _model()
    optimizer = SparseDenseOptimizer(RATE, table_pattern="nothing")
    expected = _oracle(model, _batches(), "adam")
    _train(model, optimizer, _batches())
    for weight, answer in zip(model.weights, expected, strict=True):
        np.testing.assert_allclose(weight.numpy(), answer, rtol=2e-4, atol=1e-5)


def test_an_unknown_table_method_is_quoted():
    with pytest.raises(ValueError, match="'adam'"):
        SparseDenseOptimizer(table_method="adam")
