"""Steps in the graph: what they take, and what they never touch."""

import numpy as np
import tensorflow as tf

from jd_tf.models.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import TRAINING_ROLES, IdColumn
from jd_tf.training.build import build_balancer, build_optimizer
from jd_tf.training.config import TrainingConfig
from jd_tf.training.steps import TrainingSteps
from tests.requests import small_schema
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
