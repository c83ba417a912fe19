"""What is not sent: requests that no model should see."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.schema import SERVING_ROLES, USER_ROLES, DataError, Schema
from jd_tf.serving.client.errors import RequestError
from jd_tf.serving.client.request_checker import RequestChecker

# A message that quotes ten megabytes helps nobody.
_LONGEST_MESSAGE = 600
_KEYS = ("request_id", "user_id")


class RequestGuard:
    """Checks requests before anything is sent.

    Args:
        schema: the columns of a request.
        max_string_bytes: longer strings are refused.
    """

    def __init__(self, schema: Schema, max_string_bytes: int):
        self._schema = schema
        self._limit = max_string_bytes
        self._checker = RequestChecker(schema)
        self._texts = [
            column.name
            for column in schema.columns(*SERVING_ROLES)
            if column.dtype == "string"
        ]

    def check(self, request: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The served columns, typed, and their lengths.

        Raises:
            RequestError: naming column and value.
        """
        try:
            checked = self._checker.check(request)
        except DataError as error:
            message = str(error)
            if len(message) > _LONGEST_MESSAGE:
                message = f"{message[:_LONGEST_MESSAGE]} ..."
            raise RequestError(message) from error
        except (TypeError, ValueError, OverflowError) as error:
            raise RequestError(
                f"cannot be read: {error!s:.{_LONGEST_MESSAGE}}"
            ) from error
        for name in self._texts:
            texts = checked[name].ravel().tolist()
            # Four bytes a character at most: most texts are not looked at.
            if texts and 4 * max(map(len, texts)) > self._limit:
                for text in texts:
                    self._check_length(name, text)
        for name in _KEYS:
            value = request.get(name)
            if isinstance(value, str | bytes):
                self._check_length(name, value)
        return checked

    def key_names(self, ignored: Sequence[str]) -> tuple[str, ...]:
        """The user columns that tell encoded users apart.

        Raises:
            RequestError: if what is ignored is no user column.
        """
        names = [c.name for c in self._schema.columns(*USER_ROLES)]
        strangers = sorted(set(ignored) - set(names))
        if strangers:
            raise RequestError(
                f"`key_ignores` must name user columns. Got: {strangers}; "
                f"there are {names}."
            )
        return tuple(name for name in names if name not in ignored)

    def _check_length(self, name: str, text: str | bytes) -> None:
        length = len(text.encode() if isinstance(text, str) else text)
        if length > self._limit:
            raise RequestError(
                f"column `{name}` holds a string of {length} bytes, more than "
                f"{self._limit}; cut it, or raise `max_string_bytes`"
            )
