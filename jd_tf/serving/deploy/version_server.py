"""A model server, as a promotion or a replay uses it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from jd_tf.serving.client.errors import (
    UnavailableError,
    error_of,
)
from jd_tf.serving.client.grpc_transport import open_channel
from jd_tf.serving.client.model_service_client import (
    ModelServiceClient,
    VersionStatus,
)
from jd_tf.serving.client.options import TlsFiles
from jd_tf.serving.client.tensors import fill_proto, to_arrays
from jd_tf.serving.deploy.model_config import OperationError, ServerConfig
from jd_tf.serving.export.model_card import written_tolerance
from jd_tf.serving.export.recordings import WARMUP_FILE, read_recordings
from jd_tf.serving.export.verification.comparison import TOLERANCE, check_equal
from jd_tf.serving.protos.messages import (
    PREDICT,
    PredictRequest,
    open_method,
)

_RETRY_SECONDS = 3.0
_PAUSE = 0.1
# Another processor multiplies in another order.
_OTHER_MACHINE = 10


class VersionServer:
    """A connection to a model server: its versions, and their answers.

    Args:
        address: `host:port` of its gRPC side.
        tls: encrypts; plain without.
    """

    def __init__(self, address: str, tls: TlsFiles | None = None):
        self.address = address
        self._channel = open_channel(address, tls)
        self._predict = open_method(self._channel, PREDICT)
        self._service = ModelServiceClient(self._channel, address)

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
        return _retried(
            lambda: self._service.status(model, version, timeout), timeout
        )

    def reload_config(self, config: ServerConfig, timeout: float) -> None:
        """See `ModelServiceClient.reload_config`."""
        _retried(lambda: self._service.reload_config(config, timeout), timeout)

    def predict(
        self,
        model: str,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        version: int | str | None = None,
        timeout: float = 10.0,
    ) -> tuple[dict[str, np.ndarray], int]:
        """Calls a signature.

        Args:
            model: its name.
            signature: its name.
            inputs: arrays by name.
            version: a number or a label; the latest if None.
            timeout: seconds.

        Returns:
            Outputs by name, and the version that answered.

        Raises:
            ClientError: with the remedy.
        """
        request = PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if isinstance(version, str):
            request.model_spec.version_label = version
        elif version is not None:
            request.model_spec.version.value = version
        for name, array in inputs.items():
            fill_proto(request.inputs[name], array)
        where = (
            f"{self.address}: {model}, version {version or 'latest'}, "
            f"signature `{signature}`"
        )

        def send() -> Any:
            try:
                return self._predict(request, timeout=timeout)
            except grpc.RpcError as error:
                code, details = error.code().name, error.details() or ""
                raise error_of(code, details, where) from error

        answer = _retried(send, timeout)
        return to_arrays(answer.outputs), answer.model_spec.version.value

    def replay_recordings(
        self,
        model: str,
        version: int,
        folder: str | Path,
        tolerance: float | None = None,
        timeout: float = 10.0,
    ) -> float:
        """Replays the recorded calls of an export and compares the answers.

        Args:
            model: its name.
            version: a loaded version; called by number, not by label.
            folder: of the version, on this machine.
            tolerance: the largest relative difference; by default ten times
                that of the export's verification.
            timeout: seconds of each call.

        Returns:
            The largest relative difference found.

        Raises:
            OperationError: if another version answers.
            ExportError: if an answer differs from the recorded one.
            ClientError: if there is no answer.
        """
        folder = Path(folder)
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


def _retried(call: Callable[[], Any], timeout: float) -> Any:
    """Repeats a call for some seconds: a busy server may connect slowly.

    All calls here may be repeated: they read, or set a whole state.
    """
    end = time.monotonic() + min(timeout, _RETRY_SECONDS)
    while True:
        try:
            return call()
        except UnavailableError:
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE)
