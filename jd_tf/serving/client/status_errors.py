"""Status codes, of gRPC and of REST, become typed errors."""

from jd_tf.serving.client.errors import (
    ClientError,
    ClosedError,
    DeadlineError,
    MessageTooLargeError,
    ModelNotFoundError,
    OverloadedError,
    RejectedError,
    ServerError,
    UnavailableError,
)

# How a model server words what has no status code of its own.
_TOO_LARGE = "larger than max"
_NO_VARIABLES = "Resource localhost"
_NO_LABEL = "Unrecognized servable version label"

_HTTP_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def http_code(status: int) -> str:
    """The name of the gRPC code that a model server means by it."""
    return _HTTP_CODES.get(status, "UNKNOWN")


def error_of(code: str, message: str, where: str) -> ClientError:
    """The error for a status.

    Args:
        code: name of a gRPC status code.
        message: what the server, or the library underneath, said.
        where: names server, model and signature.

    Returns:
        An error to raise.
    """
    said = f"{where}: {code}: {' '.join(message.split())}"
    if code == "DEADLINE_EXCEEDED":
        return DeadlineError(
            f"{said}. Allow more time, send fewer candidates, or look at the "
            "server's load."
        )
    if code == "CANCELLED":
        return ClosedError(
            f"{said}. The client was closed during the call, or the server "
            "gave it up."
        )
    if code == "UNAVAILABLE":
        return UnavailableError(
            f"{said}. Check that the server runs there, its address, and "
            "whether both ends use TLS."
        )
    if _TOO_LARGE in message:
        return MessageTooLargeError(
            f"{said}. Raise `max_message_bytes`, or rank smaller slices."
        )
    if code == "RESOURCE_EXHAUSTED":
        return OverloadedError(
            f"{said}. Slow down, or add servers: its queues are full."
        )
    if _NO_VARIABLES in message:
        return ServerError(
            f"{said}. The version was copied without its variables: publish "
            "it again under a new number."
        )
    if code == "NOT_FOUND" or _NO_LABEL in message:
        return ModelNotFoundError(
            f"{said}. Check the model's name and the version or label asked "
            "for against what the server has."
        )
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return RejectedError(f"{said}. Check certificate and key.")
    if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"):
        return RejectedError(
            f"{said}. Check that the client's schema is the model's, and the "
            "server's batching parameters."
        )
    return ServerError(f"{said}. See the server's log.")
