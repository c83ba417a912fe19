"""Fusion steps: what they learn, and that neither part touches the other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.training.build_from_config import build_balancer
from jd_tf.training.config import TrainingConfig
from jd_tf.training.fusion.fusion_loss import FusionLoss
from jd_tf.training.fusion.fusion_step import FusionStep
from jd_tf.training.fusion.isolation_check import (
    IsolationError,
    changed,
    check_isolation,
    gradient_leaks,
    variable_partition,
)
from jd_tf.training.loop.training_state import TrainingState
from jd_tf.training.loop.training_step import repeat_steps
from jd_tf.training.main_step import AlternatingStep, MainStep
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer
from tests.training.fusion.fusion_toy import FusionToy
from tests.training.toy import NAMES, STEPS_PER_EPOCH, toy_batches

LOSS = FusionLoss((1.0, 10.0))


def _optimizer(**changes):
    return SparseDenseOptimizer(0.01, **changes)


def _steps(model=None, optimizer=None):
    """Main and fusion step of one model."""
    model = model or FusionToy()
    config = TrainingConfig(balance="running_magnitude")
    balancer = build_balancer(config, NAMES)
    main = MainStep(model, _optimizer(weight_decay=0.1), balancer)
    optimizer = optimizer or _optimizer(weight_decay=0.1)
    return main, FusionStep(model, optimizer, LOSS)


def _rows(step, num_steps=STEPS_PER_EPOCH):
    return repeat_steps(step)(iter(toy_batches()), num_steps)


def _batch(skip=0):
    return next(iter(toy_batches(skip=skip)))


def _values(variables):
    return {name: np.array(v.numpy()) for name, v in variables.items()}


# Isolation -----------------------------------------------------------------


@pytest.mark.parametrize("traced", [False, True])
def test_after_a_step_the_other_part_is_the_same_to_the_last_bit(traced):
    main, fusion = _steps()
    main_part, fusion_part = variable_partition(main, fusion)
    wrap = tf.function if traced else lambda step, **_: step
    main_step = wrap(main, autograph=False)
    fusion_step = wrap(fusion, autograph=False)
    for step in range(5):
        before = _values(main_part), _values(fusion_part)
        row = fusion_step(_batch(step))
        assert not changed(main_part, before[0])
        moved = changed(fusion_part, before[1])
        assert int(row["fusion_requests_used"])
        if step:
            # In the first, the hidden layer stood behind a gate of zeros.
            resting = set(fusion_part).difference(moved)
            assert all(name.endswith("learning_rate") for name in resting)
        before = _values(main_part), _values(fusion_part)
        main_step(_batch(step))
        assert not changed(fusion_part, before[1])
        assert len(changed(main_part, before[0])) > len(NAMES)
    assert len(changed(fusion_part, before[1])) == 0


def test_the_partition_names_everything_once():
    main, fusion = _steps()
    main_part, fusion_part = variable_partition(main, fusion)
    names = [*main_part, *fusion_part]
    assert len(set(names)) == len(names)
    ids = {id(v) for v in [*main_part.values(), *fusion_part.values()]}
    assert len(ids) == len(names)
    everything = [
        *fusion.model.variables,
        *main.optimizer.variables,
        *fusion.optimizer.variables,
    ]
    # Rates are those of the config, not of a checkpoint.
    learned = [v for v in everything if not v.path.endswith("learning_rate")]
    assert len(learned) < len(everything)
    assert {id(v.value) for v in learned} <= ids
    for part in ("statistics/moving_mean", "seed_generator_state",
                 "optimizer/table/", "optimizer/iteration"):  # fmt: skip
        assert any(part in name for name in main_part), part
    assert "fusion_optimizer/iteration" in fusion_part
    assert "fusion_optimizer/fusion/gate/kernel/momentum" in fusion_part
    assert all("fusion" in name for name in fusion_part)
    again = FusionStep(fusion.model, _optimizer(), LOSS)
    assert list(again.named_variables()) == list(fusion.named_variables())


def test_the_fusion_loss_has_no_gradient_by_any_main_variable():
    main, fusion = _steps()
    assert gradient_leaks(main, fusion, _batch()) == []


def test_the_check_passes_and_leaves_no_trace():
    main, fusion = _steps()
    parts = variable_partition(main, fusion)
    before = [_values(part) for part in parts]
    main_changes, fusion_changes = check_isolation(main, fusion, _batch())
    for part, values in zip(parts, before, strict=True):
        assert not changed(part, values)
    assert {"model/head/kernel", "model/table", "optimizer/iteration"} <= {
        *main_changes
    }
    assert "model/fusion/gate/kernel" in fusion_changes
    assert "fusion_optimizer/iteration" in fusion_changes


def test_a_run_is_the_same_with_and_without_the_check():
    ended = []
    for checked in (False, True):
        keras.utils.set_random_seed(3)
        main, fusion = _steps()
        if checked:
            check_isolation(main, fusion, _batch())
        _rows(main, 4)
        _rows(fusion, 4)
        parts = variable_partition(main, fusion)
        ended.append([_values(part) for part in parts])
    for one, other in zip(*ended, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], name)


@pytest.mark.parametrize("broken", ["logits", "session"])
def test_a_missing_stop_gradient_is_found(broken):
    main, fusion = _steps(FusionToy(broken=broken))
    with pytest.raises(IsolationError, match=r"gradient by .*`model/.*stop_"):
        check_isolation(main, fusion, _batch())
    leaks = gradient_leaks(main, fusion, _batch())
    assert "model/table" in leaks
    # The step itself is walled off by its tape all the same.
    main_part, _ = variable_partition(main, fusion)
    before = _values(main_part)
    fusion(_batch())
    assert not changed(main_part, before)


def test_a_fusion_that_moves_statistics_is_found():
    main, fusion = _steps(FusionToy(broken="training"))
    with pytest.raises(IsolationError, match=r"fusion step changed .*model/"):
        check_isolation(main, fusion, _batch())


def test_a_shared_optimizer_is_found():
    model = FusionToy()
    shared = _optimizer()
    # Else it would refuse what the other step gives it.
    shared.build(model.trainable_variables)
    main = MainStep(model, shared, build_balancer(TrainingConfig(), NAMES))
    fusion = FusionStep(model, shared, LOSS)
    with pytest.raises(IsolationError, match=r"share .*own optimizer"):
        check_isolation(main, fusion, _batch())
    # Nor would a copy that keeps the same slots pass.
    main_part, _ = variable_partition(main, fusion)
    before = _values(main_part)
    fusion(_batch())
    assert "optimizer/iteration" in changed(main_part, before)
    main.optimizer = _optimizer()
    main.optimizer.build(model.trainable_variables)
    main.optimizer._slots = shared._slots
    with pytest.raises(IsolationError, match=r"share .*own variables"):
        check_isolation(main, fusion, _batch())


def test_a_main_step_that_decays_the_fusion_is_found():
    """As by weight decay that does not know the partition."""

    class Decaying(MainStep):
        def __call__(self, batch):
            for variable in self.model.fusion_variables:
                variable.assign(variable * 0.99)
            return super().__call__(batch)

    _, fusion = _steps()
    main = Decaying(
        fusion.model, _optimizer(), build_balancer(TrainingConfig(), NAMES)
    )
    with pytest.raises(IsolationError, match=r"main step changed .*fusion/"):
        check_isolation(main, fusion, _batch())


# Steps ---------------------------------------------------------------------


def test_steps_learn_and_report():
    _, fusion = _steps()
    before = _values({v.path: v.value for v in fusion.model.variables})
    rows = _rows(fusion, 100)
    used = rows["fusion_requests_used"]
    assert len(used) == STEPS_PER_EPOCH
    assert np.all(used + rows["fusion_requests_skipped"] == 8)
    assert np.all(used > 0)
    assert np.all(rows["fusion_requests_skipped"] >= 0)
    assert rows["fusion_weights"].shape == (STEPS_PER_EPOCH, len(NAMES))
    np.testing.assert_allclose(rows["fusion_weights"][0], 0.5, atol=1e-6)
    assert not fusion.not_finite(rows)
    moved = changed({v.path: v.value for v in fusion.model.variables}, before)
    assert moved
    assert all("/fusion/" in path for path in moved)
    run = repeat_steps(fusion)
    more = [run(iter(toy_batches()), 20)["fusion_loss"] for _ in range(10)]
    assert more[-1].mean() < rows["fusion_loss"].mean()


def test_a_step_is_taken_when_due():
    main, fusion = _steps()
    step_fn = tf.function(AlternatingStep(main, fusion, 3), autograph=False)
    taken = []
    for step in range(7):
        before = _values(fusion.named_variables())
        row = step_fn(_batch(step))
        taken.append(bool(changed(fusion.named_variables(), before)))
        assert bool(row["fusion_requests_used"]) == taken[-1]
        assert bool(tf.reduce_any(row["fusion_weights"] != 0)) == taken[-1]
    assert taken == [False, False, True, False, False, True, False]


def test_a_window_counts_only_the_steps_that_were_due():
    main, fusion = _steps()
    step = AlternatingStep(main, fusion, 3)
    rows = _rows(step, 7)
    state = TrainingState()
    state.add(step, rows, 1.0)
    row = state.close_window(step)
    due = rows["fusion_loss"][[2, 5]].astype("float64")
    assert row["fusion_loss"] == due.mean()
    assert row["fusion_requests_used"] == rows["fusion_requests_used"].sum()
    assert row["loss"] == rows["loss"].astype("float64").mean()
    state.add(step, {name: values[:1] for name, values in rows.items()}, 1.0)
    assert state.close_window(step)["fusion_loss"] is None


def test_what_is_not_finite_ends_the_run_and_is_named():
    _, fusion = _steps()
    fusion.model.fusion.gate.bias.assign([np.nan, 0.0])
    rows = _rows(fusion, 5)
    assert len(rows["fusion_loss"]) == 1
    assert "the fusion's loss is nan" in fusion.not_finite(rows)


def test_a_batch_without_any_contrast_moves_no_weight():
    _, fusion = _steps(optimizer=_optimizer())
    weights = {v.path: v.value for v in fusion.variables}
    before = _values(weights)
    batch = _batch()
    batch["labels"] = tf.zeros_like(batch["labels"])
    row = fusion(batch)
    assert int(row["fusion_requests_used"]) == 0
    assert int(row["fusion_requests_skipped"]) == 8
    assert float(row["fusion_loss"]) == 0
    assert not changed(weights, before)
