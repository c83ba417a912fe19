"""Errors of a ranking client, and status codes that become them.

Every message names a remedy. All are `ClientError`s, and those are
`DataError`s, so that a program reports them in one line.
"""

from jd_tf.schema import DataError

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


_Known = tuple[type[ClientError], str]
_LATE: _Known = (
    DeadlineError,
    "Allow more time, send fewer candidates, or look at the server's load.",
)
_CANCELLED: _Known = (
    ClosedError,
    "The client was closed during the call, or the server gave it up.",
)
_DOWN: _Known = (
    UnavailableError,
    "Check that the server runs there, its address, and whether both ends "
    "use TLS.",
)
_UNKNOWN: _Known = (
    ModelNotFoundError,
    "Check the model's name and the version or label against what "
    "the server has.",
)
_STRANGER: _Known = (RejectedError, "Check certificate and key.")
_REFUSED: _Known = (
    RejectedError,
    "Check that the client's schema is the model's, and the server's "
    "batching parameters.",
)
_BY_CODE: dict[str, _Known] = {
    "DEADLINE_EXCEEDED": _LATE,
    "CANCELLED": _CANCELLED,
    "UNAVAILABLE": _DOWN,
    "RESOURCE_EXHAUSTED": (
        OverloadedError,
        "Slow down, or add servers: its queues are full.",
    ),
    "NOT_FOUND": _UNKNOWN,
    "UNAUTHENTICATED": _STRANGER,
    "PERMISSION_DENIED": _STRANGER,
    "INVALID_ARGUMENT": _REFUSED,
    "FAILED_PRECONDITION": _REFUSED,
    "OUT_OF_RANGE": _REFUSED,
}
# A model server's wording for what has no status code of its own.
_BY_TEXT: dict[str, _Known] = {
    "larger than max": (
        MessageTooLargeError,
        "Raise `max_message_bytes`, or rank smaller slices.",
    ),
    "Resource localhost": (
        ServerError,
        "The version was copied without its variables: publish it again "
        "under a new number.",
    ),
    "Unrecognized servable version label": _UNKNOWN,
}


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
    known = [_BY_CODE.get(code, (ServerError, "See the server's log."))]
    if known[0] not in (_LATE, _CANCELLED, _DOWN):
        known = [_BY_TEXT[t] for t in _BY_TEXT if t in message] + known
    kind, remedy = known[0]
    return kind(f"{where}: {code}: {' '.join(message.split())}. {remedy}")
