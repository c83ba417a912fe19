"""Steps in the graph: what they take, and what they never touch."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.batches import parse_requests
from jd_tf.data.records import encode_request
from jd_tf.data.validation import RequestValidator
from jd_tf.losses.listwise_losses import listwise_losses
from jd_tf.losses.multi_objective import cell_weights, objective_losses
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import TRAINING_ROLES, IdColumn, SchemaError
from jd_tf.training.build_from_config import build_main_step
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.training_step import repeat_steps
from tests.requests import random_requests, small_schema
from tests.training.toy import NAMES, STEPS_PER_EPOCH, ToyRanker, toy_batches


def _step(model, **changes):
    return build_main_step(TrainingConfig(**changes), model)


def _rows(step, batches, num_steps):
    return repeat_steps(step)(iter(batches), num_steps)


def test_no_batch_is_taken_that_is_not_trained_on():
    run = repeat_steps(_step(ToyRanker()))
    iterator = iter(toy_batches())

    def taken(num_steps):
        return len(run(iterator, num_steps)["waits"])

    assert taken(0) == 0
    assert taken(3) == 3
    fourth = next(iter(toy_batches(skip=3)))
    found = next(iterator)
    np.testing.assert_array_equal(found["item_id"], fourth["item_id"])
    assert taken(100) == STEPS_PER_EPOCH - 4
    assert taken(100) == 0


def test_tracing_alone_changes_nothing():
    step = _step(ToyRanker(), balance="running_magnitude")
    named = step.named_variables()
    before = {name: v.numpy() for name, v in named.items()}
    _rows(step, toy_batches(), 0)
    for name, variable in named.items():
        np.testing.assert_array_equal(variable.numpy(), before[name], name)


def test_rows_are_those_of_the_steps():
    step = _step(ToyRanker())
    rows = _rows(step, toy_batches(), 5)
    counts = [b["num_candidates"].sum() for b in
              toy_batches().as_numpy_iterator()]  # fmt: skip
    np.testing.assert_array_equal(rows["impressions"], counts[:5])
    # Every real candidate weighs 1 for both objectives.
    np.testing.assert_array_equal(rows["sample_weight_sums"][:, 0], counts[:5])
    np.testing.assert_allclose(
        rows["loss"], rows["losses"].sum(axis=1), rtol=1e-6
    )
    num_variables = len(step.model.trainable_variables)
    assert rows["gradient_norms"].shape == (5, num_variables)
    assert (rows["waits"] >= 0).all()


@pytest.mark.parametrize("decay", [0.0, 0.99])
@pytest.mark.parametrize("method", ["adagrad", "lazy_adam"])
def test_a_ranker_step_has_no_operation_as_large_as_a_table(method, decay):
    num_rows = 7919
    schema = small_schema(
        item_columns=(IdColumn("item_id", num_buckets=num_rows),),
        context_columns=(IdColumn("user", num_buckets=num_rows),),
    )
    small = JDRankerConfig.of(model_dim=8, num_heads=2)
    step = _step(JDRanker(schema, small), table_method=method, ema_decay=decay)
    spec = {
        column.name: tf.TensorSpec(column.shape, column.dtype)
        for column in schema.columns(*TRAINING_ROLES)
    }
    graph = tf.function(step, autograph=False).get_concrete_function(spec).graph
    large = [
        operation.name
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.dtype != tf.resource and num_rows in (output.shape or ())
    ]
    assert not large
    kernels = [operation.type for operation in graph.get_operations()]
    by_adagrad = kernels.count("ResourceSparseApplyAdagradV2")
    assert by_adagrad == (2 if method == "adagrad" else 0)


@pytest.mark.parametrize("balance", ["uncertainty", "grad_norm"])
def test_a_balancer_that_learns_does_so_in_the_steps(balance):
    step = _step(ToyRanker(), balance=balance, weight_decay=0.1)
    weights = _rows(step, toy_batches(), 10)["loss_weights"]
    assert weights[0].tolist() == [1, 1]
    assert (weights[1:] != 1).all()
    named = step.named_variables()
    mine = [name for name in named if name.startswith("balancer/")]
    assert len(mine) == (1 if balance == "uncertainty" else 6)


def test_task_norms_are_of_weighted_losses_by_what_is_shared():
    step = _step(ToyRanker(dropout_rate=0.0), objective_weights=(1.0, 3.0))
    head = step.model.head.kernel.numpy()
    batch = next(toy_batches().batch(1).as_numpy_iterator())
    batch = {name: column[0] for name, column in batch.items()}
    logits = step.model(batch, training=False)["logits"].numpy()
    rows = _rows(step, toy_batches(), 1)
    inside = np.arange(4) < batch["num_candidates"][:, None]
    wrong = 1 / (1 + np.exp(-logits)) - batch["labels"]
    wrong = wrong * inside[..., None] / inside.sum()
    # By the chain rule, through one dense layer.
    sizes = np.sqrt((wrong**2).sum(axis=(0, 1)))
    expected = sizes * np.linalg.norm(head, axis=0) * [1, 3]
    np.testing.assert_allclose(
        rows["task_gradient_norms"][0], expected, rtol=1e-5
    )


def test_lists_of_a_request_are_learned_where_they_weigh():
    model = ToyRanker(dropout_rate=0.0)
    batch = next(iter(toy_batches()))
    logits = model(batch, training=False)["logits"]
    cells = batch["labels"], logits, cell_weights(batch)
    expected = objective_losses(*cells)[0] + 0.5 * listwise_losses(*cells)
    rows = _rows(_step(model, listwise_weight=0.5), toy_batches(), 1)
    np.testing.assert_allclose(rows["losses"][0], expected, rtol=1e-5)
    assert (listwise_losses(*cells).numpy() > 0.01).all()


def test_task_norms_only_reported_are_those_of_every_tenth_step():
    step = _step(ToyRanker())
    rows = _rows(step, toy_batches(), 12)
    measured = rows["task_gradient_norms"].any(axis=1)
    assert np.flatnonzero(measured).tolist() == [0, 10]
    sums = step.summands({**rows, "waits": np.zeros(12)})
    sums = {name: values.sum(axis=0) for name, values in sums.items()}
    row = step.history_row({**sums, "steps": 12, "seconds": 1, "waits": 0})
    norms = rows["task_gradient_norms"][measured]
    shares = (norms / norms.sum(axis=1, keepdims=True)).mean(axis=0)
    for name, share in zip(NAMES, shares, strict=True):
        assert row[f"gradient_share/{name}"] == pytest.approx(share, rel=1e-5)


class _Silent(ToyRanker):
    """Does not return what its objectives share."""

    def call(self, inputs, training=False):
        return {"logits": super().call(inputs, training)["logits"]}


def test_without_a_shared_activation_there_are_no_task_norms():
    rows = _rows(_step(_Silent()), toy_batches(), 2)
    assert not rows["task_gradient_norms"].any()
    step = _step(_Silent(), balance="grad_norm")
    with pytest.raises(SchemaError, match="GradNorm needs the gradient norm"):
        _rows(step, toy_batches(), 1)


def test_the_ranker_returns_what_its_objectives_share():
    schema = small_schema()
    model = JDRanker(schema, JDRankerConfig.of(model_dim=8, num_heads=2))
    step = _step(model, balance="grad_norm")
    check = RequestValidator(schema).check
    requests = random_requests(schema, 6, seed=3)
    columns = schema.columns()
    records = [encode_request(check(request), columns) for request in requests]
    batch = parse_requests(tf.constant(records), columns)
    data = tf.data.Dataset.from_tensors(batch)
    rows = _rows(step, data.repeat(), 3)
    assert (rows["task_gradient_norms"] > 0).all()
    assert (rows["loss_weights"][1:] != 1).all()
