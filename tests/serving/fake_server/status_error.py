"""A status other than OK on its way to the caller."""

import tensorflow as tf

_LIMIT = 1024


class StatusError(Exception):
    """A gRPC code by name, and the server's message."""

    def __init__(self, code: str, message: str):
        if len(message) > _LIMIT:
            message = f"{message[:_LIMIT]}...TRUNCATED"
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def invalid(message: str) -> StatusError:
    """The status of a request that is wrong."""
    return StatusError("INVALID_ARGUMENT", message)


def of_tensorflow(error: tf.errors.OpError) -> StatusError:
    """The status an op failed with."""
    names = {
        value: name
        for name, value in vars(tf.errors).items()
        if name.isupper() and isinstance(value, int)
    }
    return StatusError(names.get(error.error_code, "UNKNOWN"), error.message)
