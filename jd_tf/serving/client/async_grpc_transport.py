"""Calls to a model server over gRPC, for asyncio."""

import grpc
import grpc.aio

from jd_tf.serving.client.call import Answer, Call
from jd_tf.serving.client.channel import MAX_MESSAGE_BYTES, open_async_channel
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
from jd_tf.serving.client.transport import AsyncTransport
from jd_tf.serving.protos.methods import (
    GET_MODEL_METADATA,
    PREDICT,
    open_method,
)


class AsyncGrpcTransport(AsyncTransport):
    """One channel, opened once and kept; make it inside the event loop.

    Args:
        address: `host:port`, or any other target gRPC knows.
        model: which model, and which of its versions.
        tls: encrypts; plain without.
        max_message_bytes: refused beyond, either way.
    """

    def __init__(
        self,
        address: str,
        model: ModelChoice,
        tls: TlsFiles | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ):
        self.model = model
        self.where = f"{address}: {model}"
        self._closed = False
        self._channel = open_async_channel(address, tls, max_message_bytes)
        self._predict = open_method(self._channel, PREDICT)
        self._metadata = open_method(self._channel, GET_MODEL_METADATA)

    async def call(self, call: Call, timeout: float) -> Answer:
        """See `Transport`."""
        where = f"{self.where}: `{call.signature}`"
        request = predict_request(self.model, call)
        response = await self._send(self._predict, request, timeout, where)
        return answer_of(response, where)

    async def describe(self, timeout: float) -> ModelDescription:
        """See `Transport`."""
        response = await self._send(
            self._metadata,
            metadata_request(self.model),
            timeout,
            self.where,
        )
        return description_of(response, self.where)

    async def close(self) -> None:
        """See `Transport`."""
        self._closed = True
        await self._channel.close()

    async def _send(self, method, request, timeout, where):
        if self._closed:
            raise ClosedError(f"{where}: closed. Open a new client.")
        try:
            return await method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise grpc_error(error, where) from error
