"""Errors of a ranking client, and status codes that become them.

Every message names a remedy. All are `ClientError`s, and those are
`DataError`s, so that a program reports them in one line.
"""

from jd_tf.schema import DataError

# A model server's wording for what has no status code of its own.
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


class ClientError(DataError):
    """A request that got no ranking."""


class RequestError(ClientError):
    """The request is wrong; nothing was sent."""


class SchemaMismatchError(ClientError):
    """The served model takes other columns than the client's schema has."""


class DeadlineError(ClientError):
    """The time allowed for the whole call is over."""


class UnavailableError(ClientError):
    """Nobody answers at the address, or the server cannot take calls now."""


class OverloadedError(ClientError):
    """The server has no room for the call."""


class MessageTooLargeError(ClientError):
    """A message is larger than one end allows."""


class ModelNotFoundError(ClientError):
    """The server has no such model, version or label."""


class RejectedError(ClientError):
    """The server refuses the call."""


class ServerError(ClientError):
    """The server failed."""


class AnswerError(ClientError):
    """The answer is not what the signature promises, or not finite."""


class VersionSwitchError(ClientError):
    """The model's version changed during the call, again and again."""


class ClosedError(ClientError):
    """The client was closed."""


_BY_CODE: dict[str, tuple[type[ClientError], str]] = {
    "DEADLINE_EXCEEDED": (
        DeadlineError,
        "Allow more time, send fewer candidates, or check that the server "
        "runs and its load.",
    ),
    "CANCELLED": (
        ClosedError,
        "The client was closed during the call, or the server gave it up.",
    ),
    "UNAVAILABLE": (
        UnavailableError,
        "Check that the server runs there, its address, and whether both "
        "ends use TLS.",
    ),
    "RESOURCE_EXHAUSTED": (
        OverloadedError,
        "Slow down, or add servers: its queues are full.",
    ),
    "NOT_FOUND": (
        ModelNotFoundError,
        "Check the model's name and the version or label asked for against "
        "what the server has.",
    ),
    **dict.fromkeys(
        ("UNAUTHENTICATED", "PERMISSION_DENIED"),
        (RejectedError, "Check certificate and key."),
    ),
    **dict.fromkeys(
        ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"),
        (
            RejectedError,
            "Check that the client's schema is the model's, and the server's "
            "batching parameters.",
        ),
    ),
}
_BY_TEXT: dict[str, tuple[type[ClientError], str]] = {
    _TOO_LARGE: (
        MessageTooLargeError,
        "Raise `max_message_bytes`, or rank smaller slices.",
    ),
    _NO_VARIABLES: (
        ServerError,
        "The version was copied without its variables: publish it again "
        "under a new number.",
    ),
    _NO_LABEL: _BY_CODE["NOT_FOUND"],
}
_FINAL = ("DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE")


def http_code(status: int) -> str:
    """Returns the name of the gRPC code that a server's HTTP status means."""
    return _HTTP_CODES.get(status, "UNKNOWN")


def error_of(code: str, message: str, where: str) -> ClientError:
    """Returns the error for a status, to be raised.

    Args:
        code: name of a gRPC status code.
        message: of the server, or of the library underneath.
        where: names server, model and signature.
    """
    kind, remedy = _BY_CODE.get(code, (ServerError, "See the server's log."))
    if code not in _FINAL:
        for text, known in _BY_TEXT.items():
            if text in message:
                kind, remedy = known
                break
    return kind(f"{where}: {code}: {' '.join(message.split())}. {remedy}")
