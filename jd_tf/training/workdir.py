"""The folder of a run: its configuration, and the trained model."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from jd_tf.data.dataset import SCHEMA_FILE
from jd_tf.data.files import read_json, write_json
from jd_tf.data.item_pairs.item_pairs import ItemPairs
from jd_tf.models.config_fields import config_from_json
from jd_tf.models.registry import (
    MODULE_FILE,
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


def open_workdir(
    workdir: str | Path, model: keras.Model, config: TrainingConfig
) -> Path:
    """Writes the configuration of a new run, or compares an old one's.

    Fields of `CHANGEABLE` may differ from the stored ones.

    Raises:
        DataError: naming the column or field that differs, and both values.
    """
    workdir = Path(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise DataError(f"{workdir}: is a file, not a folder.")
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / CONFIG_FILE
    described = {
        "training": dataclasses.asdict(config),
        "model": {
            "name": model.registered_name,
            "config": dataclasses.asdict(model.config),
        },
    }
    if path.exists():
        model.schema.check_same(
            Schema.load(workdir / SCHEMA_FILE), str(workdir / SCHEMA_FILE)
        )
        _check_same(path, described)
    elif Checkpoints(workdir / CHECKPOINTS).steps():
        raise DataError(
            f"{path}: missing, but there are checkpoints. Restore the file, "
            "or train in another folder."
        )
    if not (workdir / SCHEMA_FILE).exists():
        model.schema.save(workdir / SCHEMA_FILE)
    module = get_model(model.registered_name).module_file
    own = module and not type(model).__module__.startswith("jd_tf.")
    if own and not (workdir / MODULE_FILE).exists():
        # So that the run can be loaded wherever its folder goes.
        shutil.copyfile(module, workdir / MODULE_FILE)
    write_json(path, described)
    return workdir


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


def _check_same(path: Path, described: Any) -> None:
    """Raises a DataError if the run described in the file is another one."""
    before = _flat(read_json(path))
    now = _flat(json.loads(json.dumps(described)))
    for field in sorted({*before, *now}):
        if field.removeprefix("training.") in CHANGEABLE:
            continue
        if before.get(field) != now.get(field):
            raise DataError(
                f"{path}: the run there has {field} = {before.get(field)!r}, "
                f"this one {now.get(field)!r}. Go on with the stored value, "
                "or train in another folder."
            )


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
    entry = get_model(name)
    schema = Schema.load(workdir / SCHEMA_FILE)
    try:
        config: Any = config_from_json(entry.config_class, fields)
        model = entry.model_class(schema, config)
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
