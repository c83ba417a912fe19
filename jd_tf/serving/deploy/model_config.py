"""The configuration file of a model server: models, versions, labels."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from google.protobuf import text_format

from jd_tf.data.files import write_whole
from jd_tf.schema import DataError
from jd_tf.serving.export.versions import GRAPH_FILE, versions
from jd_tf.serving.protos.messages import ModelServerConfig

STABLE = "stable"
# A `ModelServerConfig` message; its class is made at run time.
ServerConfig: TypeAlias = Any
_HEADER = """\
# Models of a server, read when it starts. experiments.promote changes a running
# server and keeps this file up to date. Do not let the server poll it as well
# (--model_config_file_poll_wait_seconds): it would undo promotions.
"""


class OperationError(DataError):
    """An operation that was refused or failed; the servers are unchanged."""


def add_model(
    config: ServerConfig, name: str, base_path: str, labels: Mapping[str, int]
) -> None:
    """Adds a model with exactly the labelled versions loaded."""
    model = config.model_config_list.config.add(
        name=name,
        base_path=base_path,
        model_platform="tensorflow",
        version_labels=labels,
    )
    set_versions(model, labels.values())


def set_versions(model: Any, numbers: Iterable[int]) -> None:
    """Makes a server load exactly these versions."""
    policy = model.model_version_policy
    policy.Clear()
    policy.specific.versions.extend(sorted(set(numbers)))


def model_of(config: ServerConfig, name: str, where: object = "") -> Any:
    """Returns the entry of a model of the file `where`."""
    for model in config.model_config_list.config:
        if model.name == name:
            return model
    known = ", ".join(m.name for m in config.model_config_list.config)
    raise OperationError(f"{where}: no model `{name}`, only {known or 'none'}.")


def config_text(config: ServerConfig) -> str:
    """Returns the text of the file, with a comment."""
    return _HEADER + text_format.MessageToString(config)


def write_config(path: str | Path, config: ServerConfig) -> None:
    """Writes the file whole or not at all."""
    write_whole(path, config_text(config).encode())


def read_config(path: str | Path) -> ServerConfig:
    """Reads the file as strictly as the server does."""
    path = Path(path)
    if not path.is_file():
        raise OperationError(
            f"{path}: no such file; write one with "
            "`python -m experiments.make_serving_config`."
        )
    config = ModelServerConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise OperationError(f"{path}: {error}.") from error
    if not config.model_config_list.config:
        raise OperationError(f"{path}: lists no models.")
    return config


def local_path(base_path: str, mapped: Mapping[str, str]) -> Path:
    """Returns the path here of a server's path; the longest prefix counts."""
    for prefix in sorted(mapped, key=len, reverse=True):
        with contextlib.suppress(ValueError):
            rest = PurePosixPath(base_path).relative_to(prefix)
            return Path(mapped[prefix]) / rest
    return Path(base_path)


def check_loadable(config: ServerConfig, mapped: Mapping[str, str]) -> None:
    """Refuses a configuration with a version that does not exist.

    A reload that names a folder without a version blocks the server's
    configuration for good, so every path is checked here first.
    """
    for model in config.model_config_list.config:
        folder = local_path(model.base_path, mapped)
        there = versions(folder)
        if not there:
            raise OperationError(
                f"model `{model.name}`: {folder} holds no version here. A "
                "server hangs on such a path: publish a version, remove the "
                "model, or map the path with --local."
            )
        wanted = model.model_version_policy.specific.versions
        for number in (*wanted, *model.version_labels.values()):
            graph = there.get(number, folder / str(number)) / GRAPH_FILE
            if not graph.is_file():
                raise OperationError(
                    f"model `{model.name}`: {graph} is not there."
                )
