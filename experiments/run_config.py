"""Model and training of a run as changes of fields: flags and YAML files.

A file, which `train --config`, `sweep --config` and `benchmarks.zoo --configs`
read, says what a run is made of:

    # command, time, hardware and the figure reached, for the reader
    model: din
    config: {items.model_dim: 32, network.dropout_rate: 0.2}
    training: {learning_rate: 0.003, epochs: 6}

Names of fields are those of `--set`; what is left out stays as it is.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from jd_tf.models.config_fields import flat_fields, replace_fields
from jd_tf.schema import DataError
from jd_tf.training.config import TrainingConfig

MODEL, TRAINING = "model", "training"
_KEYS = (MODEL, "config", TRAINING)
# How a run is watched, not what it comes to.
_LEFT_OUT = ("progress",)

Fields = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Content of a file.

    Attributes:
        model: registered name; "" if the file names none.
        fields: changes of `MODEL` and of `TRAINING`, by name.
    """

    model: str
    fields: Fields


def parse_field(text: str) -> tuple[str, str]:
    """Returns `MODEL` or `TRAINING` and the field that `text` names.

    Without one of the two before it, a field is the model's.
    """
    group, _, name = text.strip().partition(".")
    return (
        (group, name) if group in (MODEL, TRAINING) else (MODEL, text.strip())
    )


def parse_sets(texts: Iterable[str]) -> Fields:
    """Returns the changes of `--set`; values are texts.

    Raises:
        DataError: for one without a value, or with a flag of its own.
    """
    changes: Fields = {MODEL: {}, TRAINING: {}}
    for text in texts:
        field, equals, value = text.partition("=")
        if not equals:
            raise DataError(f"--set={text}: write model.field=value.")
        group, name = parse_field(field)
        if group == TRAINING and name in _LEFT_OUT:
            raise DataError(f"--set={text}: write --{name} or --no{name}.")
        changes[group][name] = value.strip()
    return changes


def read_run_config(path: str | Path) -> RunConfig:
    """Reads a file.

    Raises:
        DataError: if it is missing, no YAML, or has other keys. Fields are
            checked where they are applied.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: is no readable YAML file: {error}") from error
    if not isinstance(found, Mapping) or not {*found} <= {*_KEYS}:
        raise DataError(
            f"{path}: must have the keys {', '.join(_KEYS)}, or some of them."
        )
    fields = {}
    for group, key in ((MODEL, "config"), (TRAINING, TRAINING)):
        fields[group] = dict(_mapping(found.get(key) or {}, f"{path}: `{key}`"))
    return RunConfig(str(found.get(MODEL) or ""), fields)


def write_run_config(
    path: Path,
    model: str,
    config: Any,
    training: TrainingConfig,
    facts: Iterable[str],
) -> None:
    """Writes all fields of a run, so that later defaults do not matter.

    Args:
        path: the new file.
        model: registered name.
        config: of the model.
        training: of the run.
        facts: lines of the head.
    """
    from jd_tf.data.files import write_whole

    content = {
        MODEL: model,
        "config": _plain(flat_fields(config)),
        TRAINING: _plain(dataclasses.asdict(training)),
    }
    head = "".join(f"# {fact}\n" for fact in facts)
    body = yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
    write_whole(path, f"{head}{body}".encode())


def apply_fields(
    path: str | Path | None, config: Any, changes: Fields, group: str
) -> Any:
    """Returns a config with the changes of a file; errors name the file."""
    try:
        return replace_fields(config, changes[group])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) for name in value
    ):
        raise DataError(f"{where} must be fields and their values.")
    return value


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if name not in _LEFT_OUT
    }
