"""What a model server is started with, whoever starts it."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from google.protobuf import text_format

from jd_tf.serving.deploy.errors import OperationError
from jd_tf.serving.deploy.model_config import (
    Config,
    add_model,
    config_text,
)
from jd_tf.serving.deploy.served_model import ServedModel
from jd_tf.serving.protos.messages import (
    BatchingParameters,
    MonitoringConfig,
)

CONFIG_FILE = "models.config"
BATCHING_FILE = "batching.config"
MONITORING_FILE = "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"

_MIB = 2**20
# A server without models, its threads and buffers.
_BASE_MIB = 1024
# Of every loaded version, beside its files: graph, sessions, activations. A
# ranker of 13 MB took 270 MiB with its warm-up, a second one 160 MiB more.
_VERSION_MIB = 256
# 384 MB of variables took 374 MiB, and no more while they were read.
_FILES_FACTOR = 1.25
# Clients behind a balancer must look for new servers now and then.
_MAX_CONNECTION_AGE_MS = 600_000
_GRPC, _REST = 8500, 8501


@dataclasses.dataclass(frozen=True)
class Deployment:
    """Models, resources and flags of a model server.

    Attributes:
        models: what it serves.
        mount: where the server sees the folder of all models.
        image: of the container.
        cpus: cores of one server.
        memory_mib: memory of one server; 0: worked out from the models.
        replicas: servers side by side.
        batching: whether calls are joined into batches.
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
        """MiB of one server: all labelled versions, and one beside them.

        While a version is promoted, the old and the new one are loaded.
        """
        if self.memory_mib:
            return self.memory_mib
        sizes = [size for model in self.models for size in model.version_bytes]
        sizes.append(max(sizes))
        needed = _BASE_MIB + len(sizes) * _VERSION_MIB
        needed += _FILES_FACTOR * sum(sizes) / _MIB
        # In steps that a person can read.
        return 256 * math.ceil(needed / 256)

    def config(self) -> Config:
        """The models as the server is told of them."""
        config = Config()
        for model in self.models:
            path = f"{self.mount.rstrip('/')}/{model.name}"
            add_model(config, model.name, path, model.labels)
        return config

    def files(self) -> dict[str, str]:
        """The server's own files, by name."""
        monitoring = MonitoringConfig()
        monitoring.prometheus_config.enable = True
        monitoring.prometheus_config.path = METRICS_PATH
        files = {
            CONFIG_FILE: config_text(self.config()),
            MONITORING_FILE: text_format.MessageToString(monitoring),
        }
        if self.batching:
            threads = BatchingParameters()
            # Every version brings its own batching_params.pbtxt; this file
            # says how many threads run the batches of all of them.
            threads.num_batch_threads.value = self.cpus
            files[BATCHING_FILE] = text_format.MessageToString(threads)
        return files

    def flags(self, folder: str) -> list[str]:
        """The server's command line.

        Args:
            folder: where it finds `files`.
        """
        flags: dict[str, Any] = {
            "port": self.grpc_port,
            "rest_api_port": self.rest_port,
            "model_config_file": f"{folder}/{CONFIG_FILE}",
            "monitoring_config_file": f"{folder}/{MONITORING_FILE}",
            # Reloads need it; a version named by number is loaded when told.
            "file_system_poll_wait_seconds": 1,
            # What failed once fails again, and start-up would wait minutes.
            "max_num_load_retries": 0,
            # A long load must not keep others from being unloaded.
            "num_load_threads": 2,
            # The labels of the file exist before their versions are loaded.
            "allow_version_labels_for_unavailable_models": "true",
            # By itself it counts the machine's cores, not the container's.
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
        """A command that succeeds if every model says it is available.

        By bash alone, since the image has no HTTP client; a status of 200
        would not do, which a failed version gets as well.
        """
        ask = (
            f"exec 3<>/dev/tcp/127.0.0.1/{self.rest_port}"
            " && printf 'GET /v1/models/%s HTTP/1.0\\r\\n\\r\\n' MODEL >&3"
            " && grep -q '\"AVAILABLE\"' <&3"
        )
        checks = (ask.replace("MODEL", model.name) for model in self.models)
        return ["timeout", "5", "bash", "-c", " && ".join(checks)]


def labels_of(config: Config) -> Mapping[str, Mapping[str, int]]:
    """Model -> label -> version, of an earlier file."""
    return {
        model.name: dict(model.version_labels)
        for model in config.model_config_list.config
        if model.version_labels
    }
