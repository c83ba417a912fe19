"""A model server, as a promotion or a replay uses it."""

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.serving.client import grpc_transport
from jd_tf.serving.client.errors import UnavailableError
from jd_tf.serving.client.model_service_client import (
    ModelServiceClient,
    VersionStatus,
)
from jd_tf.serving.client.options import ModelChoice, TlsFiles
from jd_tf.serving.client.tensors import to_arrays
from jd_tf.serving.client.transport import Call
from jd_tf.serving.deploy.model_config import OperationError, ServerConfig
from jd_tf.serving.export.model_card import written_tolerance
from jd_tf.serving.export.recordings import WARMUP_FILE, read_recordings
from jd_tf.serving.export.verification.comparison import TOLERANCE, check_equal
from jd_tf.serving.protos.messages import (
    GET_MODEL_METADATA,
    PREDICT,
    open_method,
)

_RETRY_SECONDS = 3.0
_PAUSE = 0.1
# Another processor multiplies in another order.
_OTHER_MACHINE = 10


class VersionServer(ModelServiceClient):
    """A connection to `host:port`; retries calls, which all may be repeated."""

    def __init__(self, address: str, tls: TlsFiles | None = None):
        self._channel = grpc_transport.open_channel(address, tls)
        super().__init__(self._channel, address)
        self._predict = open_method(self._channel, PREDICT)
        self._metadata = open_method(self._channel, GET_MODEL_METADATA)

    def __enter__(self) -> "VersionServer":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def status(
        self, model: str, version: int | None = None, timeout: float = 5.0
    ) -> dict[int, VersionStatus]:
        """See `ModelServiceClient.status`."""
        read = functools.partial(super().status, model, version, timeout)
        return _retried(read, timeout)

    def reload_config(self, config: ServerConfig, timeout: float) -> None:
        """See `ModelServiceClient.reload_config`."""
        send = functools.partial(super().reload_config, config, timeout)
        _retried(send, timeout)

    def predict(
        self,
        model: str,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        version: int | str | None = None,
        timeout: float = 10.0,
    ) -> tuple[dict[str, np.ndarray], int]:
        """Calls a version: a number, a label or the latest; returns which."""
        choice = _choice(model, version)
        call = Call(signature, inputs)
        request = grpc_transport.predict_request(choice, call)
        where = f"{choice}: `{signature}`"
        answer = self._sent(self._predict, request, where, timeout)
        return to_arrays(answer.outputs), answer.model_spec.version.value

    def inputs(
        self,
        model: str,
        signature: str,
        version: int | str | None = None,
        timeout: float = 10.0,
    ) -> set[str]:
        """Returns the names of what a version's signature takes."""
        choice = _choice(model, version)
        request = grpc_transport.metadata_request(choice)
        answer = self._sent(self._metadata, request, str(choice), timeout)
        signatures = grpc_transport.read_signatures(answer, str(choice))
        return set(signatures.get(signature, {}).get("inputs", ()))

    def _sent(
        self, method: Any, request: Any, where: str, timeout: float
    ) -> Any:
        def send() -> Any:
            with grpc_transport.rpc_errors(f"{self.address}: {where}"):
                return method(request, timeout=timeout)

        return _retried(send, timeout)

    def replay_recordings(
        self,
        model: str,
        version: int,
        folder: Path,
        tolerance: float | None,
        timeout: float,
    ) -> float:
        """Replays an export's recorded calls; returns the largest difference.

        The tolerance is by default ten times that of its verification.
        """
        if tolerance is None:
            tolerance = _OTHER_MACHINE * written_tolerance(folder, TOLERANCE)
        worst = 0.0
        for recording in read_recordings(folder / WARMUP_FILE):
            signature = recording.signature
            answer, answered_by = self.predict(
                model, signature, recording.inputs, version, timeout
            )
            if answered_by != version:
                raise OperationError(
                    f"{self.address}: version {answered_by} answered for "
                    f"version {version} of `{model}`."
                )
            what = (
                f"{self.address}: version {version} of `{model}`, signature "
                f"`{signature}` and its export"
            )
            found = check_equal(recording.outputs, answer, what, tolerance)
            worst = max(worst, found)
        return worst


def _choice(model: str, version: int | str | None) -> ModelChoice:
    if isinstance(version, str):
        return ModelChoice(model, label=version)
    return ModelChoice(model, version)


def _retried(call: Callable[[], Any], timeout: float) -> Any:
    """Repeats a call for some seconds: a busy server may connect slowly."""
    end = time.monotonic() + min(timeout, _RETRY_SECONDS)
    while True:
        try:
            return call()
        except UnavailableError:
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE)
