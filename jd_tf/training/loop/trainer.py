"""The training loop: steps, looks, saves, stops and resumes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from jd_tf.schema import DataError, SchemaError
from jd_tf.training.build_from_config import (
    build_balancer,
    build_fusion,
    build_optimizer,
)
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.progress import Progress
from jd_tf.training.loop.stop_signals import StopSignals
from jd_tf.training.loop.summaries import Summaries
from jd_tf.training.loop.training_state import Row, TrainingState
from jd_tf.training.main_step import TrainingSteps
from jd_tf.training.named_variables import training_variables
from jd_tf.training.workdir import (
    CHECKPOINTS,
    SUMMARIES,
    open_workdir,
    restore_model,
)

TrainBatches = Callable[[int, int], tf.data.Dataset]
Validate = Callable[[], dict[str, float | None]]


class NotFiniteError(ArithmeticError):
    """A loss or gradient became NaN or infinite; says which and when."""


class Trainer:
    """Trains a model in a work folder, from where the folder stands.

    The order in which a session goes: refuse a folder of another run; load
    the newest checkpoint, if any; then, until something ends it, take steps,
    write history, evaluate, write checkpoints. At the end the model has the
    weights of the best evaluation. Run again in the same folder, it goes on
    where the last session stood, whether that ended or was killed, and takes
    the very steps an uninterrupted run would have taken. Where a fusion
    learns, it is proved at every start that it and the main network leave
    each other alone.

    Args:
        model: `model(batch, training=True)["logits"]` are (B, N, T); built.
        config: of the run.
        workdir: its folder.
        train_batches: (epoch, batches to skip) -> that pass over the data,
            the same whenever asked.
        validate: () -> metrics of the model as it is, None where undefined.
        objective_names: T names; by default the model's schema's.
        steps_per_epoch: for the progress bar, if known.

    Attributes:
        state: where the run stands.
        stopped_by: why `train` returned: "epochs", "max_steps",
            "time_limit", "patience" or "signal".
        signal: number of the signal that stopped it, else 0.
    """

    def __init__(
        self,
        model: keras.Model,
        config: TrainingConfig,
        workdir: str | Path,
        train_batches: TrainBatches,
        validate: Validate | None = None,
        objective_names: tuple[str, ...] = (),
        steps_per_epoch: int | None = None,
    ):
        self.model = model
        self.config = config
        self.workdir = Path(workdir)
        self.train_batches = train_batches
        self.validate = validate
        self.steps_per_epoch = steps_per_epoch
        names = objective_names or model.schema.objective_names
        self.objective_names = tuple(names)
        self.optimizer = build_optimizer(config)
        self.balancer = build_balancer(config, self.objective_names)
        self.fusion = build_fusion(config, model)
        self.steps = TrainingSteps(
            model,
            self.optimizer,
            self.balancer,
            self.fusion if config.fusion_every else None,
        )
        self.checkpoints = Checkpoints(self.workdir / CHECKPOINTS)
        self.state = TrainingState()
        self.stopped_by = ""
        self.signal = 0

    def train(self) -> list[Row]:
        """Trains until the config, the data or a person says stop.

        Returns:
            The history: a dict per `log_every` steps (`step`, `epoch`,
            `seconds`, `loss`, `loss/<objective>`, ...) and one per evaluation
            (`validation/<metric>`), of all sessions.

        Raises:
            DataError: the folder is another run's, a checkpoint is damaged,
                there is no data, or `monitor` names no metric.
            NotFiniteError: a loss or gradient is NaN or infinite. Nothing is
                saved after it.
            IsolationError: main and fusion steps touch each other's side.
        """
        open_workdir(self.workdir, self.model, self.config)
        self._variables = training_variables(
            self.model, self.optimizer, self.balancer
        )
        if self.fusion is not None:
            self._variables |= self.fusion.named_variables()
        self._resume()
        self._assert_isolated()
        total = None
        if self.steps_per_epoch:
            total = self.steps_per_epoch * self.config.epochs
        if self.config.max_steps:
            total = min(total or self.config.max_steps, self.config.max_steps)
        with (
            StopSignals() as self._signals,
            Summaries(self.workdir / SUMMARIES) as self._summaries,
            Progress(
                self.config.progress, self.state.step, total
            ) as self._progress,
        ):
            self._progress.update(self.state, self.objective_names)
            while not self._why_stop():
                self._pass_over_data()
            self._finish()
        return self.state.history

    # Parts of a session ----------------------------------------------------

    def _resume(self) -> None:
        self.checkpoints.recover()
        steps = self.checkpoints.steps()
        self._saved = None
        if steps:
            stored = self.checkpoints.restore(steps[-1], self._variables)
            self.state = TrainingState(**stored)
            self._saved = self._position()
        self._saved_at = self._began = time.monotonic()
        self._earlier = self.state.seconds

    def _assert_isolated(self) -> None:
        """Proves that main and fusion steps leave each other's side alone."""
        if self.fusion is None:
            return
        state = self.state
        for place in ((state.epoch, state.batch), (0, 0)):
            for batch in self.train_batches(*place).take(1):
                self.fusion.assert_isolated(self.steps, batch)
                return

    def _pass_over_data(self) -> None:
        state, config = self.state, self.config
        batches = self.train_batches(state.epoch, state.batch)
        iterator = iter(batches)
        # Traced now, so that the first steps are timed like the others.
        self.steps.run(iterator, 0)
        while not self._why_stop():
            asked = min(config.steps_per_call, self._steps_to_next_look())
            began = time.monotonic()
            records = self.steps.run(iterator, asked)
            now = time.monotonic()
            self.state.seconds = self._earlier + now - self._began
            self._check_finite(records)
            state.add(records, now - began)
            self._progress.update(state, self.objective_names)
            ended = len(records) < asked
            if ended:
                if not state.batch:
                    raise DataError(
                        f"epoch {state.epoch} has no batch to train on."
                    )
                state.epoch, state.batch = state.epoch + 1, 0
            self._look(ended)
            if ended:
                return

    def _steps_to_next_look(self) -> int:
        """Steps until something is due; calls end there."""
        config, step = self.config, self.state.step
        periods = (
            config.log_every,
            config.evaluate_every,
            config.checkpoint_every,
        )
        distances = [period - step % period for period in periods if period]
        if config.max_steps:
            distances.append(config.max_steps - step)
        return min(distances)

    def _look(self, epoch_ended: bool) -> None:
        """Writes, evaluates and saves what is due at this step."""
        config, step = self.config, self.state.step
        if step % config.log_every == 0:
            self._log()
        due = config.evaluate_every
        better = False
        if epoch_ended if not due else step % due == 0:
            better = self._evaluate()
        minutes = (time.monotonic() - self._saved_at) / 60
        if (
            better
            or (config.checkpoint_every and step % config.checkpoint_every == 0)
            or minutes >= config.checkpoint_minutes
        ):
            self._save()

    def _finish(self) -> None:
        self.stopped_by = self._why_stop()
        self.signal = self._signals.received
        if not self.signal:
            self._log()
            self._evaluate()
        self._save()
        if self.signal:
            self._progress.say(
                f"stopped at step {self.state.step}; run again to go on"
            )
        elif self.state.best_step not in (-1, self.state.step):
            restore_model(self.checkpoints, self.state.best_step, self.model)

    def _why_stop(self) -> str:
        config, state = self.config, self.state
        limit = config.time_limit_seconds
        if self._signals.received:
            return "signal"
        if state.epoch >= config.epochs:
            return "epochs"
        if config.max_steps and state.step >= config.max_steps:
            return "max_steps"
        if config.patience and state.worse_evaluations >= config.patience:
            return "patience"
        if limit and state.seconds >= limit:
            return "time_limit"
        return ""

    # What is due -----------------------------------------------------------

    def _log(self) -> None:
        rates = {
            "learning_rate": float(self.optimizer.learning_rate),
            "table_learning_rate": float(self.optimizer.table_learning_rate),
        }
        row = self.state.close_window(self.objective_names, rates)
        if row:
            self._summaries.write(row)

    def _evaluate(self) -> bool:
        """Evaluates, once a step; returns whether it is the best so far."""
        state, monitor = self.state, self.config.monitor
        if self.validate is None or state.evaluated_step == state.step:
            return False
        metrics = self.validate()
        if monitor not in metrics:
            raise SchemaError(
                f"`monitor` must name a validation metric, one of "
                f"{sorted(metrics)}. Got: {monitor!r}."
            )
        state.evaluated_step = state.step
        self.state.seconds = self._earlier + time.monotonic() - self._began
        row = {
            "step": state.step,
            "epoch": state.epoch,
            "seconds": state.seconds,
            **{f"validation/{name}": m for name, m in metrics.items()},
        }
        state.history.append(row)
        self._summaries.write(row)
        value = metrics[monitor]
        self._progress.say(
            f"step {state.step}: validation {monitor} "
            + ("undefined" if value is None else f"{value:.5f}")
        )
        sign = -1.0 if monitor.startswith("loss") else 1.0
        better = value is not None and (
            state.best_step < 0 or sign * value > sign * state.best_value
        )
        if better:
            state.best_step, state.best_value = state.step, value
            state.worse_evaluations = 0
        else:
            state.worse_evaluations += 1
        return better

    def _position(self) -> tuple[int, int]:
        """What changes whenever there is something new to save."""
        return self.state.step, len(self.state.history)

    def _save(self) -> None:
        if self._saved == self._position():
            return
        state = self.state
        self.checkpoints.write(state.step, self._variables, state.to_json())
        self._saved, self._saved_at = self._position(), time.monotonic()
        self.checkpoints.prune(self.config.keep_checkpoints, state.best_step)

    def _check_finite(self, records: Any) -> None:
        problem = self.steps.not_finite(records)
        if not problem:
            return
        step = self.state.step + len(records)
        saved = self.checkpoints.steps()
        last = (
            f"the last good checkpoint is {self.checkpoints.path(saved[-1])}"
            if saved
            else "there is no checkpoint yet"
        )
        raise NotFiniteError(
            f"step {step}: {problem}; {last}. Lower the learning rates or "
            "look at the data of that step."
        )
