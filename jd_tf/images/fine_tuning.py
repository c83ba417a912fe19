"""Fine-tuning by Keras `fit` in two phases: frozen, then unfrozen."""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.data.files import read_json, write_json
from jd_tf.images.fine_tuning_config import CHANGEABLE, FineTuningConfig
from jd_tf.images.image_list import LabelledImages
from jd_tf.images.image_tower import ImageTower, load_tower, save_tower
from jd_tf.images.training_images import augmentation, labelled_batches
from jd_tf.schema import DataError

CONFIG_FILE, HISTORY_FILE = "config.json", "history.json"
_WARMUP_SHARE, _FINAL_RATE, _MAX_GRADIENT_NORM = 0.1, 0.01, 5.0

Logs = dict[str, Any] | None


class NotFiniteError(ArithmeticError):
    """Raised when the loss is NaN or infinite; nothing is saved after that."""


def fine_tune(
    tower: ImageTower,
    config: FineTuningConfig,
    workdir: str | Path,
    train: LabelledImages,
    validation: LabelledImages,
) -> list[dict[str, Any]]:
    """Fine-tunes a tower in a work folder, from where the folder stands.

    Passes with a frozen backbone come first, then passes in which everything
    learns. After each pass the tower is evaluated on the validation images.
    Killed at any moment and run again in the same folder, it goes on at the
    begin of the pass it was in, with the newest backup. The folder gets the
    towers that `load_tower` reads.

    Args:
        tower: the model, with its initial weights; gets the best ones.
        config: of the run.
        workdir: its folder.
        train: images to learn from, all readable.
        validation: images to judge by.

    Returns:
        A row a pass, of all sessions: `epoch`, `seconds`, `<metric>` and
        `validation/<metric>` of `METRICS`.

    Raises:
        DataError: there are fewer images than a batch takes, the folder is
            another run's, or an image cannot be read any more.
        NotFiniteError: the loss is NaN or infinite.
    """
    workdir, size = Path(workdir), config.batch_size
    num_steps = len(train) // size
    if not num_steps:
        raise DataError(
            f"{len(train)} training images do not fill a batch of {size}. "
            "Give a smaller --batch_size or more images."
        )
    _open(workdir, tower, config)
    first, end = config.frozen_epochs, config.frozen_epochs + config.epochs
    phases = [("frozen", 0, first), ("unfrozen", first, end)]
    if not first or (workdir / "backup_unfrozen").is_dir():
        phases = phases[1:]
    for name, begin, end in phases:
        keeper = _Keeper(tower, config, workdir, f"backup_{name}")
        if keeper.is_late() and (workdir / "best.keras").is_file():
            break

        def order(keeper: _Keeper = keeper) -> np.ndarray:
            # What does not fill a last batch waits for another pass: batch
            # statistics of one or two images would be noise.
            generator = np.random.default_rng((config.seed, keeper.epoch))
            return generator.permutation(len(train))[: num_steps * size]

        tower.backbone.trainable = name == "unfrozen"
        _fit(
            _compiled(tower, config, (end - begin) * num_steps),
            keeper,
            x=labelled_batches(
                tower, train, config, config.class_balance, order
            ),
            # Weights of equal words turn accuracy into mean recall.
            validation_data=labelled_batches(
                tower, validation, config, 1.0, lambda: range(len(validation))
            ),
            initial_epoch=begin,
            epochs=end,
            verbose="auto" if config.progress else 0,
        )
    tower.set_weights(load_tower(workdir).get_weights())
    return read_json(workdir / HISTORY_FILE)


def read_run(workdir: str | Path) -> dict[str, Any]:
    """Reads the configuration of a run: `model` and `training`, or neither."""
    path = Path(workdir) / CONFIG_FILE
    found = read_json(path) if path.is_file() else {}
    if found and found.keys() != {"model", "training"}:
        raise DataError(f"{path}: not the config of a run.")
    return found


def _open(workdir: Path, tower: ImageTower, config: FineTuningConfig) -> None:
    """Makes the folder this run's, or checks that it is."""
    words = {"labels": tower.label_names, "title_words": tower.title_words}
    model = {**dataclasses.asdict(tower.config), **words}
    now = {"model": model, "training": dataclasses.asdict(config)}
    now = json.loads(json.dumps(now))
    before = read_run(workdir)
    for part in before:
        for field, value in now[part].items():
            known = before[part].get(field)
            if known != value and field not in CHANGEABLE:
                raise DataError(
                    f"{workdir / CONFIG_FILE}: the run there has {field} = "
                    f"{known!r}, this one {value!r}. Go on with the stored "
                    "value, or train in another folder."
                )
    if before:
        # Killed in its first pass, a run has no backup.
        tower.set_weights(load_tower(workdir, "initial").get_weights())
    else:
        save_tower(tower, workdir, "initial")
    write_json(workdir / CONFIG_FILE, now)


