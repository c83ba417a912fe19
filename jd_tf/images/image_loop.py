"""Fine-tuning: frozen, then unfrozen, saved and resumed to the same numbers."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tqdm

from jd_tf.images.image_augmentation import training_batches
from jd_tf.images.image_config import ImageTrainingConfig
from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_predictions import ImagePredictor, image_metrics
from jd_tf.images.image_steps import ImageSteps, balanced_weights
from jd_tf.images.image_tower import ImageTower
from jd_tf.images.title_words import word_targets
from jd_tf.schema import DataError
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.loop.run_log import Summaries
from jd_tf.training.loop.stop_signals import StopSignals
from jd_tf.training.loop.trainer import NotFiniteError
from jd_tf.training.loop.training_state import Row, TrainingState
from jd_tf.training.named_variables import model_variables
from jd_tf.training.workdir import (
    CHECKPOINTS,
    SUMMARIES,
    open_workdir,
    restore_model,
)

# The weights before the first step, to compare with.
INITIAL = "initial"


class ImageTrainer:
    """Fine-tunes a tower in a work folder, from where the folder stands.

    Passes with a frozen backbone come first, then passes in which everything
    learns. After each pass the tower is judged on the validation images.
    Killed at any moment and run again in the same folder, it goes on from the
    newest checkpoint and takes the very steps it would have taken.

    Args:
        tower: the model, with its initial weights.
        config: of the run.
        workdir: its folder.
        train: images to learn from, all readable.
        validation: images to judge by.

    Attributes:
        state: where the run stands; `impressions` counts images.
        stopped_by: why `train` returned: "epochs", "time_limit" or "signal".
        signal: number of the signal that stopped it, else 0.
    """

    def __init__(
        self,
        tower: ImageTower,
        config: ImageTrainingConfig,
        workdir: str | Path,
        train: LabelledImages,
        validation: LabelledImages,
    ):
        self.tower = tower
        self.config = config
        self.workdir = Path(workdir)
        self.images = train
        self.validation = validation
        self.steps_per_epoch = max(len(train) // config.batch_size, 1)
        self.num_epochs = config.frozen_epochs + config.epochs
        weights = balanced_weights(
            train.labels, len(tower.label_names), config.class_balance
        )
        self._words = None
        if tower.title_words:
            self._words = word_targets(train.titles, tower.title_words)
        self.steps = ImageSteps(tower, config, weights, self.steps_per_epoch)
        self._predictor = ImagePredictor(
            tower, config.batch_size, config.num_threads
        )
        self.checkpoints = Checkpoints(self.workdir / CHECKPOINTS)
        self.state = TrainingState()
        self.stopped_by = ""
        self.signal = 0

    def train(self) -> list[Row]:
        """Trains until the config or a person says stop.

        Returns:
            A row a pass: `step`, `epoch`, `seconds`, means over the pass
            (`loss`, `top1`, `gradient_norm`, `images_per_second`) and
            `validation/<metric>`; of all sessions. The first row judges the
            initial weights. The tower has the best pass's weights.

        Raises:
            DataError: the folder is another run's, a checkpoint is damaged,
                or an image that could be read cannot any more.
            NotFiniteError: the loss is NaN or infinite; nothing is saved
                after that.
        """
        open_workdir(self.workdir, self.tower, self.config)
        self._variables = self.steps.variables()
        self._resume()
        with (
            StopSignals() as self._signals,
            contextlib.closing(
                Summaries(self.workdir / SUMMARIES)
            ) as self._summaries,
            tqdm.tqdm(
                desc="fine-tuning",
                unit="step",
                initial=self.state.step,
                total=self.num_epochs * self.steps_per_epoch,
                disable=not self.config.progress,
                dynamic_ncols=sys.stderr.isatty(),
                mininterval=0.2 if sys.stderr.isatty() else 15.0,
            ) as self._bar,
        ):
            if not self.state.history:
                self._judge()
            while not self._why_stop():
                self._pass_over_data()
            self._finish()
        return self.state.history

    def _resume(self) -> None:
        self.checkpoints.recover()
        steps = self.checkpoints.steps()
        self._saved = 0, 0
        if steps:
            stored = self.checkpoints.restore(steps[-1], self._variables)
            self.state = TrainingState(**stored)
            self._saved = self.state.step, len(self.state.history)
        else:
            initial = Checkpoints(self.workdir / INITIAL)
            initial.recover()
            initial.write(0, _model_only(self._variables), {})
        self._saved_at = self._began = time.monotonic()
        self._earlier = self.state.seconds

    def _pass_over_data(self) -> None:
        state, config = self.state, self.config
        frozen = state.epoch < config.frozen_epochs
        for batch in self._batches():
            began = time.monotonic()
            words = None
            if self._words is not None:
                words = tf.constant(self._words[batch["place"].numpy()])
            record = self.steps.run(
                batch["image"], batch["label"], frozen, words
            )
            if not math.isfinite(record["loss"]):
                raise NotFiniteError(
                    f"step {state.step + 1}: the loss is {record['loss']}; "
                    "the checkpoints in "
                    f"{self.checkpoints.folder} are from before it. Lower "
                    "the learning rates."
                )
            self._count(record, len(batch["label"]), began)
            if state.batch == self.steps_per_epoch:
                state.epoch, state.batch = state.epoch + 1, 0
                self._judge()
                self._save()
                return
            if self._why_stop():
                return
            minutes = (time.monotonic() - self._saved_at) / 60
            if minutes >= config.checkpoint_minutes:
                self._save()

    def _batches(self) -> Iterator[Mapping[str, tf.Tensor]]:
        """What is left of the present pass."""
        config = self.config
        dataset = training_batches(
            self.images,
            self.tower.config.image_size,
            config.batch_size,
            config.seed,
            self.state.epoch,
            self.state.batch,
            config.min_area,
            config.num_threads,
        )
        gone = tf.errors.NotFoundError, tf.errors.InvalidArgumentError
        batches = iter(dataset)
        while True:
            try:
                batch = next(batches, None)
            except gone as error:
                raise DataError(
                    "an image that could be read when the run began cannot be "
                    f"read now: {error.message.splitlines()[0]}. Bring it "
                    "back, and run again to go on."
                ) from error
            if batch is None:
                return
            yield batch

    def _count(
        self, record: Mapping[str, float], num_images: int, began: float
    ) -> None:
        state, now = self.state, time.monotonic()
        window = state.window or dict.fromkeys(
            ("steps", "images", "seconds", *record), 0.0
        )
        window["steps"] += 1
        window["images"] += num_images
        window["seconds"] += now - began
        for name, value in record.items():
            window[name] += value
        state.window = window
        state.step += 1
        state.batch += 1
        state.impressions += num_images
        state.seconds = self._earlier + now - self._began
        shown = {
            name: f"{window[name] / window['steps']:.3f}"
            for name in ("loss", "top1")
        }
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def _judge(self) -> None:
        """Closes the window with a history row; notes the best pass."""
        state, window = self.state, self.state.window
        found = image_metrics(self._predictor.predict(self.validation))
        state.seconds = self._earlier + time.monotonic() - self._began
        row = {
            "step": state.step,
            "epoch": state.epoch,
            "seconds": state.seconds,
        }
        if window:
            steps = window["steps"]
            seconds = max(window["seconds"], 1e-9)
            for name in ("loss", "top1", "gradient_norm"):
                row[name] = window[name] / steps
            row["images_per_second"] = window["images"] / seconds
        row |= {f"validation/{name}": value for name, value in found.items()}
        state.window = {}
        state.history.append(row)
        self._summaries.write(row)
        monitor = self.config.monitor
        value = found[monitor]
        if value is not None and window:
            sign = -1.0 if monitor == "loss" else 1.0
            if state.best_step < 0 or sign * value > sign * state.best_value:
                state.best_step, state.best_value = state.step, value
        self._say(
            f"epoch {state.epoch} of {self.num_epochs}: validation "
            + ", ".join(
                f"{name} {found[name]:.4f}"
                for name in ("loss", "top1", "top5")
                if found[name] is not None
            )
        )

    def _finish(self) -> None:
        self.stopped_by = self._why_stop()
        self.signal = self._signals.received
        state = self.state
        if self.stopped_by == "time_limit" and state.window:
            self._judge()
        self._save()
        if self.signal:
            self._say(f"stopped at step {state.step}; run again to go on")
        elif state.best_step not in (-1, state.step):
            restore_model(self.checkpoints, state.best_step, self.tower)

    def _save(self) -> None:
        state = self.state
        position = state.step, len(state.history)
        if state.step and position != self._saved:
            self.checkpoints.write(state.step, self._variables, state.to_json())
            self.checkpoints.prune(
                self.config.keep_checkpoints, state.best_step
            )
        self._saved, self._saved_at = position, time.monotonic()

    def _why_stop(self) -> str:
        limit = self.config.time_limit_seconds
        if self._signals.received:
            return "signal"
        if self.state.epoch >= self.num_epochs:
            return "epochs"
        if limit and self.state.seconds >= limit:
            return "time_limit"
        return ""

    def _say(self, line: str) -> None:
        if not self._bar.disable:
            tqdm.tqdm.write(line, file=sys.stderr)


def load_initial(workdir: str | Path, tower: ImageTower) -> None:
    """Gives a run's tower the weights it had before the first step.

    Args:
        workdir: of the run.
        tower: of the same configuration.

    Raises:
        DataError: if the folder holds none, or they are damaged.
    """
    variables = {
        f"model/{name}": value for name, value in model_variables(tower).items()
    }
    Checkpoints(Path(workdir) / INITIAL).restore(0, variables)


def _model_only(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in variables.items() if n.startswith("model/")}
