"""One model server, as an operation needs it."""

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from jd_tf.serving.client.channel import open_channel
from jd_tf.serving.client.model_service_client import ModelServiceClient
from jd_tf.serving.client.status_errors import error_of
from jd_tf.serving.client.tensors import to_arrays, to_protos
from jd_tf.serving.client.tls_files import TlsFiles


class VersionServer:
    """Asks a model server for its versions, and a version for answers.

    Args:
        address: `host:port` of its gRPC side.
        tls: encrypts; plain without.
    """

    def __init__(self, address: str, tls: TlsFiles | None = None):
        self.address = address
        self._channel = open_channel(address, tls)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )
        service = ModelServiceClient(self._channel, address)
        self.status = service.status
        self.reload_config = service.reload_config

    def __enter__(self) -> "VersionServer":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

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
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if isinstance(version, str):
            request.model_spec.version_label = version
        elif version is not None:
            request.model_spec.version.value = version
        for name, proto in to_protos(inputs).items():
            request.inputs[name].CopyFrom(proto)
        try:
            answer = self._stub.Predict(request, timeout=timeout)
        except grpc.RpcError as error:
            raise error_of(
                error.code().name,
                error.details() or "",
                f"{self.address}: {model}, version {version or 'latest'}, "
                f"signature `{signature}`",
            ) from error
        return to_arrays(answer.outputs), answer.model_spec.version.value
