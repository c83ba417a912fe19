"""The folder of a run: its configuration, and the trained model."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from jd_tf.data.dataset import MANIFEST_FILE, SCHEMA_FILE
from jd_tf.data.files import read_json, write_json
from jd_tf.data.item_pairs.item_pairs import ItemPairs
from jd_tf.models.registry import (
    MODULE_FILE,
    build_model,
    get_model,
    is_registered,
    load_model_module,
)
from jd_tf.schema import DataError, Schema
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.config import CHANGEABLE, TrainingConfig
from jd_tf.training.loop.training_state import TrainingState
from jd_tf.training.named_variables import (
    checkpoint_variables,
    post_training_variables,
)
from jd_tf.training.weight_average import WeightAverage

CONFIG_FILE = "config.json"
PAIRS_FILE = "pairs.npz"
CHECKPOINTS = "checkpoints"
# Curves and fusion learned after the main network.
POST_TRAINING = "post_training"
SUMMARIES = "summaries"
# On other data a run may train otherwise, and have other item pairs.
_FREE_ON_OTHER_DATA = (
    "training.",
    *(f"model.config.pairs.{n}" for n in ("num_rows", "num_pairs", "digest")),
)


def read_state(workdir: str | Path) -> TrainingState | None:
    """Returns the state of the newest checkpoint; None before the first.

    Raises:
        DataError: if the folder is none, or one of data, or the checkpoint
            damaged.
    """
    if Path(workdir).exists() and not Path(workdir).is_dir():
        raise DataError(f"{workdir}: is a file, not a folder.")
    if (Path(workdir) / MANIFEST_FILE).exists():
        raise DataError(
            f"{workdir}: is a data folder; a run is another. Name a new one."
        )
    checkpoints = Checkpoints(Path(workdir) / CHECKPOINTS)
    steps = checkpoints.steps()
    if not steps:
        return None
    return TrainingState(**checkpoints.read_state(steps[-1]))


def check_workdir(
    workdir: Path,
    model: keras.Model,
    config: TrainingConfig,
    other_data: bool = False,
) -> None:
    """Compares a run with that of a folder which has a checkpoint.

    Fields of `CHANGEABLE` may differ from the stored ones; on other data all
    settings of the training, and the file of item pairs.

    Raises:
        DataError: naming the column or field that differs, and both values.
    """
    path = workdir / CONFIG_FILE
    if not path.exists():
        raise DataError(
            f"{path}: missing, but there are checkpoints. Restore the file, "
            "or train in another folder."
        )
    model.schema.check_same(
        Schema.load(workdir / SCHEMA_FILE), str(workdir / SCHEMA_FILE)
    )
    before = _flat(read_json(path))
    now = _flat(json.loads(json.dumps(_described(model, config))))
    free = {f"training.{field}" for field in CHANGEABLE}
    if other_data:
        free = {f for f in now if f.startswith(_FREE_ON_OTHER_DATA)}
    for field in sorted({*before, *now} - free):
        if before.get(field) != now.get(field):
            raise DataError(
                f"{path}: the run there has {field} = {before.get(field)!r}, "
                f"this one {now.get(field)!r}. Go on with the stored value, "
                "or train in another folder."
            )


def write_workdir(
    workdir: Path, model: keras.Model, config: TrainingConfig
) -> None:
    """Writes the configuration of a run, checked before, to its folder.

    Before the first checkpoint all of it is new: a folder is bound to nothing
    until then.
    """
    new = not Checkpoints(workdir / CHECKPOINTS).steps()
    workdir.mkdir(parents=True, exist_ok=True)
    if new:
        model.schema.save(workdir / SCHEMA_FILE)
    module = get_model(model.registered_name).module_file
    own = module and not type(model).__module__.startswith("jd_tf.")
    copy = workdir / MODULE_FILE
    if own and new and Path(module).resolve() != copy.resolve():
        # So that the run can be loaded wherever its folder goes.
        shutil.copyfile(module, copy)
    write_json(workdir / CONFIG_FILE, _described(model, config))


def load_trained(workdir: str | Path, best: bool = True) -> keras.Model:
    """Builds the model of a run and gives it the trained weights.

    Args:
        workdir: of a run that has written a checkpoint.
        best: the weights of the best evaluation, if there was one; else the
            last ones. Averaged where the run averages weights, and with the
            curves and the fusion learned on them after the main training, if
            there are any.

    Returns:
        The model, built.

    Raises:
        DataError: if the folder holds no run, or a file is damaged.
    """
    workdir = Path(workdir)
    path = workdir / CONFIG_FILE
    if not path.is_file():
        raise DataError(
            f"{path}: missing; {workdir} holds no training run. Make one "
            "with `python -m experiments.train`."
        )
    model, average = _build(workdir, read_json(path))
    checkpoints = Checkpoints(workdir / CHECKPOINTS)
    steps = checkpoints.steps()
    if not steps:
        raise DataError(
            f"{checkpoints.folder}: no checkpoint yet. Train first: "
            "`python -m experiments.train`."
        )
    step = steps[-1]
    if best:
        best_step = TrainingState(**checkpoints.read_state(step)).best_step
        step = best_step if best_step >= 0 else step
    named = checkpoint_variables(model)
    if average is not None:
        named |= average.named_variables()
    checkpoints.restore(step, named)
    if average is not None:
        average.apply()
    state = read_post_training(workdir, steps[-1], step)
    if state is not None:
        Checkpoints(workdir / POST_TRAINING).restore(
            state.step, post_training_variables(model)
        )
    return model


def read_post_training(
    workdir: str | Path, main_step: int, base_step: int
) -> TrainingState | None:
    """Returns the state of the post-training stage on these main weights.

    None if there is none, or the main network went on from `main_step`, or
    `base_step` is not the checkpoint that the stage began with.
    """
    checkpoints = Checkpoints(Path(workdir) / POST_TRAINING)
    steps = checkpoints.steps()
    if not steps:
        return None
    state = TrainingState(**checkpoints.read_state(steps[-1]))
    same = (state.main_step, state.base_step) == (main_step, base_step)
    return state if same else None


def _described(model: keras.Model, config: TrainingConfig) -> dict[str, Any]:
    """Returns the content of `config.json`."""
    return {
        "training": dataclasses.asdict(config),
        "model": {
            "name": model.registered_name,
            "config": dataclasses.asdict(model.config),
        },
    }


def _build(
    workdir: Path, described: Mapping[str, Any]
) -> tuple[keras.Model, WeightAverage | None]:
    """Returns the model of a run, and the average of its weights if any."""
    path = workdir / CONFIG_FILE
    try:
        name = described["model"]["name"]
        fields = described["model"]["config"]
        decay = described["training"]["ema_decay"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: describes no model: {error!r} is missing. It was "
            "written by another version; train again."
        ) from error
    if not is_registered(name) and (workdir / MODULE_FILE).is_file():
        load_model_module(workdir / MODULE_FILE)
    schema = Schema.load(workdir / SCHEMA_FILE)
    try:
        model = build_model(name, schema, fields)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: describes no model: {error}") from error
    if model.pairs is not None:
        model.pairs.assign(ItemPairs.load(workdir / PAIRS_FILE).columns)
    return model, WeightAverage(model, decay) if decay else None


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Returns nested dicts as dotted field -> value."""
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, part in value.items():
        flat.update(_flat(part, f"{prefix}.{key}" if prefix else key))
    return flat
