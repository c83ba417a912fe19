"""Writes the files that start a model server."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import jinja2

from jd_tf.data.files import write_whole
from jd_tf.serving.deploy.deployment import (
    CONFIG_FILE,
    METRICS_PATH,
    Deployment,
    find_models,
)
from jd_tf.serving.deploy.model_config import read_config

# In containers; beside the script, wherever it is started from.
_MOUNTED, _HERE = "/config", "${here}"
START_FILE = "start_server.sh"
COMPOSE_FILE, KUBERNETES_FILE = "docker-compose.yaml", "kubernetes.yaml"
PROMETHEUS_FILE = "prometheus.yml"


def make_deployment(
    output: str | Path,
    saved_models: str | Path = "saved_models",
    models: tuple[str, ...] = (),
    labels: Mapping[str, Mapping[str, int]] | None = None,
    mount: str | None = None,
    **settings: int | bool | str,
) -> tuple[Deployment, list[Path]]:
    """Writes the files of a deployment of exported models.

    Labels of an earlier `models.config` in `output` are kept unless `labels`
    names others.

    Args:
        output: the folder; files of the same names are replaced.
        saved_models: folder of all models on this machine.
        models: names of the models; all by default.
        labels: model -> label -> version; by default `stable` is the highest.
        mount: path of `saved_models` as servers see it; by default its path
            here.
        **settings: of a `Deployment`.

    Returns:
        The deployment, and the paths of the files.

    Raises:
        OperationError: naming the model or version that is missing.
    """
    merged: dict[str, dict[str, int]] = {}
    earlier = Path(output) / CONFIG_FILE
    if earlier.is_file():
        for model in read_config(earlier).model_config_list.config:
            if model.version_labels and (not models or model.name in models):
                merged[model.name] = dict(model.version_labels)
    for name, named in (labels or {}).items():
        merged[name] = {**merged.get(name, {}), **named}
    deployment = Deployment(
        find_models(saved_models, models, merged),
        mount or str(Path(saved_models).resolve()),
        **settings,  # type: ignore[arg-type]
    )
    return deployment, write_deployment(output, deployment, saved_models)


def write_deployment(
    output: str | Path, deployment: Deployment, saved_models: str | Path
) -> list[Path]:
    """Writes configuration, start script, compose file and manifest.

    Args:
        output: the folder; files of the same names are replaced.
        deployment: models and settings of the server.
        saved_models: folder of all models on this machine.

    Returns:
        The paths of the files.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jd_tf.serving.deploy", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # A JSON string is a YAML string.
    environment.filters["quote"] = json.dumps
    files = deployment.files()
    joined = "\0".join(f"{name}\0{text}" for name, text in files.items())
    values = {
        "server": deployment,
        "files": files,
        "flags": deployment.flags(_MOUNTED),
        "checksum": hashlib.sha256(joined.encode()).hexdigest(),
        "metrics_path": METRICS_PATH,
        "saved_models": str(Path(saved_models).resolve()),
        "arguments": [
            f'"{flag}"' if _HERE in flag else shlex.quote(flag)
            for flag in deployment.flags(_HERE)
        ],
    }
    texts = dict(files)
    for name in (START_FILE, COMPOSE_FILE, KUBERNETES_FILE, PROMETHEUS_FILE):
        texts[name] = environment.get_template(name).render(values)
    for name, text in texts.items():
        write_whole(Path(output) / name, text.encode())
    (Path(output) / START_FILE).chmod(0o755)
    return [Path(output) / name for name in texts]
