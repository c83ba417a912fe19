"""The training loop: steps, evaluations, checkpoints, stops and resumes."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from jd_tf.schema import DataError, SchemaError
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.run_log import Progress, Summaries
from jd_tf.training.loop.stop_signals import StopSignals
from jd_tf.training.loop.training_state import Row, TrainingState
from jd_tf.training.loop.training_step import (
    WAITS,
    Batch,
    Rows,
    TrainingStep,
    repeat_steps,
)
from jd_tf.training.workdir import CHECKPOINTS, SUMMARIES

# Beginnings of the names of what is set to the best ones in the end.
BEST = ("model/", "average/")
TrainBatches = Callable[[int, int], tf.data.Dataset]
Validate = Callable[[], dict[str, float | None]]


class NotFiniteError(ArithmeticError):
    """A loss or gradient became NaN or infinite; names it and the step."""


@dataclasses.dataclass(eq=False)
class Trainer:
    """Repeats a step in a work folder, from where the folder stands.

    A session loads the newest checkpoint, if any; then, until something ends
    it, it takes steps, writes history, evaluates and writes checkpoints. At
    the end the variables named `model/` are those of the best evaluation;
    after a signal they are those of the last step.
    Run again in the same folder, it goes on where the last session stood,
    whether that ended or was killed, and takes the very steps an
    uninterrupted run would have taken.

    Args:
        step_fn: one step on a batch.
        config: of the run.
        workdir: its folder.
        train_batches: (epoch, batches to skip) -> that pass over the data,
            the same at every call.
        validate: () -> metrics of the model as it is, None where undefined.
        steps_per_epoch: for the progress bar, if known.
        check: is given a batch before the first step of a session, and
            raises if training must not start.
        checkpoints_folder: folder of the checkpoints within `workdir`.
        data: fingerprint of what it trains on. A run of other data is
            refused,
        continue_on: or goes on from its best weights, with epochs, steps,
            seconds and best counted anew.

    Attributes:
        state: position, history and best of the run.
        stopped_by: the reason why `train` returned: "epochs", "max_steps",
            "time_limit", "patience" or "signal".
        signal: number of the signal that stopped it, else 0.
        steps_taken: by this session.

    Example:
    >>> import tempfile
    >>> class Halve(TrainingStep):
    ...     row_spec = {"loss": tf.TensorSpec(())}
    ...     checked = {"loss": ["the loss"]}
    ...
    ...     def __init__(self):
    ...         self.weight = tf.Variable(4.0)
    ...
    ...     def __call__(self, batch):
    ...         loss = tf.square(self.weight)
    ...         self.weight.assign(self.weight * batch["factor"])
    ...         return {"loss": loss}
    ...
    ...     def named_variables(self):
    ...         return {"model/weight": self.weight}
    >>> def batches(epoch, skip):
    ...     data = tf.data.Dataset.from_tensors({"factor": 0.5})
    ...     return data.repeat(4).skip(skip)
    >>> config = TrainingConfig(log_every=2, progress=False)
    >>> with tempfile.TemporaryDirectory() as workdir:
    ...     trainer = Trainer(Halve(), config, workdir, batches)
    ...     history = trainer.train()
    >>> [row["loss"] for row in history], trainer.stopped_by
    ([10.0, 0.625], 'epochs')
    """

    step_fn: TrainingStep
    config: TrainingConfig
    workdir: Path
    train_batches: TrainBatches
    validate: Validate | None = None
    steps_per_epoch: int | None = None
    check: Callable[[Batch], object] | None = None
    checkpoints_folder: dataclasses.InitVar[str] = CHECKPOINTS
    data: str = ""
    continue_on: bool = False

    def __post_init__(self, checkpoints_folder: str) -> None:
        self.workdir = Path(self.workdir)
        self.checkpoints = Checkpoints(self.workdir / checkpoints_folder)
        self.state = TrainingState(data=self.data)
        self.stopped_by, self.signal, self.steps_taken = "", 0, 0
        self._variables = self.step_fn.named_variables()
        if any(
            isinstance(variable, tf.distribute.DistributedValues)
            for variable in self._variables.values()
        ):
            raise SchemaError(
                "the Trainer runs on one device, but its model was made in "
                "the scope of a tf.distribute strategy. Leave the scope, or "
                "train by `model.fit`, which runs on several."
            )
        self._run = repeat_steps(self.step_fn)
        self._saved: tuple[int, int] | None = None

    def train(self) -> list[Row]:
        """Trains until the config, the data or a person ends it.

        Returns:
            The history: a dict per `log_every` steps (`step`, `epoch`,
            `seconds` and what the step reports) and one per evaluation
            (`validation/<metric>`), of all sessions.

        Raises:
            DataError: a checkpoint is damaged, there is no data, or `monitor`
                names no metric.
            NotFiniteError: a checked number is NaN or infinite. Nothing is
                saved after it.
        """
        self.resume()
        config, state = self.config, self.state
        self._check_batch()
        self._saved_at = self._began = time.monotonic()
        self._earlier = state.seconds
        total = None
        if self.steps_per_epoch:
            total = self.steps_per_epoch * config.epochs
        if config.max_steps:
            total = min(total or config.max_steps, config.max_steps)
        done = state.step - state.first_step
        summaries = Summaries(self.workdir / SUMMARIES)
        name, shown = self.step_fn.name, config.progress
        progress = Progress(name, shown, done, total)
        with (
            StopSignals() as self._signals,
            contextlib.closing(summaries) as self._summaries,
            contextlib.closing(progress) as self._progress,
        ):
            self._show()
            if state.first_step and state.step == state.first_step:
                # The best to beat is what the run was before these data.
                self._evaluate()
                self._save()
                self.checkpoints.remove_after(state.step)
            while not self._stop_reason():
                self._pass_over_data()
            self._finish()
        return state.history

    def resume(self) -> None:
        """Loads the newest checkpoint, once; writes nothing.

        Raises:
            DataError: a checkpoint is damaged, or of a run on other data.
        """
        self.checkpoints.recover()
        steps = self.checkpoints.steps()
        if not steps or self._saved is not None:
            return
        stored = self.checkpoints.restore(steps[-1], self._variables)
        self.state = TrainingState(**stored)
        if self.state.data == self.data:
            self._saved = self._position()
            return
        if not self.continue_on:
            raise DataError(
                f"{self.workdir}: the run there is on other data. Train in "
                "another folder, or go on from its best weights with these "
                "data by --continue_on."
            )
        self.state = self.state.on_other_data(self.data)
        self.checkpoints.restore(self.state.step, self._variables)

    def _check_batch(self) -> None:
        if self.check is None:
            return
        for place in ((self.state.epoch, self.state.batch), (0, 0)):
            for batch in self.train_batches(*place).take(1):
                self.check(batch)
                return

    def _save(self) -> None:
        """Writes a checkpoint, unless the newest has all there is to save."""
        if self._saved == self._position():
            return
        state = self.state
        self.checkpoints.write(state.step, self._variables, state.to_json())
        self._saved, self._saved_at = self._position(), time.monotonic()
        self.checkpoints.prune(self.config.keep_checkpoints, state.best_step)

    def _pass_over_data(self) -> None:
        state, config = self.state, self.config
        iterator = iter(self.train_batches(state.epoch, state.batch))
        # Traced now, so that the first steps are timed like the others.
        self._run(iterator, 0)
        while not self._stop_reason():
            wanted = min(config.steps_per_call, self._steps_until_due())
            began = time.monotonic()
            rows = self._run(iterator, wanted)
            now = time.monotonic()
            taken = len(rows[WAITS])
            self.steps_taken += taken
            state.seconds = self._earlier + now - self._began
            self._check_finite(rows)
            state.add(self.step_fn, rows, now - began)
            self._show()
            ended = taken < wanted
            if ended:
                if not state.batch:
                    raise DataError(
                        f"epoch {state.epoch} has no batch to train on."
                    )
                state.epoch, state.batch = state.epoch + 1, 0
            self._do_what_is_due(ended)
            if ended:
                return

    def _steps_until_due(self) -> int:
        """Returns the steps until something is due; calls end there."""
        config, step = self.config, self.state.step
        names = ("log_every", "evaluate_every", "checkpoint_every")
        periods = [getattr(config, name) for name in names]
        distances = [period - step % period for period in periods if period]
        if config.max_steps:
            distances.append(config.max_steps - step + self.state.first_step)
        return min(distances)

    def _do_what_is_due(self, epoch_ended: bool) -> None:
        """Logs, evaluates and saves what is due at this step."""
        config, step = self.config, self.state.step
        if step % config.log_every == 0:
            self._log()
        every, better = config.evaluate_every, False
        if step % every == 0 if every else epoch_ended:
            better = self._evaluate()
        every = config.checkpoint_every
        minutes = (time.monotonic() - self._saved_at) / 60
        due = (every and step % every == 0) or (
            minutes >= config.checkpoint_minutes
        )
        if better or due:
            self._save()

    def _finish(self) -> None:
        state = self.state
        self.stopped_by = self._stop_reason()
        self.signal = self._signals.received
        if self.signal:
            self._save()
            line = f"stopped at step {state.step}; run again to go on"
            self._progress.log(line)
            return
        self._log()
        self._evaluate()
        self._save()
        best = state.step if state.best_step < 0 else state.best_step
        named = self._variables.items()
        kept = {n: v for n, v in named if n.startswith(BEST)}
        self.checkpoints.restore(best, kept)
        if self.step_fn.average:
            self.step_fn.average.apply()

    def _stop_reason(self) -> str:
        config, state = self.config, self.state
        steps = state.step - state.first_step
        reasons = {
            "signal": self._signals.received,
            "epochs": state.epoch >= config.epochs,
            "max_steps": 0 < config.max_steps <= steps,
            "patience": 0 < config.patience <= state.worse_evaluations,
            "time_limit": 0 < config.time_limit_seconds <= state.seconds,
        }
        return next((name for name, met in reasons.items() if met), "")

    def _show(self) -> None:
        row = self.state.window_row(self.step_fn)
        done = self.state.step - self.state.first_step
        self._progress.update(done, row)

    def _log(self) -> None:
        row = self.state.close_window(self.step_fn)
        if row:
            self._summaries.write(row)

    def _evaluate(self) -> bool:
        """Evaluates, once a step; returns whether it is the best so far."""
        state, monitor = self.state, self.config.monitor
        if self.validate is None or state.evaluated_step == state.step:
            return False
        average = self.step_fn.average
        with average.applied() if average else contextlib.nullcontext():
            metrics = self.validate()
        if monitor not in metrics:
            raise SchemaError(
                f"`monitor` must name a validation metric, one of "
                f"{sorted(metrics)}. Got: {monitor!r}."
            )
        state.seconds = self._earlier + time.monotonic() - self._began
        row, better = state.add_evaluation(metrics, monitor)
        self._summaries.write(row)
        value = metrics[monitor]
        self._progress.log(
            f"step {state.step}: validation {monitor} "
            + ("undefined" if value is None else f"{value:.5f}")
        )
        return better

    def _position(self) -> tuple[int, int]:
        """Returns what changes whenever there is something new to save."""
        return self.state.step, len(self.state.history)

    def _check_finite(self, rows: Rows) -> None:
        problem = self.step_fn.not_finite(rows)
        if not problem:
            return
        step = self.state.step + len(rows[WAITS])
        last = "there is no checkpoint yet"
        for saved in self.checkpoints.steps()[-1:]:
            path = self.checkpoints.path(saved)
            last = f"the last good checkpoint is {path}"
        raise NotFiniteError(
            f"{self.step_fn.name} step {step}: {problem}; {last}. "
            f"{self.step_fn.remedy} or look at the data of that step."
        )
