"""After the main training: curves from validation data, then the fusion."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from jd_tf.schema import DataError
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.config import TrainingConfig
from jd_tf.training.fusion.fusion_window import add_fusion, fusion_row
from jd_tf.training.loop.stop_signals import StopSignals
from jd_tf.training.loop.summaries import Summaries
from jd_tf.training.loop.trainer import NotFiniteError, TrainBatches, Trainer
from jd_tf.training.losses import cell_weights
from jd_tf.training.named_variables import model_variables
from jd_tf.training.post_training_checkpoints import (
    HEAD,
    HeadState,
    head_variables,
    restore_head,
)
from jd_tf.training.workdir import SUMMARIES

# (logits, labels, label weights [R, N, T], candidates [R], method=,
# num_knots=) -> T curves with `knots`, `num_impressions`, `num_positives` and
# `note`, as `jd_tf.training.calibration_fit.fit_curves`.
FitCurves = Callable[..., Sequence[Any]]
# Share of a pass that a fusion needs to get used to calibrated logits.
_SETTLING_SHARE = 10


def num_fusion_steps(
    config: TrainingConfig, steps_per_epoch: int, calibrates: bool
) -> int:
    """Fusion steps to take after the main training.

    Args:
        config: of the run.
        steps_per_epoch: batches of a pass over the data.
        calibrates: whether the ranker has curves.
    """
    if config.fusion_steps:
        return config.fusion_steps
    if not config.fusion_every:
        return steps_per_epoch
    return -(-steps_per_epoch // _SETTLING_SHARE) if calibrates else 0


class HeadStage:
    """Fits what stands on a trained main network, and changes none of it.

    It starts from the checkpoint of the best evaluation: curves are fitted
    on validation data and put into the model; then fusion steps run over the
    training data. During the main training the curves are the identity,
    whatever the alternation: refitting them at each evaluation would have
    the fusion read logits that jump, and a resumed run would have to
    evaluate where the first one did. Curves and fusion have a few hundred
    numbers; they are kept in checkpoints of their own, together with the
    fusion's optimizer, and a killed stage ends like an uninterrupted one. If
    the main network trains on later, the stage is done anew.

    Args:
        trainer: whose `train` has returned.
        train_batches: as of `Trainer`.
        validation_batches: () -> a pass over the validation data.
        fit_curves: needed where the model calibrates.
        steps_per_epoch: batches of a pass over the training data.

    Attributes:
        state: where the stage stands, None before it ran.
    """

    def __init__(
        self,
        trainer: Trainer,
        train_batches: TrainBatches,
        validation_batches: Callable[[], tf.data.Dataset],
        fit_curves: FitCurves | None,
        steps_per_epoch: int,
    ):
        self.trainer = trainer
        self.model = trainer.model
        self.config = trainer.config
        self.train_batches = train_batches
        self.validation_batches = validation_batches
        self.fit_curves = fit_curves
        self.fusion = trainer.fusion
        head = getattr(self.model, "head", None)
        self.calibration = None if head is None else head.calibration
        self.num_steps = 0
        if self.fusion is not None:
            self.num_steps = num_fusion_steps(
                self.config, steps_per_epoch, self.calibration is not None
            )
        self.checkpoints = Checkpoints(trainer.workdir / HEAD)
        self.state: HeadState | None = None

    def run(self) -> HeadState | None:
        """Does what is left to do; the model has the result.

        Returns:
            Where it stands; None where the model has nothing to fit.

        Raises:
            DataError: a checkpoint is damaged, or there is no data.
            NotFiniteError: the fusion's loss or gradient is not finite.
        """
        if self.calibration is None and not self.num_steps:
            return None
        with StopSignals() as signals:
            self._begin()
            self._train(signals)
        self.trainer.signal = signals.received
        return self.state

    # Parts -----------------------------------------------------------------

    def _begin(self) -> None:
        """The main network at its best, and the head as it stands."""
        trainer = self.trainer
        base = trainer.state.best_step
        base = trainer.state.step if base < 0 else base
        named = model_variables(self.model)
        whole = {f"model/{name}": v for name, v in named.items()}
        whole |= self._optimizer_variables()
        trainer.checkpoints.restore(base, whole)
        self._variables = {
            **head_variables(self.model),
            **self._optimizer_variables(),
        }
        self.checkpoints.recover()
        found = restore_head(
            trainer.workdir, self.model, trainer.state.step, base
        )
        if found is not None:
            self.checkpoints.restore(found.step, self._variables)
            self.state = found
            return
        if self.checkpoints.folder.exists():
            shutil.rmtree(self.checkpoints.folder)
        self.state = HeadState(trainer.state.step, base)
        if self.calibration is not None:
            self._calibrate()
        self._save()

    def _optimizer_variables(self) -> dict[str, tf.Variable]:
        return {} if self.fusion is None else self.fusion.named_variables()

    def _calibrate(self) -> None:
        names = self.trainer.objective_names
        logits, labels, weights = self._cells()
        curves = self.fit_curves(
            logits,
            labels,
            weights,
            np.ones(len(logits), np.int32),
            method=self.config.calibration_method,
            num_knots=self.calibration.num_knots,
        )
        self.calibration.assign_curves([curve.knots for curve in curves])
        self.state.curves = {
            name: {
                "num_impressions": int(curve.num_impressions),
                "num_positives": int(curve.num_positives),
                "num_knots": len(curve.knots[0]),
                "note": curve.note,
            }
            for name, curve in zip(names, curves, strict=True)
        }

    def _cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits, labels and weights of real candidates, each [M, 1, T]."""

        @tf.function(reduce_retracing=True, autograph=False)
        def judge(batch: dict[str, tf.Tensor]) -> tuple:
            logits = self.model(batch, training=False)["logits"]
            lengths, width = batch["num_candidates"], tf.shape(logits)[1]
            real = tf.sequence_mask(lengths, width)
            parts = (logits, batch["labels"], cell_weights(batch))
            return tuple(tf.boolean_mask(part, real) for part in parts)

        found = [
            [part.numpy() for part in judge(batch)]
            for batch in self.validation_batches()
        ]
        if not found:
            raise DataError("the validation split has no request to fit on.")
        return tuple(
            np.concatenate(parts)[:, None] for parts in zip(*found, strict=True)
        )

    def _train(self, signals: StopSignals) -> None:
        state, before = self.state, self.state.seconds
        began = time.monotonic()
        bar = tqdm.tqdm(
            desc="fusion",
            unit="step",
            initial=state.step,
            total=self.num_steps,
            disable=not (self.config.progress and self.num_steps),
        )
        with bar, Summaries(self.trainer.workdir / SUMMARIES) as summaries:
            for records in self._records(signals):
                self._check_finite(records)
                add_fusion(state.window, records)
                bar.update(len(records))
                state.seconds = before + time.monotonic() - began
                last = state.step >= self.num_steps
                if last or state.step % self.config.log_every == 0:
                    summaries.write(self._close_window())
                every = self.config.checkpoint_every
                if last or (every and state.step % every == 0):
                    self._save()
            if signals.received:
                self._save()

    def _records(self, signals: StopSignals) -> Iterable[Any]:
        """Runs the steps that are left, some at a time."""
        state, config = self.state, self.config
        periods = (config.log_every, config.checkpoint_every)
        while state.step < self.num_steps and not signals.received:
            iterator = iter(self.train_batches(state.epoch, state.batch))
            self.fusion.run(iterator, 0)
            ended = False
            while not (ended or signals.received):
                asked = [p - state.step % p for p in periods if p]
                asked += [config.steps_per_call, self.num_steps - state.step]
                records = self.fusion.run(iterator, min(asked))
                ended = len(records) < min(asked)
                state.step += len(records)
                state.batch += len(records)
                if ended:
                    if not state.batch:
                        raise DataError("the training split has no batch.")
                    state.epoch, state.batch = state.epoch + 1, 0
                if len(records):
                    yield records
                if state.step >= self.num_steps:
                    return

    def _check_finite(self, records: Any) -> None:
        problem = records.not_finite()
        if problem:
            raise NotFiniteError(
                f"fusion step {self.state.step}: {problem}. Lower "
                "`fusion_learning_rate` or look at the data of that step."
            )

    def _close_window(self) -> dict[str, Any]:
        state = self.state
        row = {
            "step": state.main_step + state.step,
            "epoch": state.epoch,
            "seconds": state.seconds,
            **fusion_row(state.window, self.trainer.objective_names),
        }
        state.window = {}
        state.history.append(row)
        return row

    def _save(self) -> None:
        state = dataclasses.asdict(self.state)
        self.checkpoints.write(self.state.step, self._variables, state)
        self.checkpoints.prune(1, -1)
