"""One model server, as an operation needs it."""

import time
from collections.abc import Callable, Mapping
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
from jd_tf.serving.protos.messages import (
    PREDICT,
    PredictRequest,
    PredictResponse,
    open_method,
)

_PATIENCE = 3.0
_PAUSE = 0.1


class VersionServer:
    """Asks a model server for its versions, and a version for answers.

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
        return self._patiently(
            lambda: self._service.status(model, version, timeout), timeout
        )

    def reload_config(self, config: Any, timeout: float) -> None:
        """See `ModelServiceClient.reload_config`."""
        self._patiently(
            lambda: self._service.reload_config(config, timeout), timeout
        )

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
            ClientError: saying what to do.
        """
        request = self._request(model, signature, inputs, version)
        where = (
            f"{self.address}: {model}, version {version or 'latest'}, "
            f"signature `{signature}`"
        )
        answer = self._patiently(
            lambda: self._send(request, timeout, where), timeout
        )
        return to_arrays(answer.outputs), answer.model_spec.version.value

    def _request(
        self,
        model: str,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        version: int | str | None,
    ) -> PredictRequest:
        request = PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if isinstance(version, str):
            request.model_spec.version_label = version
        elif version is not None:
            request.model_spec.version.value = version
        for name, array in inputs.items():
            fill_proto(request.inputs[name], array)
        return request

    def _send(
        self, request: PredictRequest, timeout: float, where: str
    ) -> PredictResponse:
        try:
            return self._predict(request, timeout=timeout)
        except grpc.RpcError as error:
            raise error_of(
                error.code().name, error.details() or "", where
            ) from error

    def _patiently(self, call: Callable[[], Any], timeout: float) -> Any:
        """Calls again for a moment: a busy server may be slow to connect.

        All calls here may be made twice: they ask, or say what shall be.
        """
        end = time.monotonic() + min(timeout, _PATIENCE)
        while True:
            try:
                return call()
            except UnavailableError:
                if time.monotonic() > end:
                    raise
                time.sleep(_PAUSE)
