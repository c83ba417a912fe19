"""Averages of weights against a loop over all rows, and what they cost."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.training.build_from_config import build_main_step, build_trainer
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.training_step import repeat_steps
from jd_tf.training.named_variables import model_variables
from jd_tf.training.weight_average import WeightAverage
from jd_tf.training.workdir import load_trained
from tests.training.toy import STEPS_PER_EPOCH, ToyRanker, toy_batches

DECAY = 0.8


def _config(**changes):
    given = {"log_every": 1, "progress": False, "ema_decay": DECAY, **changes}
    return TrainingConfig(
        learning_rate=0.02, table_learning_rate=0.2, steps_per_call=4, **given
    )


def _weights(model):
    # Copies: `numpy` may show the variable's own memory.
    named = model_variables(model)
    return {name: np.array(v.numpy()) for name, v in named.items()}


def _states(step, num_steps, batches=None):
    """Weights before the first and after every step, taken one by one."""
    run, iterator = repeat_steps(step), iter(batches or toy_batches())
    states = [_weights(step.model)]
    for _ in range(num_steps):
        run(iterator, 1)
        states.append(_weights(step.model))
    return states


def _oracle(states, decay=DECAY):
    """The recurrence, on every row at every step, in double precision."""
    averages = {n: v.astype("float64") for n, v in states[0].items()}
    for step, weights in enumerate(states[1:], start=1):
        here = min(decay, (1 + step) / (10 + step))
        for name, weight in weights.items():
            averages[name] = here * averages[name] + (1 - here) * weight
    return averages


@pytest.mark.parametrize("decay", [0.3, DECAY, 0.999])
@pytest.mark.parametrize("method", ["adagrad", "lazy_adam"])
def test_averages_are_those_of_all_rows(decay, method):
    step = build_main_step(
        _config(ema_decay=decay, table_method=method), ToyRanker()
    )
    states = _states(step, STEPS_PER_EPOCH, toy_batches())
    expected = _oracle(states, decay)
    step.average.apply()
    found = _weights(step.model)
    trained = [name for name in found if "seed" not in name]
    assert len(trained) == 3
    for name in trained:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=2e-5, atol=1e-6, err_msg=name
        )
    # Some rows were touched at no step, others at every second one.
    table = np.array([state["table"] for state in states])
    moved = (np.diff(table, axis=0) != 0).any(axis=2).sum(axis=0)
    assert moved.min() == 0
    assert 0 < np.median(moved) < STEPS_PER_EPOCH


def test_a_table_with_dense_gradients_is_averaged_whole():
    model = ToyRanker()
    average = WeightAverage(model, DECAY)
    states, random = [_weights(model)], np.random.default_rng(1)
    for step in range(7):
        dense = [
            tf.ones(w.shape) if step % 2 else None for w in average.weights
        ]
        average.follow(dense, tf.constant(step))
        for gradient, weight in zip(dense, average.weights, strict=True):
            if gradient is not None:
                weight.assign(random.normal(size=weight.shape))
        states.append(_weights(model))
    average.apply()
    expected = _oracle(states)["table"]
    np.testing.assert_allclose(model.table.numpy(), expected, rtol=1e-5)


def test_weights_train_on_as_without_an_average():
    keras.utils.set_random_seed(3)
    averaged = _states(build_main_step(_config(), ToyRanker()), 9)
    keras.utils.set_random_seed(3)
    plain = _states(build_main_step(_config(ema_decay=0.0), ToyRanker()), 9)
    for one, other in zip(averaged, plain, strict=True):
        for name, value in other.items():
            np.testing.assert_array_equal(one[name], value, name)


def test_evaluations_see_averages_and_leave_weights_and_averages_alone():
    step = build_main_step(_config(), ToyRanker())
    expected = _oracle(_states(step, 5))["table"]
    before = {n: v.numpy() for n, v in step.named_variables().items()}
    seen = []

    def fail():
        with step.average.applied():
            seen.append(step.model.table.numpy())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    (table,) = seen
    np.testing.assert_allclose(table, expected, rtol=2e-5, atol=1e-6)
    assert not np.array_equal(table, before["model/table"])
    for name, variable in step.named_variables().items():
        np.testing.assert_array_equal(variable.numpy(), before[name], name)


def test_the_best_averages_are_what_a_run_leaves(tmp_path):
    model, seen = ToyRanker(), []
    values = iter([0.6, 0.7, 0.5, 0.4])

    def validate():
        seen.append(_weights(model))
        return {"auc": next(values)}

    trainer = build_trainer(
        _config(monitor="auc", evaluate_every=7, checkpoint_every=5),
        model,
        tmp_path,
        toy_batches,
        validate,
    )
    trainer.train()
    assert trainer.state.best_step == 14
    for found in (model, load_trained(tmp_path)):
        for name, value in _weights(found).items():
            np.testing.assert_array_equal(value, seen[1][name], name)
    # The best model is not put into training again.
    raw = build_main_step(_config(), ToyRanker())
    trainer.checkpoints.restore(20, raw.named_variables())
    last = load_trained(tmp_path, best=False)
    assert not np.array_equal(last.table.numpy(), raw.model.table.numpy())
    raw.average.apply()
    np.testing.assert_array_equal(last.table.numpy(), raw.model.table.numpy())
