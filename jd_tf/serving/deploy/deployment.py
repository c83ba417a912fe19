"""Models, settings and flags of a model server."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from jd_tf.serving.deploy.model_config import (
    STABLE,
    OperationError,
    add_model,
    config_text,
)
from jd_tf.serving.export.model_card import list_files
from jd_tf.serving.export.versions import GRAPH_FILE, versions
from jd_tf.serving.protos.messages import (
    BatchingParameters,
    ModelServerConfig,
    MonitoringConfig,
)

CONFIG_FILE = "models.config"
BATCHING_FILE = "batching.config"
MONITORING_FILE = "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"

_MIB = 2**20
# Of a server without models: threads and buffers.
_BASE_MIB = 1024
# Of every loaded version, beside its files: graph, sessions, activations. A
# ranker of 13 MB took 270 MiB with its warm-up, a second one 160 MiB more.
_VERSION_MIB = 256
# 384 MB of variables took 374 MiB, and no more while they were read.
_FILES_FACTOR = 1.25
# Clients behind a load balancer must find new servers now and then.
_MAX_CONNECTION_AGE_MS = 600_000
_GRPC, _REST = 8500, 8501


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A model and the versions that its labels name.

    Attributes:
        name: of the model.
        folder: of its versions, on this machine.
        labels: version by label.
    """

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

    @property
    def version_bytes(self) -> list[int]:
        """The size of every labelled version."""
        there = versions(self.folder)
        return [
            sum(list_files(there[version]).values())
            for version in set(self.labels.values())
        ]


def find_models(
    saved_models: str | Path,
    names: tuple[str, ...] = (),
    labels: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[ServedModel, ...]:
    """Finds the models of a folder; `stable` is by default the highest version.

    Args:
        saved_models: holds a folder a model.
        names: of the models; all by default.
        labels: model -> label -> version.

    Raises:
        OperationError: naming the model or version that is missing.
    """
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

    Attributes:
        models: that it serves.
        mount: path of the folder of all models as the server sees it.
        image: of the container.
        cpus: cores of one server.
        memory_mib: memory of one server; 0 computes it from the models.
        replicas: number of servers, in Kubernetes.
        batching: joins calls into batches.
        grpc_port: of the server.
        rest_port: of the server; also status and metrics.
    """

    models: tuple[ServedModel, ...]
    mount: str
    image: str = "tensorflow/serving:latest"
    cpus: int = 2
    memory_mib: int = 0
    replicas: int = 2
    batching: bool = False
    grpc_port: int = _GRPC
    rest_port: int = _REST

    def __post_init__(self) -> None:
        if not self.mount.startswith("/"):
            raise OperationError(
                f"`mount` must be an absolute path. Got: {self.mount!r}."
            )

    @property
    def memory(self) -> int:
        """The MiB of one server: all labelled versions, and one beside them.

        While a version is promoted, the old and the new one are loaded.
        """
        if self.memory_mib:
            return self.memory_mib
        sizes = [size for model in self.models for size in model.version_bytes]
        sizes.append(max(sizes))
        versions_mib = len(sizes) * _VERSION_MIB
        files_mib = _FILES_FACTOR * sum(sizes) / _MIB
        return 256 * math.ceil((_BASE_MIB + versions_mib + files_mib) / 256)

    def files(self) -> dict[str, str]:
        """Returns the texts of the server's own files, by name."""
        config = ModelServerConfig()
        for model in self.models:
            path = f"{self.mount.rstrip('/')}/{model.name}"
            add_model(config, model.name, path, model.labels)
        monitoring = MonitoringConfig()
        monitoring.prometheus_config.enable = True
        monitoring.prometheus_config.path = METRICS_PATH
        files = {
            CONFIG_FILE: config_text(config),
            MONITORING_FILE: text_format.MessageToString(monitoring),
        }
        if self.batching:
            threads = BatchingParameters()
            # Every version has its own batching_params.pbtxt; this file has
            # the number of threads that run the batches of all of them.
            threads.num_batch_threads.value = self.cpus
            files[BATCHING_FILE] = text_format.MessageToString(threads)
        return files

    def flags(self, folder: str) -> list[str]:
        """Returns the server's command line.

        Args:
            folder: path of `files` as the server sees it.
        """
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
            "grpc_channel_arguments": "grpc.max_connection_age_ms="
            f"{_MAX_CONNECTION_AGE_MS}",
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
