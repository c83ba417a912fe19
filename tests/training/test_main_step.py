"""Steps in the graph: what they take, and what they never touch."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.batches import parse_requests
from jd_tf.data.records import encode_request
from jd_tf.data.validation import RequestValidator
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import TRAINING_ROLES, IdColumn, SchemaError
from jd_tf.training.build_from_config import build_balancer, build_optimizer
from jd_tf.training.config import TrainingConfig
from jd_tf.training.main_step import TrainingSteps
from jd_tf.training.named_variables import training_variables
from tests.requests import random_requests, small_schema
from tests.training.toy import NAMES, STEPS_PER_EPOCH, ToyRanker, toy_batches


def _steps(model, names=NAMES, **changes):
    config = TrainingConfig(**changes)
    balancer = build_balancer(config, names)
    return TrainingSteps(model, build_optimizer(config), balancer)


def test_no_batch_is_taken_that_is_not_trained_on():
    steps = _steps(ToyRanker())
    iterator = iter(toy_batches())
    assert len(steps.run(iterator, 0)) == 0
    assert len(steps.run(iterator, 3)) == 3
    fourth = next(iter(toy_batches(skip=3)))
    found = next(iterator)
    np.testing.assert_array_equal(found["item_id"], fourth["item_id"])
    assert len(steps.run(iterator, 100)) == STEPS_PER_EPOCH - 4
    assert len(steps.run(iterator, 100)) == 0


def test_tracing_alone_changes_nothing():
    steps = _steps(ToyRanker(), balance="running_magnitude")
    model = steps.model
    before = [v.numpy() for v in [*model.variables, *steps.optimizer.variables]]
    steps.run(iter(toy_batches()), 0)
    after = [v.numpy() for v in [*model.variables, *steps.optimizer.variables]]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_records_are_those_of_the_steps():
    steps = _steps(ToyRanker())
    records = steps.run(iter(toy_batches()), 5)
    counts = [b["num_candidates"].sum() for b in
              toy_batches().as_numpy_iterator()]  # fmt: skip
    np.testing.assert_array_equal(records.impressions, counts[:5])
    # Every real candidate weighs 1 for both objectives.
    np.testing.assert_array_equal(records.masses[:, 0], counts[:5])
    np.testing.assert_allclose(
        records.total, records.losses.sum(axis=1), rtol=1e-6
    )
    assert records.norms.shape == (5, len(steps.model.trainable_variables))
    assert (records.waits >= 0).all()


def test_a_ranker_step_has_no_operation_as_large_as_a_table():
    num_rows = 7919
    schema = small_schema(
        item_columns=(IdColumn("item_id", num_buckets=num_rows),),
        context_columns=(IdColumn("user", num_buckets=num_rows),),
    )
    small = JDRankerConfig(model_dim=8, num_heads=2)
    steps = _steps(JDRanker(schema, small), schema.objective_names)
    spec = {
        column.name: tf.TensorSpec(column.shape, column.dtype)
        for column in schema.columns(*TRAINING_ROLES)
    }
    graph = (
        tf.function(steps.main_step, autograph=False)
        .get_concrete_function(spec)
        .graph
    )
    large = [
        operation.name
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.dtype != tf.resource and num_rows in (output.shape or ())
    ]
    assert not large
    kernels = [operation.type for operation in graph.get_operations()]
    assert kernels.count("ResourceSparseApplyAdagradV2") == 2


@pytest.mark.parametrize("balance", ["uncertainty", "grad_norm"])
def test_a_balancer_that_learns_does_so_in_the_steps(balance):
    steps = _steps(ToyRanker(), balance=balance, weight_decay=0.1)
    records = steps.run(iter(toy_batches()), 10)
    assert records.weights[0].tolist() == [1, 1]
    assert (records.weights[1:] != 1).all()
    named = training_variables(steps.model, steps.optimizer, steps.balancer)
    mine = [name for name in named if name.startswith("balancer/")]
    assert len(mine) == (1 if balance == "uncertainty" else 6)


def test_pulls_are_gradients_of_weighted_losses_by_what_is_shared():
    steps = _steps(ToyRanker(dropout_rate=0.0), objective_weights=(1.0, 3.0))
    head = steps.model.head.kernel.numpy()
    batch = next(toy_batches().batch(1).as_numpy_iterator())
    batch = {name: column[0] for name, column in batch.items()}
    logits = steps.model(batch, training=False)["logits"].numpy()
    records = steps.run(iter(toy_batches()), 1)
    inside = np.arange(4) < batch["num_candidates"][:, None]
    wrong = 1 / (1 + np.exp(-logits)) - batch["labels"]
    wrong = wrong * inside[..., None] / inside.sum()
    # By the chain rule, through one dense layer.
    sizes = np.sqrt((wrong**2).sum(axis=(0, 1)))
    expected = sizes * np.linalg.norm(head, axis=0) * [1, 3]
    np.testing.assert_allclose(records.pulls[0], expected, rtol=1e-5)


class _Silent(ToyRanker):
    """Does not say what its objectives share."""

    def call(self, inputs, training=False):
        return {"logits": super().call(inputs, training)["logits"]}


def test_without_a_shared_activation_there_are_no_pulls():
    records = _steps(_Silent()).run(iter(toy_batches()), 2)
    assert not records.pulls.any()
    steps = _steps(_Silent(), balance="grad_norm")
    with pytest.raises(SchemaError, match="GradNorm needs to know"):
        steps.run(iter(toy_batches()), 1)


def test_the_ranker_says_what_its_objectives_share():
    schema = small_schema()
    model = JDRanker(schema, JDRankerConfig(model_dim=8, num_heads=2))
    steps = _steps(model, schema.objective_names, balance="grad_norm")
    check = RequestValidator(schema).check
    requests = random_requests(schema, 6, seed=3)
    records = [encode_request(check(request)) for request in requests]
    batch = parse_requests(tf.constant(records), schema.columns())
    data = tf.data.Dataset.from_tensors(batch)
    records = steps.run(iter(data.repeat()), 3)
    assert (records.pulls > 0).all()
    assert (records.weights[1:] != 1).all()
