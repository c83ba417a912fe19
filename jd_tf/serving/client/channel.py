"""gRPC channels to a model server: one a target, kept open and shared."""

import grpc
import grpc.aio

from jd_tf.serving.client.errors import RequestError
from jd_tf.serving.client.tls_files import TlsFiles

# A user's state and a thousand candidates; the library would stop at 4 MiB.
MAX_MESSAGE_BYTES = 64 * 2**20

_OPTIONS = (
    # Retries are counted and budgeted by the client, not by the library.
    ("grpc.enable_retries", 0),
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
) -> grpc.Channel:
    """Opens a channel; it connects with the first call.

    Args:
        address: `host:port`, or any other target gRPC knows, such as
            `unix:/path` or `dns:///name:port`.
        tls: encrypts; plain without.
        max_message_bytes: refused beyond, either way; -1 for no limit.

    Returns:
        A channel for threads; close it.

    Raises:
        RequestError: if the address or a TLS file is no good.
    """
    arguments = _options(address, tls, max_message_bytes)
    if tls is None:
        return grpc.insecure_channel(address, arguments)
    return grpc.secure_channel(address, _credentials(tls), arguments)


def open_async_channel(
    address: str,
    tls: TlsFiles | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> grpc.aio.Channel:
    """The same for asyncio; belongs to the event loop it is first used in."""
    arguments = _options(address, tls, max_message_bytes)
    if tls is None:
        return grpc.aio.insecure_channel(address, arguments)
    return grpc.aio.secure_channel(address, _credentials(tls), arguments)


def _credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(**tls.read())


def _options(
    address: str, tls: TlsFiles | None, max_message_bytes: int
) -> list[tuple[str, int | str]]:
    if not address or "://" in address.replace(":///", ""):
        raise RequestError(f"gRPC takes `host:port`, no URL. Got: {address!r}.")
    arguments: list[tuple[str, int | str]] = [
        *_OPTIONS,
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
    ]
    if tls and tls.server_name:
        arguments.append(("grpc.ssl_target_name_override", tls.server_name))
    return arguments
