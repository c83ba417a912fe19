"""Fusion steps: what they learn, and that neither side touches the other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.schema import DataError
from jd_tf.training.build_from_config import build_balancer
from jd_tf.training.config import TrainingConfig
from jd_tf.training.fusion.fusion_loss import FusionLoss
from jd_tf.training.fusion.fusion_step import FusionSteps
from jd_tf.training.fusion.isolation_check import IsolationError, changed
from jd_tf.training.main_step import TrainingSteps
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer
from tests.training.fusion.fusion_toy import FusionToy
from tests.training.toy import NAMES, STEPS_PER_EPOCH, toy_batches

LOSS = FusionLoss((1.0, 10.0))


def _optimizer(**changes):
    return SparseDenseOptimizer(0.01, **changes)


def _steps(model=None, optimizer=None, **changes):
    """Main and fusion steps of one model."""
    model = model or FusionToy()
    config = TrainingConfig(balance="running_magnitude")
    balancer = build_balancer(config, NAMES)
    main = TrainingSteps(model, _optimizer(weight_decay=0.1), balancer)
    optimizer = optimizer or _optimizer(weight_decay=0.1)
    return main, FusionSteps(model, optimizer, LOSS, **changes)


def _batch(skip=0):
    return next(iter(toy_batches(skip=skip)))


def _values(variables):
    return {name: np.array(v.numpy()) for name, v in variables.items()}


# Isolation -----------------------------------------------------------------


@pytest.mark.parametrize("traced", [False, True])
def test_after_a_step_the_other_side_is_the_same_to_the_last_bit(traced):
    main, fusion = _steps()
    main_side, fusion_side = fusion.sides(main)
    wrap = tf.function if traced else lambda step, **_: step
    main_step = wrap(main.main_step, autograph=False)
    fusion_step = wrap(fusion.fusion_step, autograph=False)
    for step in range(5):
        before = _values(main_side), _values(fusion_side)
        row = fusion_step(_batch(step))
        assert not changed(main_side, before[0])
        moved = changed(fusion_side, before[1])
        assert int(row["used"])
        if step:
            # In the first, the hidden layer stood behind a gate of zeros.
            resting = set(fusion_side).difference(moved)
            assert all(name.endswith("learning_rate") for name in resting)
        before = _values(main_side), _values(fusion_side)
        main_step(_batch(step))
        assert not changed(fusion_side, before[1])
        assert len(changed(main_side, before[0])) > len(NAMES)
    assert len(changed(fusion_side, before[1])) == 0


def test_sides_name_everything_once():
    main, fusion = _steps()
    main_side, fusion_side = fusion.sides(main)
    names = [*main_side, *fusion_side]
    assert len(set(names)) == len(names)
    ids = {id(v) for v in [*main_side.values(), *fusion_side.values()]}
    assert len(ids) == len(names)
    everything = [
        *fusion.model.variables,
        *main.optimizer.variables,
        *fusion.optimizer.variables,
    ]
    assert {id(v.value) for v in everything} <= ids
    for part in ("statistics/moving_mean", "seed_generator_state",
                 "optimizer/table/", "optimizer/iteration"):  # fmt: skip
        assert any(part in name for name in main_side), part
    assert "fusion_optimizer/iteration" in fusion_side
    assert "fusion_optimizer/fusion/gate/kernel/momentum" in fusion_side
    assert all("fusion" in name for name in fusion_side)
    again = FusionSteps(fusion.model, _optimizer(), LOSS)
    assert list(again.named_variables()) == list(fusion.named_variables())


def test_the_fusion_loss_has_no_gradient_by_any_main_variable():
    main, fusion = _steps()
    assert fusion.gradient_leaks(main, _batch()) == []


def test_the_assertion_holds_and_leaves_no_trace():
    main, fusion = _steps()
    sides = fusion.sides(main)
    before = [_values(side) for side in sides]
    found = fusion.assert_isolated(main, _batch())
    for side, values in zip(sides, before, strict=True):
        assert not changed(side, values)
    assert {"model/head/kernel", "model/table", "optimizer/iteration"} <= {
        *found.main
    }
    assert "model/fusion/gate/kernel" in found.fusion
    assert "fusion_optimizer/iteration" in found.fusion


def test_a_run_is_the_same_with_and_without_the_assertion():
    ended = []
    for asserted in (False, True):
        keras.utils.set_random_seed(3)
        main, fusion = _steps()
        if asserted:
            fusion.assert_isolated(main, _batch())
        main.run(iter(toy_batches()), 4)
        fusion.run(iter(toy_batches()), 4)
        ended.append([_values(side) for side in fusion.sides(main)])
    for one, other in zip(*ended, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], name)


@pytest.mark.parametrize("broken", ["logits", "session"])
def test_a_missing_stop_gradient_is_found(broken):
    main, fusion = _steps(FusionToy(broken=broken))
    with pytest.raises(IsolationError, match=r"gradient by .*`model/.*stop_"):
        fusion.assert_isolated(main, _batch())
    leaks = fusion.gradient_leaks(main, _batch())
    assert "model/table" in leaks
    # The step itself is walled off by its tape all the same.
    main_side, _ = fusion.sides(main)
    before = _values(main_side)
    fusion.fusion_step(_batch())
    assert not changed(main_side, before)


def test_a_fusion_that_moves_statistics_is_found():
    main, fusion = _steps(FusionToy(broken="training"))
    with pytest.raises(IsolationError, match=r"fusion step changed .*model/"):
        fusion.assert_isolated(main, _batch())


def test_a_shared_optimizer_is_found():
    model = FusionToy()
    shared = _optimizer()
    # Else it would refuse what the other side gives it.
    shared.build(model.trainable_variables)
    main = TrainingSteps(model, shared, build_balancer(TrainingConfig(), NAMES))
    fusion = FusionSteps(model, shared, LOSS)
    with pytest.raises(IsolationError, match="share their optimizer"):
        fusion.assert_isolated(main, _batch())
    # Nor would a copy that keeps the same slots pass.
    main_side, _ = fusion.sides(main)
    before = _values(main_side)
    fusion.fusion_step(_batch())
    assert "optimizer/iteration" in changed(main_side, before)
    main.optimizer = _optimizer()
    main.optimizer.build(model.trainable_variables)
    main.optimizer._slots = shared._slots
    with pytest.raises(IsolationError, match=r"share .*own variables"):
        fusion.assert_isolated(main, _batch())


def test_a_main_step_that_decays_the_fusion_is_found():
    """What weight decay does that is not told whose variables are whose."""

    class Decaying(TrainingSteps):
        def main_step(self, batch):
            for variable in self.model.fusion_variables:
                variable.assign(variable * 0.99)
            return super().main_step(batch)

    _, fusion = _steps()
    main = Decaying(
        fusion.model, _optimizer(), build_balancer(TrainingConfig(), NAMES)
    )
    with pytest.raises(IsolationError, match=r"main step changed .*fusion/"):
        fusion.assert_isolated(main, _batch())


# Steps ---------------------------------------------------------------------


def test_steps_learn_and_tell():
    _, fusion = _steps()
    before = _values({v.path: v.value for v in fusion.model.variables})
    records = fusion.run(iter(toy_batches()), 100)
    assert len(records) == STEPS_PER_EPOCH
    assert np.all(records.used + records.skipped == 8)
    assert np.all(records.used > 0)
    assert np.all(records.skipped >= 0)
    assert records.weights.shape == (STEPS_PER_EPOCH, len(NAMES))
    np.testing.assert_allclose(records.weights[0], 0.5, atol=1e-6)
    assert not records.not_finite()
    moved = changed({v.path: v.value for v in fusion.model.variables}, before)
    assert moved
    assert all("/fusion/" in path for path in moved)
    more = [fusion.run(iter(toy_batches()), 20) for _ in range(10)]
    assert more[-1].total.mean() < records.total.mean()


def test_tracing_alone_changes_nothing_and_no_batch_is_lost():
    _, fusion = _steps()
    before = _values(fusion.named_variables())
    iterator = iter(toy_batches())
    assert len(fusion.run(iterator, 0)) == 0
    assert not changed(fusion.named_variables(), before)
    assert len(fusion.run(iterator, 3)) == 3
    np.testing.assert_array_equal(
        next(iterator)["item_id"], _batch(3)["item_id"]
    )


def test_a_step_is_taken_when_due():
    _, fusion = _steps(every=3)

    @tf.function(autograph=False)
    def maybe(step, batch):
        return fusion.step_if_due(step, batch)

    taken = []
    for step in range(7):
        before = _values(fusion.named_variables())
        row = maybe(tf.constant(step), _batch(step))
        taken.append(bool(changed(fusion.named_variables(), before)))
        assert bool(row["used"]) == taken[-1]
        assert bool(tf.reduce_any(row["weights"] != 0)) == taken[-1]
    assert taken == [False, False, True, False, False, True, False]


def test_what_is_not_finite_ends_the_run_and_is_named():
    _, fusion = _steps()
    fusion.model.fusion.gate.bias.assign([np.nan, 0.0])
    records = fusion.run(iter(toy_batches()), 5)
    assert len(records) == 1
    assert "the fusion's loss is nan" in records.not_finite()


def test_a_batch_without_any_contrast_moves_no_weight():
    _, fusion = _steps(optimizer=_optimizer())
    weights = {v.path: v.value for v in fusion.variables}
    before = _values(weights)
    batch = _batch()
    batch["labels"] = tf.zeros_like(batch["labels"])
    row = fusion.fusion_step(batch)
    assert (int(row["used"]), int(row["skipped"])) == (0, 8)
    assert float(row["total"]) == 0
    assert not changed(weights, before)


# Wrong models --------------------------------------------------------------


def test_a_variable_must_belong_to_one_side():
    class Forgetful(FusionToy):
        main_variables = property(lambda self: self.head.variables)

    class Greedy(FusionToy):
        main_variables = property(lambda self: self.variables)

    with pytest.raises(DataError, match=r"`table` must be in one .* in none"):
        _steps(Forgetful())
    with pytest.raises(DataError, match=r"`fusion/.* in both"):
        _steps(Greedy())


def test_a_fusion_without_anything_to_train_is_refused():
    model = FusionToy()
    model.fusion.trainable = False
    with pytest.raises(DataError, match="nothing to train"):
        _steps(model)
    with pytest.raises(DataError, match=r"`every` .* Got: -1"):
        _steps(every=-1)
