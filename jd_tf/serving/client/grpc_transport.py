"""Calls to a model server over gRPC."""

import grpc

from jd_tf.serving.client.call import Answer, Call
from jd_tf.serving.client.channel import MAX_MESSAGE_BYTES, open_channel
from jd_tf.serving.client.errors import ClosedError
from jd_tf.serving.client.grpc_messages import (
    answer_of,
    description_of,
    grpc_error,
    metadata_request,
    predict_request,
)
from jd_tf.serving.client.model_choice import ModelChoice
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.client.tls_files import TlsFiles
from jd_tf.serving.client.transport import Transport
from jd_tf.serving.protos.methods import (
    GET_MODEL_METADATA,
    PREDICT,
    open_method,
)


class GrpcTransport(Transport):
    """One channel, opened once and kept.

    Args:
        address: `host:port`, or any other target gRPC knows.
        model: which model, and which of its versions.
        tls: encrypts; plain without.
        max_message_bytes: refused beyond, either way.
    """

    keeps_deadlines = True

    def __init__(
        self,
        address: str,
        model: ModelChoice,
        tls: TlsFiles | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ):
        self.model = model
        self.where = f"{address}: {model}"
        self._channel = open_channel(address, tls, max_message_bytes)
        self._predict = open_method(self._channel, PREDICT)
        self._metadata = open_method(self._channel, GET_MODEL_METADATA)

    def call(self, call: Call, timeout: float) -> Answer:
        """See `Transport`."""
        where = f"{self.where}: `{call.signature}`"
        request = predict_request(self.model, call)
        return answer_of(
            self._send(self._predict, request, timeout, where), where
        )

    def describe(self, timeout: float) -> ModelDescription:
        """See `Transport`."""
        request = metadata_request(self.model)
        method = self._metadata
        return description_of(
            self._send(method, request, timeout, self.where), self.where
        )

    def close(self) -> None:
        """See `Transport`."""
        self._channel.close()

    def _send(self, method, request, timeout, where):
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise grpc_error(error, where) from error
        except ValueError as error:
            raise ClosedError(f"{where}: {error} Open a new client.") from error
