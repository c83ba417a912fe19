"""The file that says what a model server serves."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from google.protobuf import text_format

from jd_tf.data.files import write_whole
from jd_tf.serving.deploy.errors import OperationError
from jd_tf.serving.export.versions import GRAPH_FILE, versions
from jd_tf.serving.protos.messages import ModelConfig, ModelServerConfig

STABLE, CANARY = "stable", "canary"
_HEADER = """\
# What a model server serves; read when it starts. A running server is told by
# experiments.promote, which keeps this file up to date. Do not let the server
# poll it as well (--model_config_file_poll_wait_seconds): it would undo that.
"""

Config = ModelServerConfig
Model = ModelConfig


def add_model(
    config: Config, name: str, base_path: str, labels: Mapping[str, int]
) -> None:
    """Adds a model of which exactly the labelled versions are loaded.

    Args:
        config: changed.
        name: of the model.
        base_path: absolute, as the server sees it.
        labels: version by label.
    """
    if not base_path.startswith("/") and "://" not in base_path:
        raise OperationError(
            f"model `{name}`: a server takes absolute paths only. Got: "
            f"{base_path!r}."
        )
    model = config.model_config_list.config.add(
        name=name, base_path=base_path, model_platform="tensorflow"
    )
    for label, version in labels.items():
        model.version_labels[label] = version
    set_versions(model, labels.values())


def set_versions(model: Model, numbers: Iterable[int]) -> None:
    """Has exactly these versions loaded, ascending."""
    model.model_version_policy.Clear()
    specific = model.model_version_policy.specific
    specific.versions.extend(sorted(set(numbers)))


def model_of(config: Config, name: str, where: str) -> Model:
    """The entry of a model.

    Raises:
        OperationError: naming those there are.
    """
    for model in config.model_config_list.config:
        if model.name == name:
            return model
    known = ", ".join(m.name for m in config.model_config_list.config)
    raise OperationError(f"{where}: no model `{name}`, only {known or 'none'}.")


def config_text(config: Config) -> str:
    """The file, with a comment that says who changes it."""
    return _HEADER + text_format.MessageToString(config)


def write_config(path: str | Path, config: Config) -> None:
    """Writes the file whole or not at all."""
    write_whole(path, config_text(config).encode())


def read_config(path: str | Path) -> Config:
    """Reads the file as strictly as the server does.

    Raises:
        OperationError: naming the file and what is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise OperationError(
            f"{path}: no such file; write one with "
            "`python -m experiments.make_serving_config`."
        )
    config = Config()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise OperationError(f"{path}: {error}.") from error
    if not config.model_config_list.config:
        raise OperationError(f"{path}: lists no models.")
    return config


def local_path(base_path: str, mapped: Mapping[str, str]) -> Path:
    """Where a server's path lies on this machine.

    Args:
        base_path: as the server sees it.
        mapped: server's prefix -> local prefix; the longest that fits counts.
    """
    for prefix in sorted(mapped, key=len, reverse=True):
        inside = base_path == prefix or base_path.startswith(
            prefix.rstrip("/") + "/"
        )
        if inside:
            rest = base_path[len(prefix) :].lstrip("/")
            return Path(mapped[prefix]) / rest
    return Path(base_path)


def check_loadable(config: Config, mapped: Mapping[str, str]) -> None:
    """Refuses what would hang a server, or be loaded half.

    A reload that names a folder without a version blocks the server's
    configuration for good, so every path is looked at here first.

    Args:
        config: about to be sent.
        mapped: see `local_path`.

    Raises:
        OperationError: naming model, path and version.
    """
    for model in config.model_config_list.config:
        folder = local_path(model.base_path, mapped)
        there = versions(folder)
        if not there:
            raise OperationError(
                f"model `{model.name}`: {folder} holds no version here. A "
                "server told of such a path hangs: publish a version, take "
                "the model out, or say with --local where the path lies."
            )
        wanted = model.model_version_policy.specific.versions
        for number in (*wanted, *model.version_labels.values()):
            graph = there.get(number, folder / str(number)) / GRAPH_FILE
            if not graph.is_file():
                raise OperationError(
                    f"model `{model.name}`: {graph} is not there."
                )
