"""A search over fields of configs: spaces, trials, their table."""

import dataclasses
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd
import tensorflow as tf

# Not its `api`, which loads TensorFlow's Keras 2 names.
from tensorboard.plugins.hparams import summary_v2 as hparams

from experiments.run_config import (
    MODEL,
    TRAINING,
    parse_field,
    write_run_config,
)
from jd_tf.data.dataset import fingerprint
from jd_tf.data.files import write_whole
from jd_tf.evaluation.ablations.judge import discard_weights
from jd_tf.models.config_fields import (
    flat_fields,
    replace_fields,
    resolve_field,
)
from jd_tf.schema import DataError
from jd_tf.training.loop.trainer import NotFiniteError
from jd_tf.training.loop.training_state import LOWER_BETTER
from jd_tf.training.train import check_run, train

try:
    import optuna
except ImportError as error:
    raise DataError(
        "a search needs Optuna: pip install 'jd_tf[sweep]'."
    ) from error

optuna.logging.set_verbosity(optuna.logging.WARNING)
# A new model a trial is traced anew, as it must be.
tf.get_logger().setLevel("ERROR")
STORAGE_FILE, TABLE_FILE, BEST_FILE = "sweep.db", "sweep.csv", "best.yaml"
_SETTINGS, _TRIAL, _ERROR = "settings", "trial", "error"
_SPLITS = ("train", "validation")
_State = optuna.trial.TrialState

Space = dict[str, optuna.distributions.BaseDistribution]


def parse_space(texts: Sequence[str], base: Mapping[str, Any]) -> Space:
    """Returns the distribution of every field that is searched.

    Args:
        texts: of `FIELD=LOW:HIGH`, `FIELD=log:LOW:HIGH` or `FIELD=ONE|OTHER`.
        base: configs of `MODEL` and `TRAINING`.

    Raises:
        DataError: naming a field or a range that cannot be.
    """
    space: Space = {}
    for text in texts:
        field, equals, values = text.partition("=")
        if not equals:
            raise DataError(f"--search={text}: write FIELD=LOW:HIGH or A|B.")
        group, name = parse_field(field)
        name = resolve_field(base[group], name)
        key = f"{group}.{name}"
        if key in space:
            raise DataError(f"--search={text}: `{key}` is there twice.")
        if key == f"{TRAINING}.monitor":
            raise DataError(f"--search={text}: trials need one metric.")
        parts = [part.strip() for part in values.split("|")]
        low, *high = parts[0].removeprefix("log:").split(":")
        if len(parts) == 1 and len(high) == 1:
            parts = [low, *high]
        try:
            found = [
                flat_fields(replace_fields(base[group], {name: part}))[name]
                for part in parts
            ]
            if len(found) < 2:
                raise DataError("write LOW:HIGH, log:LOW:HIGH or ONE|OTHER")
            space[key] = _distribution(found, parts, values)
        except (DataError, ValueError) as error:
            raise DataError(f"--search={text}: {error}") from error
    return space


def _distribution(
    found: list[Any], texts: list[str], values: str
) -> optuna.distributions.BaseDistribution:
    if "|" in values:
        # As texts: Optuna stores neither tuples nor lists.
        return optuna.distributions.CategoricalDistribution(texts)
    kinds = {type(value) for value in found}
    log = values.startswith("log:")
    if kinds == {int}:
        return optuna.distributions.IntDistribution(*found, log=log)
    if kinds == {float}:
        return optuna.distributions.FloatDistribution(*found, log=log)
    raise DataError("only numbers have a range; name values as ONE|OTHER.")


def described(values: Mapping[str, Any]) -> str:
    """Returns values as `field=value, ...`."""
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    )


