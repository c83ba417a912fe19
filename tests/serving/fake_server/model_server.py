"""The common part of the fake and the real server."""

import abc
import secrets
import socket
import time

from tensorflow_serving.config import model_server_config_pb2

from jd_tf.serving.client.grpc_transport import open_channel
from jd_tf.serving.client.model_service_client import ModelServiceClient


class ModelServer(abc.ABC):
    """A model server on loopback, gRPC and REST.

    Attributes:
        kind: "fake" or "real".
        address, rest_url: where it answers; the same after a restart.
        client_tls: `TlsFiles` that reach it, where it encrypts.
    """

    kind = ""
    client_tls = None

    def __init__(self, config):
        # Of our classes or, as here, of the official ones.
        self.config = model_server_config_pb2.ModelServerConfig.FromString(
            config.SerializeToString()
        )
        self.port, self.rest_port = free_port(), free_port()
        self.address = f"localhost:{self.port}"
        self.rest_url = f"http://localhost:{self.rest_port}"

    @abc.abstractmethod
    def start(self):
        """Starts, and waits until every model answers."""

    @abc.abstractmethod
    def stop(self):
        """Stops at once; calls in flight fail."""

    def wait_until(self, name, version, state="AVAILABLE", seconds=120):
        """Waits for the state of a version; returns its status."""
        end = time.monotonic() + seconds
        with open_channel(self.address, self.client_tls) as channel:
            service = ModelServiceClient(channel)
            while True:
                found = service.status(name).get(version)
                if found and found.state == state:
                    return found
                assert time.monotonic() < end, f"{name} {version}: {found}"
                time.sleep(0.02)

    def reload(self, config, timeout=60):
        """Sets what is served."""
        with open_channel(self.address, self.client_tls) as channel:
            ModelServiceClient(channel).reload_config(config, timeout)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


def model_config(name, base_path, versions=(), labels=None):
    """The configuration of one model; the latest without `versions`."""
    config = model_server_config_pb2.ModelServerConfig()
    add_model(config, name, base_path, versions, labels)
    return config


def add_model(config, name, base_path, versions=(), labels=None):
    """One more model."""
    model = config.model_config_list.config.add(
        name=name, base_path=str(base_path), model_platform="tensorflow"
    )
    if versions:
        model.model_version_policy.specific.versions.extend(versions)
    for label, version in (labels or {}).items():
        model.version_labels[label] = version


def free_port():
    """A port nobody listens on now.

    It lies below the range that the kernel gives to clients and to port 0,
    so that no call in between takes it.
    """
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as listener:
            try:
                listener.bind(("localhost", port))
            except OSError:
                continue
            return port