def _compiled(
    tower: ImageTower, config: FineTuningConfig, num_steps: int
) -> keras.Model:
    """Returns the model of a phase: augmentation, tower, losses, metrics."""
    tower.update_statistics = config.update_statistics
    size, metrics = tower.config.image_size, keras.metrics
    images = keras.Input((size, size, 3), name="images")
    outputs = tower(augmentation(config.min_area)(images))
    heads = {name: outputs[name] for name in tower.classifiers}
    model = keras.Model(images, heads)
    warmup, rate = int(_WARMUP_SHARE * num_steps), config.learning_rate
    optimizer = TwoRates(
        keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate,
            max(num_steps - warmup, 1),
            _FINAL_RATE,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        ),
        weight_decay=config.weight_decay,
        global_clipnorm=_MAX_GRADIENT_NORM,
    )
    backbone = {id(v) for v in tower.backbone.trainable_variables}
    optimizer.ratios = [
        config.backbone_learning_rate / rate if id(v) in backbone else 1.0
        for v in model.trainable_variables
    ]
    # Shrinking these leads nowhere sensible.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    share = config.title_share if tower.title_words else 0.0
    measured = [
        metrics.CategoricalAccuracy("top1"),
        metrics.CategoricalCrossentropy("nats", from_logits=True),
    ]
    if len(tower.label_names) > 5:
        measured.append(metrics.TopKCategoricalAccuracy(5, "top5"))
    model.compile(
        optimizer,
        loss={
            name: keras.losses.CategoricalCrossentropy(
                from_logits=True,
                label_smoothing=config.label_smoothing * (name == "logits"),
                reduction="mean_with_sample_weight",
            )
            for name in heads
        },
        loss_weights=dict(zip(heads, (1.0 - share, share), strict=False)),
        metrics={"logits": measured},
        weighted_metrics={
            "logits": [metrics.CategoricalAccuracy("mean_recall")]
        },
    )
    return model


def _fit(model: keras.Model, keeper: "_Keeper", **arguments: Any) -> None:
    """Runs a phase; errors come out in terms of the user."""
    summaries = keeper.workdir / "summaries"
    callbacks = [
        keras.callbacks.TerminateOnNaN(raise_error=True),
        keras.callbacks.TensorBoard(summaries, write_graph=False),
        keeper,
    ]
    try:
        model.fit(shuffle=False, callbacks=callbacks, **arguments)
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
        reason = " ".join(error.message.split())[:300]
        raise DataError(
            "an image that could be read when the run began cannot be read "
            f"now: {reason}. Bring it back, and run again to go on."
        ) from error
    except RuntimeError as error:
        if not str(error).startswith("NaN or Inf loss"):
            raise
        raise NotFiniteError(
            f"epoch {keeper.epoch + 1}: {error} The backup in "
            f"{keeper.backup_dir} is from before it. Lower the learning rates."
        ) from error


class TwoRates(keras.optimizers.AdamW):
    """AdamW whose rate is multiplied by a ratio of each variable."""

    ratios: Sequence[float] = ()

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any):
        ratio = self.ratios[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * ratio)


class _Keeper(keras.callbacks.BackupAndRestore):
    """Keeps backups, the history, and the towers of the last and best pass.

    Seeds are not in a backup of Keras, so each pass begins with its own: a
    resumed run takes the very steps of one that nobody killed.
    """

    def __init__(
        self,
        tower: ImageTower,
        config: FineTuningConfig,
        workdir: Path,
        name: str,
    ):
        super().__init__(
            str(workdir / name), double_checkpoint=True, delete_checkpoint=False
        )
        self.workdir, self.epoch = workdir, 0
        self._tower, self._config = tower, config
        path = workdir / HISTORY_FILE
        self._history = read_json(path) if path.is_file() else []
        earlier = self._history[-1]["seconds"] if self._history else 0.0
        self._began, self._saved = time.monotonic() - earlier, time.monotonic()

    def is_late(self) -> bool:
        """Returns whether the time of all sessions is up."""
        limit = self._config.time_limit_seconds
        return bool(limit) and time.monotonic() - self._began >= limit

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = self._current_epoch = epoch
        # A pass that a kill interrupted is run again.
        self._history = [r for r in self._history if r["epoch"] <= epoch]
        seeds = [v for v in self.model.variables if "seed_generator" in v.path]
        for number, seed in enumerate(seeds):
            seed.assign([self._config.seed + number, epoch << 32])

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        minutes = (time.monotonic() - self._saved) / 60
        if minutes >= self._config.checkpoint_minutes:
            self._save_model()
            self._saved = time.monotonic()
        if self.is_late():
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        seconds = time.monotonic() - self._began
        row: dict[str, Any] = {"epoch": epoch + 1, "seconds": seconds}
        for name, value in (logs or {}).items():
            metric = name.removeprefix("val_").removeprefix("logits_")
            metric = {"nats": "loss", "loss": "objective"}.get(metric, metric)
            split = "validation/" if name.startswith("val_") else ""
            row[split + metric] = float(value)
        sign = -1.0 if self._config.monitor == "loss" else 1.0
        name = f"validation/{self._config.monitor}"
        earlier = [sign * r[name] for r in self._history if name in r]
        # There is no top5 of five words: then the last pass is the best.
        if all(sign * row[name] > value for value in earlier):
            save_tower(self._tower, self.workdir, "best")
        save_tower(self._tower, self.workdir, "last")
        self._history.append(row)
        write_json(self.workdir / HISTORY_FILE, self._history)
        super().on_epoch_end(epoch, logs)

    def _load_model(self) -> None:
        try:
            super()._load_model()
        except (OSError, ValueError) as error:
            # Killed while it was written. Keras reads the one before after an
            # OSError; without one the run begins anew.
            if Path(self._prev_weights_path).is_file():
                raise OSError(str(error)) from error
