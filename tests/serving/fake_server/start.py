"""The server that the tests talk to."""

import os

from tests.serving.fake_server.fake_model_server import FakeModelServer
from tests.serving.fake_server.real_model_server import RealModelServer

VARIABLE = "JD_TF_MODEL_SERVER"


def server_kind():
    """Returns `real` if the environment names a binary, else `fake`."""
    return "real" if os.environ.get(VARIABLE) else "fake"


def model_server(config, **options):
    """A server, not started yet; use it as a context manager."""
    kinds = {"real": RealModelServer, "fake": FakeModelServer}
    return kinds[server_kind()](config, **options)


def description():
    """One line for the report."""
    binary = os.environ.get(VARIABLE)
    if binary:
        return f"model server: the real one, {binary}"
    return (
        "model server: a fake of it (set JD_TF_MODEL_SERVER to a "
        "tensorflow_model_server binary for the real one)"
    )
