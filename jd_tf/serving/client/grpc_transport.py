"""Calls to a model server over gRPC, from threads and from asyncio."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio

from jd_tf.serving.client import errors
from jd_tf.serving.client.options import ModelChoice, RetryPolicy, TlsFiles
from jd_tf.serving.client.tensors import fill_proto, to_arrays
from jd_tf.serving.client.transport import (
    Answer,
    AsyncTransport,
    Call,
    Describe,
    ModelDescription,
    Operation,
    Transport,
)
from jd_tf.serving.protos import messages

# A user state and a thousand candidates; the library would stop at 4 MiB.
MAX_MESSAGE_BYTES = 64 * 2**20
_SIGNATURES = "signature_def"
# Of calls that were not begun.
_RETRIED = ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
_OPTIONS = (
    # A server that comes back is met within a second, not within two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # The least time a busy server has to take a connection.
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A peer that vanished without a word is noticed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # All addresses of a headless service share the calls.
    ("grpc.lb_policy_name", "round_robin"),
)


def open_channel(
    address: str,
    tls: TlsFiles | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    retries: RetryPolicy | None = None,
    library: Any = grpc,
) -> Any:
    """Opens a channel, to be closed; no retries without a policy."""
    if not address or "://" in address.replace(":///", ""):
        raise errors.RequestError(
            f"gRPC takes `host:port`, no URL. Got: {address!r}."
        )
    options = [
        *_OPTIONS,
        *_retry_options(retries, max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
    ]
    if tls is None:
        return library.insecure_channel(address, options)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = grpc.ssl_channel_credentials(**tls.read())
    return library.secure_channel(address, credentials, options)


@contextlib.contextmanager
def rpc_errors(where: str, max_attempts: int = 1) -> Iterator[None]:
    """Makes typed errors of those of a call; `where` names its target."""
    try:
        yield
    except grpc.RpcError as error:
        code, text = error.code().name, error.details() or ""
        if code in _RETRIED and max_attempts > 1:
            text += (
                f" ({max_attempts} attempts, or fewer by the budget of retries)"
            )
        raise errors.error_of(code, text, where) from error


def _retry_options(
    retries: RetryPolicy | None, max_message_bytes: int
) -> list[tuple[str, Any]]:
    if retries is None or retries.max_attempts == 1 or not retries.budget:
        return [("grpc.enable_retries", 0)]
    policy = {
        "maxAttempts": retries.max_attempts,
        "initialBackoff": f"{retries.initial_seconds:.3f}s",
        "maxBackoff": f"{retries.max_seconds:.3f}s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": _RETRIED,
    }
    config = {
        "methodConfig": [{"name": [{}], "retryPolicy": policy}],
        # Every failure takes a token; with half of them gone retries end.
        "retryThrottling": {
            "maxTokens": 2 * retries.budget + 1,
            "tokenRatio": round(retries.refill, 3),
        },
    }
    # A request that is not buffered is not sent again.
    buffered = max_message_bytes if max_message_bytes > 0 else 2**31 - 1
    return [
        ("grpc.enable_retries", 1),
        ("grpc.per_rpc_retry_buffer_size", buffered),
        ("grpc.service_config", json.dumps(config)),
    ]


class _GrpcTransport:
    """Messages of one model on one channel, and the errors of its calls."""

    keeps_deadlines = True
    _library: Any = grpc

    def __init__(
        self,
        address: str,
        model: ModelChoice,
        tls: TlsFiles | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        retries: RetryPolicy | None = None,
    ):
        self.model = model
        self.where = f"{address}: {model}"
        self._retries = retries or RetryPolicy()
        self._closed = False
        self._channel = open_channel(
            address, tls, max_message_bytes, self._retries, self._library
        )
        self._predict = messages.open_method(self._channel, messages.PREDICT)
        self._metadata = messages.open_method(
            self._channel, messages.GET_MODEL_METADATA
        )

    def close(self) -> Any:
        """See `Transport`; to be awaited under asyncio."""
        self._closed = True
        return self._channel.close()

    def _where(self, operation: Operation) -> str:
        if isinstance(operation, Describe):
            return self.where
        return f"{self.where}: `{operation.signature}`"

    def _prepare(self, operation: Operation) -> tuple[Any, Any]:
        if isinstance(operation, Call):
            return self._predict, predict_request(self.model, operation)
        return self._metadata, metadata_request(self.model)

    def _outcome(self, operation: Operation, response: Any) -> Any:
        where = self._where(operation)
        if not response.model_spec.HasField("version"):
            raise errors.AnswerError(
                f"{where}: the answer does not name its version. Is this a "
                "model server?"
            )
        version = response.model_spec.version.value
        if isinstance(operation, Call):
            return Answer(to_arrays(response.outputs), version)
        return ModelDescription(version, read_signatures(response, where))

    @contextlib.contextmanager
    def _errors(self, operation: Operation) -> Iterator[None]:
        where = self._where(operation)
        try:
            if self._closed:
                raise errors.ClosedError(f"{where}: closed. Open a new client.")
            with rpc_errors(where, self._retries.max_attempts):
                yield
        except (ValueError, grpc.aio.UsageError) as error:
            # Another thread closed it on the way.
            if not self._closed:
                raise
            raise errors.ClosedError(
                f"{where}: {error} Open a new client."
            ) from error


class GrpcTransport(_GrpcTransport, Transport):
    """One channel, opened once; for any number of threads.

    Args:
        address: `host:port`, or any other target gRPC knows, such as
            `unix:/path` or `dns:///name:port`.
        model: which model, and which of its versions.
        tls: encrypts; plain without.
        max_message_bytes: refused beyond, either way; -1 for no limit.
        retries: of calls to a server that is unavailable; all clients of one
            address in a process share the budget.

    Raises:
        RequestError: if the address or a TLS file is no good.

    Example:
        >>> GrpcTransport("localhost:8500", ModelChoice("jd_ranker")).where
        'localhost:8500: jd_ranker (latest)'
    """

    def call(self, operation: Operation, timeout: float) -> Any:
        """See `Transport`."""
        method, request = self._prepare(operation)
        with self._errors(operation):
            response = method(request, timeout=timeout)
        return self._outcome(operation, response)


class AsyncGrpcTransport(_GrpcTransport, AsyncTransport):
    """The same as `GrpcTransport`, with the same arguments, for asyncio.

    Make it inside the event loop that uses it.

    Example:
        >>> import asyncio
        >>> from jd_tf.serving.client import ModelChoice
        >>> async def where():
        ...     transport = AsyncGrpcTransport(
        ...         "localhost:8500", ModelChoice("jd_ranker")
        ...     )
        ...     await transport.close()
        ...     return transport.remote
        >>> asyncio.run(where())
        True
    """

    _library = grpc.aio

    async def call(self, operation: Operation, timeout: float) -> Any:
        """See `Transport`."""
        method, request = self._prepare(operation)
        with self._errors(operation):
            response = await method(request, timeout=timeout)
        return self._outcome(operation, response)


def predict_request(model: ModelChoice, call: Call) -> Any:
    """Returns the message of a call."""
    request = messages.PredictRequest()
    _fill_spec(request.model_spec, model)
    request.model_spec.signature_name = call.signature
    for name, array in call.inputs.items():
        fill_proto(request.inputs[name], array)
    return request


def metadata_request(model: ModelChoice) -> Any:
    """Returns the message that asks for a version's signatures."""
    request = messages.GetModelMetadataRequest(metadata_field=[_SIGNATURES])
    _fill_spec(request.model_spec, model)
    return request


def read_signatures(response: Any, where: str) -> dict[str, Any]:
    """Returns the answer's `signature_table`."""
    signatures = messages.SignatureDefMap()
    if not response.metadata[_SIGNATURES].Unpack(signatures):
        raise errors.AnswerError(
            f"{where}: its metadata has no signatures. Is this a model server?"
        )
    return messages.signature_table(signatures)


def _fill_spec(spec: Any, model: ModelChoice) -> None:
    spec.name = model.name
    # Version 0 is a version: unset is what means the latest.
    if model.version is not None:
        spec.version.value = model.version
    elif model.label is not None:
        spec.version_label = model.label
