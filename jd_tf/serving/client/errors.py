"""Errors of a ranking client, and status codes that become them.

All are `ClientError`s, and those are `DataError`s, so that a program reports
them in one line. Every message names a remedy.
"""

from jd_tf.schema import DataError

# gRPC codes that HTTP statuses of a server mean.
HTTP_CODES = {
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

    # Ends the message of an error that a status code became.
    remedy = ""


class RequestError(ClientError):
    """The request is wrong; nothing was sent."""


class SchemaMismatchError(ClientError):
    """The served model takes other columns than the client's schema has."""


class DeadlineError(ClientError):
    """The time allowed for the whole call is over."""

    remedy = (
        "Allow more time, send fewer candidates, or look at the server's load."
    )


class UnavailableError(ClientError):
    """Nobody answers at the address, or the server cannot take calls now."""

    remedy = (
        "Check that the server runs there, its address, and whether both ends "
        "use TLS."
    )


class OverloadedError(UnavailableError):
    """The server has no room for the call: it was refused before any work."""

    remedy = (
        "Its threads or queues are full: slow down, start it with more "
        "--grpc_max_threads (make_serving_config --max_callers), or add "
        "servers."
    )


class MessageTooLargeError(ClientError):
    """A message is larger than one end allows."""

    remedy = "Raise `max_message_bytes`, or rank smaller slices."


class ModelNotFoundError(ClientError):
    """The server has no such model, version or label."""

    remedy = (
        "Check the model's name and the version or label against what the "
        "server has."
    )


class RejectedError(ClientError):
    """The server refuses the call."""

    remedy = (
        "Check that the client's schema is the model's, and the server's "
        "batching parameters."
    )


class CredentialsError(RejectedError):
    """The server refuses the client."""

    remedy = "Check certificate and key."


class ServerError(ClientError):
    """The server failed."""

    remedy = "See the server's log."


class IncompleteVersionError(ServerError):
    """The server has loaded a version without its variables."""

    remedy = (
        "The version was copied without its variables: publish it again under "
        "a new number."
    )


class AnswerError(ClientError):
    """The answer is not what the signature promises, or not finite."""


class VersionSwitchError(ClientError):
    """The model's version changed during the call, again and again."""


class ClosedError(ClientError):
    """The client was closed."""

    remedy = "The client was closed during the call, or the server gave it up."


_BY_CODE: dict[str, type[ClientError]] = {
    "DEADLINE_EXCEEDED": DeadlineError,
    "CANCELLED": ClosedError,
    "UNAVAILABLE": UnavailableError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "NOT_FOUND": ModelNotFoundError,
    "UNAUTHENTICATED": CredentialsError,
    "PERMISSION_DENIED": CredentialsError,
    "INVALID_ARGUMENT": RejectedError,
    "FAILED_PRECONDITION": RejectedError,
    "OUT_OF_RANGE": RejectedError,
}
# A model server's wording for what has no status code of its own.
_BY_TEXT: dict[str, type[ClientError]] = {
    "larger than max": MessageTooLargeError,
    "Resource localhost": IncompleteVersionError,
    "Unrecognized servable version label": ModelNotFoundError,
}


def error_of(code: str, message: str, where: str) -> ClientError:
    """Returns the error for the name of a gRPC status code, to be raised."""
    kind = _BY_CODE.get(code, ServerError)
    if kind not in (DeadlineError, ClosedError, UnavailableError):
        texts = (_BY_TEXT[text] for text in _BY_TEXT if text in message)
        kind = next(texts, kind)
    return kind(f"{where}: {code}: {' '.join(message.split())}. {kind.remedy}")