@dataclasses.dataclass(eq=False)
class Sweep:
    """Trials of a work folder.

    Attributes:
        data: folder of the requests.
        workdir: of the search; gone on with where it is of the same.
        model: registered name.
        base: configs of `MODEL` and `TRAINING` that trials change.
        space: of `parse_space`.
        sampler: "tpe" or "random".
        seed: of what is tried.
        inputs: further arguments of `train`.

    Raises:
        DataError: if the folder is of another search, or `base` cannot be
            trained.
    """

    data: Path
    workdir: Path
    model: str
    base: Mapping[str, Any]
    space: Space
    sampler: str
    seed: int
    inputs: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.table_path = self.workdir / TABLE_FILE
        self.best_path = self.workdir / BEST_FILE
        settings = {
            "data": fingerprint(self.data, _SPLITS),
            MODEL: [self.model, dataclasses.asdict(self.base[MODEL])],
            TRAINING: dataclasses.asdict(self.base[TRAINING]),
            "search": {name: repr(one) for name, one in self.space.items()},
            "sampler": [self.sampler, self.seed],
            "inputs": {n: str(v) for n, v in self.inputs.items() if v},
        }
        settings = json.loads(json.dumps(settings))
        if self.workdir.exists() and not self.workdir.is_dir():
            raise DataError(f"{self.workdir}: is a file, not a folder.")
        if not (self.workdir / STORAGE_FILE).exists():
            # Else each trial of a new folder would fail for the same reason.
            check_run(
                self.data,
                self.workdir,
                self.model,
                self.base[MODEL],
                self.base[TRAINING],
                **self.inputs,
            )
        self.workdir.mkdir(parents=True, exist_ok=True)
        lower = self.base[TRAINING].monitor.startswith(LOWER_BETTER)
        self.study = optuna.create_study(
            storage=f"sqlite:///{self.workdir / STORAGE_FILE}",
            study_name="sweep",
            direction="minimize" if lower else "maximize",
            load_if_exists=True,
        )
        stored = self.study.user_attrs.get(_SETTINGS)
        if stored is None:
            self.study.set_user_attr(_SETTINGS, settings)
        for name, value in (stored or {}).items():
            if settings[name] != value:
                raise DataError(
                    f"{self.workdir}: holds a search of other settings: "
                    f"`{name}`. Name another --workdir."
                )

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that came to an end, a value or an error."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state == _State.COMPLETE or _ERROR in trial.user_attrs
        ]

    def run(
        self, num_trials: int, keep_weights: bool = False
    ) -> optuna.trial.FrozenTrial:
        """Runs the trials that are missing; returns the best.

        Args:
            num_trials: in all.
            keep_weights: keep checkpoints of finished trials.

        Raises:
            DataError: if no trial could be trained.
        """
        # Of a search that was killed: its seed draws the same again below.
        for killed in self.study.get_trials(states=[_State.RUNNING]):
            self.study.tell(killed.number, state=_State.FAIL)
        while (number := len(self.trials)) < num_trials:
            seed = self.seed * 10_007 + number
            self.study.sampler = (
                optuna.samplers.TPESampler(seed=seed)
                if self.sampler == "tpe"
                else optuna.samplers.RandomSampler(seed=seed)
            )
            trial = self.study.ask(self.space)
            trial.set_user_attr(_TRIAL, number)
            folder = self.workdir / "trials" / f"{number:03d}"
            print(f"\n== trial {number}: {described(trial.params)}", flush=True)
            self._run_trial(trial, folder)
            if not keep_weights:
                discard_weights(folder)
            self.write_table()
        errors = [trial.user_attrs.get(_ERROR) for trial in self.trials]
        if all(errors):
            raise DataError(f"no trial could be trained: {errors[0]}")
        self.write_table()
        self._write_best()
        return self.study.best_trial

    def configs(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the configs of `MODEL` and `TRAINING` of a trial."""
        changed = dict(self.base)
        for group in changed:
            own = {
                key.removeprefix(f"{group}."): value
                for key, value in values.items()
                if key.startswith(f"{group}.")
            }
            changed[group] = replace_fields(changed[group], own)
        return changed

    def _run_trial(self, trial: optuna.Trial, folder: Path) -> None:
        # A model made second has other names of layers than one made first.
        keras.backend.clear_session()
        gc.collect()
        try:
            configs = self.configs(trial.params)
            trainer = train(
                self.data,
                folder,
                self.model,
                configs[MODEL],
                configs[TRAINING],
                **self.inputs,
            )
        except (DataError, NotFiniteError) as error:
            # Fields that do not go together, or a rate that is too high.
            print(f"no value: {error}")
            trial.set_user_attr(_ERROR, str(error))
            self.study.tell(trial, state=_State.FAIL)
            return
        if trainer.signal:
            sys.exit(128 + trainer.signal)
        state, monitor = trainer.state, configs[TRAINING].monitor
        if state.best_step < 0:
            trial.set_user_attr(_ERROR, f"{monitor} has no value")
            self.study.tell(trial, state=_State.FAIL)
            return
        for name, value in (
            ("best_step", state.best_step),
            ("seconds", round(state.seconds, 1)),
            ("parameters", trainer.step_fn.model.count_params()),
        ):
            trial.set_user_attr(name, value)
        with tf.summary.create_file_writer(str(folder)).as_default():
            hparams.hparams(dict(trial.params), trial_id=folder.name)
            tf.summary.scalar(monitor, state.best_value, step=state.best_step)
        print(f"{monitor} {state.best_value:.5f} in {state.seconds:.0f} s")
        self.study.tell(trial, state.best_value)

    def write_table(self) -> None:
        """Writes a row a trial, the best first, those without a value last."""
        rows = [
            {
                _TRIAL: trial.user_attrs[_TRIAL],
                self.base[TRAINING].monitor: trial.value,
                **trial.params,
                **{
                    name: trial.user_attrs.get(name)
                    for name in ("best_step", "seconds", "parameters", _ERROR)
                },
            }
            for trial in self.trials
        ]
        lower = self.study.direction == optuna.study.StudyDirection.MINIMIZE
        table = pd.DataFrame(rows).sort_values(
            self.base[TRAINING].monitor, ascending=lower, kind="stable"
        )
        write_whole(self.table_path, table.to_csv(index=False).encode())

    def _write_best(self) -> None:
        best, found = self.study.best_trial, self.trials
        seconds = sum(t.user_attrs.get("seconds", 0) for t in found)
        configs = self.configs(best.params)
        command = ["python -m experiments.sweep", *sys.argv[1:]]
        facts = (
            " ".join(command),
            f"reached: {configs[TRAINING].monitor} {best.value:.5f} on "
            f"validation, best of {len(found)} trials ({self.sampler})",
            f"time: {best.user_attrs['seconds']:.0f} s, all trials "
            f"{seconds:.0f} s; {time.strftime('%Y-%m-%d')}",
            f"hardware: {platform.machine()}, {os.cpu_count()} processors",
        )
        write_run_config(
            self.best_path, self.model, configs[MODEL], configs[TRAINING], facts
        )
