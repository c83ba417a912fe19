"""Schedules that end with the run."""

import numpy as np
import pytest

from jd_tf.data.files import read_json
from jd_tf.schema import DataError
from jd_tf.training.build_from_config import build_trainer, resolve_schedule
from jd_tf.training.config import TrainingConfig
from tests.training.toy import STEPS_PER_EPOCH, ToyRanker, toy_batches


def _config(**changes):
    given = {"decay_steps": -1, "log_every": 1, "progress": False, **changes}
    return TrainingConfig(learning_rate=0.02, final_rate=0.1, **given)


def _trainer(workdir, steps_per_epoch=STEPS_PER_EPOCH, **changes):
    return build_trainer(
        _config(**changes),
        ToyRanker(),
        workdir,
        toy_batches,
        steps_per_epoch=steps_per_epoch,
    )


@pytest.mark.parametrize("max_steps", [0, 13])
def test_rates_fall_to_the_last_step(tmp_path, max_steps):
    history = _trainer(
        tmp_path, epochs=2, warmup_steps=4, max_steps=max_steps
    ).train()
    rates = np.array([row["learning_rate"] for row in history])
    total = max_steps or 2 * STEPS_PER_EPOCH
    steps = np.arange(1, total + 1)
    cosine = (1 + np.cos(np.pi * (steps - 4) / (total - 4))) / 2
    falling = 0.02 * (0.1 + 0.9 * cosine)
    wanted = np.where(steps < 4, 0.02 * steps / 4, falling)
    np.testing.assert_allclose(rates, wanted, rtol=1e-4)
    stored = read_json(tmp_path / "config.json")
    assert stored["training"]["decay_steps"] == total - 4


def test_another_end_of_a_run_is_another_schedule(tmp_path):
    _trainer(tmp_path, max_steps=5).train()
    # The end that was meant: the run goes on.
    _trainer(tmp_path, max_steps=5).train()
    with pytest.raises(DataError, match=r"decay_steps = 5, this one 7"):
        _trainer(tmp_path, max_steps=7).train()
    # Or longer, at the rate the schedule ended with.
    history = _trainer(tmp_path, max_steps=7, decay_steps=5).train()
    assert history[-1]["learning_rate"] == pytest.approx(0.002)


def test_a_schedule_without_an_end_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"`decay_steps` is -1.*`max_steps`"):
        _trainer(tmp_path, None)
    with pytest.raises(DataError, match="`warmup_steps`, 5, take all 5 steps"):
        _trainer(tmp_path, max_steps=5, warmup_steps=5)
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"`decay_steps`.*not below -1"):
        _config(decay_steps=-2)
    assert resolve_schedule(_config(max_steps=9), None).decay_steps == 9
    assert resolve_schedule(_config(decay_steps=3), None).decay_steps == 3
