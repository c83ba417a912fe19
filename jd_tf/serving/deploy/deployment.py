"""Models, settings, flags and files of a model server."""

import dataclasses
import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from google.protobuf import text_format

from jd_tf.data.files import is_pattern, write_whole
from jd_tf.serving.deploy.model_config import (
    STABLE,
    OperationError,
    add_model,
    config_text,
    read_config,
)
from jd_tf.serving.export.model_card import list_files
from jd_tf.serving.export.versions import GRAPH_FILE, versions
from jd_tf.serving.protos import messages

CONFIG_FILE = "models.config"
BATCHING_FILE = "batching.config"
MONITORING_FILE = "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"
START_FILE = "start_server.sh"
# The newest release of the server. It reads graphs of TensorFlow 2.21, whose
# exports need no op of later than 2.20.
IMAGE = "tensorflow/serving:2.20.0"
_TEMPLATES = (
    START_FILE,
    "docker-compose.yaml",
    "kubernetes.yaml",
    "prometheus.yml",
)
# Folder of the files in containers; beside the script, wherever it starts.
_MOUNTED, _HERE = "/config", "${here}"

_MIB = 2**20
# Of a server without models: threads and buffers.
_BASE_MIB = 1024
# Of every loaded version, beside its files: graph, sessions, activations. A
# ranker of 13 MB took 270 MiB with its warm-up, a second one 160 MiB more.
_VERSION_MIB = 256
# 384 MB of variables took 374 MiB, and no more while they were read.
_FILES_FACTOR = 1.25


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A model, the folder of its versions, and version by label."""

    name: str
    folder: Path
    labels: Mapping[str, int]

    def __post_init__(self) -> None:
        there = versions(self.folder)
        for label, version in self.labels.items():
            folder = there.get(version, self.folder / str(version))
            if not (folder / GRAPH_FILE).is_file():
                raise OperationError(
                    f"model `{self.name}`: label `{label}` names version "
                    f"{version}, but {folder} holds no SavedModel."
                )


def find_models(
    saved_models: str | Path,
    names: tuple[str, ...] = (),
    labels: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[ServedModel, ...]:
    """Finds models by name; `stable` is the highest version without labels."""
    saved_models = Path(saved_models).resolve()
    labels = labels or {}
    if not saved_models.is_dir():
        raise OperationError(f"{saved_models}: no such folder.")
    found = sorted(
        child.name for child in saved_models.iterdir() if versions(child)
    )
    missing = sorted({*names, *labels} - set(found))
    if missing or not found:
        raise OperationError(
            f"{saved_models}: no model {', '.join(missing) or 'at all'} with "
            f"versions; there are: {', '.join(found) or 'none'}."
        )
    return tuple(
        ServedModel(
            name,
            saved_models / name,
            labels.get(name) or {STABLE: max(versions(saved_models / name))},
        )
        for name in (names or found)
    )


@dataclasses.dataclass(frozen=True)
class Deployment:
    """Models, resources and flags of a model server.

    `mount` is the path of all models as the server sees it; `memory_mib` 0
    is computed from the models; `replicas` is of Kubernetes; `rest_port` has
    status and metrics, too. Of `max_callers` gRPC calls at once none is
    refused.
    """

    models: tuple[ServedModel, ...]
    mount: str
    image: str = IMAGE
    cpus: int = 2
    memory_mib: int = 0
    replicas: int = 2
    batching: bool = False
    max_callers: int = 64
    grpc_port: int = 8500
    rest_port: int = 8501

    def __post_init__(self) -> None:
        if not self.mount.startswith("/"):
            raise OperationError(
                f"`mount` must be an absolute path. Got: {self.mount!r}."
            )
        if is_pattern(self.mount):
            raise OperationError(
                "a model server reads [ ] * ? and \\ in paths as patterns and "
                f"loads nothing from {self.mount}. Name another folder as "
                "--mount, or move the models."
            )

    @property
    def memory(self) -> int:
        """The MiB of one server: all labelled versions, and a promoted one."""
        if self.memory_mib:
            return self.memory_mib
        sizes = [
            sum(list_files(folder).values())
            for model in self.models
            for version, folder in versions(model.folder).items()
            if version in model.labels.values()
        ]
        sizes.append(max(sizes))
        versions_mib = len(sizes) * _VERSION_MIB
        files_mib = _FILES_FACTOR * sum(sizes) / _MIB
        return 256 * math.ceil((_BASE_MIB + versions_mib + files_mib) / 256)

    def files(self) -> dict[str, str]:
        """Returns the texts of the server's own files, by name."""
        config = messages.ModelServerConfig()
        for model in self.models:
            path = f"{self.mount.rstrip('/')}/{model.name}"
            add_model(config, model.name, path, model.labels)
        prometheus = {"enable": True, "path": METRICS_PATH}
        monitoring = messages.MonitoringConfig(prometheus_config=prometheus)
        files = {
            CONFIG_FILE: config_text(config),
            MONITORING_FILE: text_format.MessageToString(monitoring),
        }
        if self.batching:
            # Every version has its own batching_params.pbtxt; this file has
            # the number of threads that run the batches of all of them.
            threads = messages.BatchingParameters(
                num_batch_threads={"value": self.cpus}
            )
            files[BATCHING_FILE] = text_format.MessageToString(threads)
        return files

    def flags(self, folder: str) -> list[str]:
        """Returns the flags of a server that sees `files` in a folder."""
        flags: dict[str, Any] = {
            "port": self.grpc_port,
            "rest_api_port": self.rest_port,
            "model_config_file": f"{folder}/{CONFIG_FILE}",
            "monitoring_config_file": f"{folder}/{MONITORING_FILE}",
            # Reloads need it; versions named by number load on demand only.
            "file_system_poll_wait_seconds": 1,
            # What failed once fails again, and start-up would wait minutes.
            "max_num_load_retries": 0,
            # A long load must not delay unloading.
            "num_load_threads": 2,
            # Labels of the file exist before their versions are loaded.
            "allow_version_labels_for_unavailable_models": "true",
            # The default is the machine's cores, not the container's.
            "tensorflow_intra_op_parallelism": self.cpus,
            "tensorflow_inter_op_parallelism": self.cpus,
            # Twice as many as calls, since gRPC's own threads count. Beyond
            # the default of 4 a core calls are refused, not queued: with 2
            # cores from the seventh caller on.
            "grpc_max_threads": 2 * self.max_callers,
            # Clients behind a load balancer must find new servers.
            "grpc_channel_arguments": "grpc.max_connection_age_ms=600000",
        }
        if self.batching:
            flags |= {
                "enable_batching": "true",
                "enable_per_model_batching_parameters": "true",
                "batching_parameters_file": f"{folder}/{BATCHING_FILE}",
            }
        return [f"--{name}={value}" for name, value in flags.items()]

    def is_available(self) -> list[str]:
        """Returns a command that succeeds if every model is available.

        It uses bash alone, since the image has no HTTP client, and reads the
        state: a failed version has HTTP status 200, too.
        """
        check = (
            f"exec 3<>/dev/tcp/127.0.0.1/{self.rest_port}"
            " && printf 'GET /v1/models/%s HTTP/1.0\\r\\n\\r\\n' MODEL >&3"
            " && grep -q '\"AVAILABLE\"' <&3"
        )
        checks = (check.replace("MODEL", model.name) for model in self.models)
        return ["timeout", "5", "bash", "-c", " && ".join(checks)]


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
    """Writes all files into a folder and returns their paths."""
    output = Path(output)
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
    texts = files | {
        name: environment.get_template(name).render(values)
        for name in _TEMPLATES
    }
    for name, text in texts.items():
        write_whole(output / name, text.encode())
    (output / START_FILE).chmod(0o755)
    return [output / name for name in texts]
