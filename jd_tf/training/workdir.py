"""The folder of a run: its configuration, and the trained model."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from jd_tf.data.dataset import SCHEMA_FILE
from jd_tf.data.files import read_json, write_json
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
from jd_tf.training.named_variables import model_variables
from jd_tf.training.post_training_checkpoints import restore_post_training

CONFIG_FILE = "config.json"
CHECKPOINTS = "checkpoints"
SUMMARIES = "summaries"


def open_workdir(
    workdir: str | Path, model: keras.Model, config: TrainingConfig
) -> Path:
    """Writes the configuration of a new run, or compares an old one's.

    Args:
        workdir: created if need be.
        model: may have a `schema`, which is stored and compared too.
        config: fields of `CHANGEABLE` may differ from the stored ones.

    Returns:
        The folder.

    Raises:
        DataError: naming the column or field that differs, and both values.
    """
    workdir = Path(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise DataError(f"{workdir}: is a file, not a folder.")
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / CONFIG_FILE
    resolved = {
        "training": _as_json(dataclasses.asdict(config)),
        "model": _described(model),
    }
    schema = getattr(model, "schema", None)
    if path.exists():
        _check(workdir, resolved, schema)
    elif Checkpoints(workdir / CHECKPOINTS).steps():
        raise DataError(
            f"{path}: missing, but there are checkpoints. Restore the file, "
            "or train in another folder."
        )
    if schema is not None and not (workdir / SCHEMA_FILE).exists():
        schema.save(workdir / SCHEMA_FILE)
    module = _own_module(model)
    if module and not (workdir / MODULE_FILE).exists():
        # So that the run can be loaded wherever its folder goes.
        shutil.copyfile(module, workdir / MODULE_FILE)
    write_json(path, resolved)
    return workdir


def load_trained(workdir: str | Path, best: bool = True) -> keras.Model:
    """Builds the model of a run and gives it the trained weights.

    Args:
        workdir: of a run that has written a checkpoint.
        best: the weights of the best evaluation, if there was one; else the
            last ones. With the curves and the fusion learned on them after
            the main training, if there are any.

    Returns:
        The model, built.

    Raises:
        DataError: if the folder holds no run, or a file is damaged.
    """
    path = Path(workdir) / CONFIG_FILE
    if not path.is_file():
        raise DataError(
            f"{path}: missing; {workdir} holds no training run. Make one "
            "with `python -m experiments.train`."
        )
    model = _build(Path(workdir), read_json(path))
    checkpoints = Checkpoints(Path(workdir) / CHECKPOINTS)
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
    restore_model(checkpoints, step, model)
    restore_post_training(workdir, model, steps[-1], step)
    return model


def restore_model(
    checkpoints: Checkpoints, step: int, model: keras.Model
) -> None:
    """Sets a model's variables, and nothing else, to a checkpoint's."""
    named = model_variables(model)
    checkpoints.restore(step, {f"model/{n}": v for n, v in named.items()})


def _check(workdir: Path, resolved: Any, schema: Schema | None) -> None:
    path = workdir / CONFIG_FILE
    stored = read_json(path)
    if schema is not None:
        there = Schema.load(workdir / SCHEMA_FILE)
        schema.check_same(there, str(workdir / SCHEMA_FILE))
    before, now = _flat(stored), _flat(resolved)
    for field in sorted({*before, *now}):
        if field.removeprefix("training.") not in CHANGEABLE and before.get(
            field
        ) != now.get(field):
            raise DataError(
                f"{path}: the run there has {field} = {before.get(field)!r}, "
                f"this one {now.get(field)!r}. Go on with the stored value, "
                "or train in another folder."
            )


def _described(model: keras.Model) -> dict[str, Any]:
    """Returns what it takes to build the model again, without weights."""
    return {
        "name": model.registered_name,
        "config": _as_json(dataclasses.asdict(model.config)),
    }


def _own_module(model: keras.Model) -> str:
    """Returns the file of a model that is no part of this package."""
    if type(model).__module__.startswith("jd_tf.models."):
        return ""
    return get_model(model.registered_name).module_file


def _build(workdir: Path, described: Mapping[str, Any]) -> keras.Model:
    path = workdir / CONFIG_FILE
    try:
        name = described["model"]["name"]
        fields = described["model"]["config"]
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
        config = config_from_json(entry.config_class, fields)
        return entry.model_class(schema, config)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: describes no model: {error}") from error


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts and lists to dotted field -> value."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, part in value.items():
        flat.update(_flat(part, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _as_json(value: Any) -> Any:
    """Returns `value` as a JSON file would return it."""
    if isinstance(value, dict):
        return {str(key): _as_json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(part) for part in value]
    return value
