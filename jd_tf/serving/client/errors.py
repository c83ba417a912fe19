"""What a ranking client raises; every message says what to do.

All are `ClientError`s, and those are `DataError`s, so that a program tells
them in one line.
"""

from jd_tf.schema import DataError


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
    """The server refuses what was sent."""


class ServerError(ClientError):
    """The server failed."""


class AnswerError(ClientError):
    """The answer is not what the signature promises, or not finite."""


class VersionSwitchError(ClientError):
    """The model's version changed during the call, again and again."""


class ClosedError(ClientError):
    """The client was closed."""
