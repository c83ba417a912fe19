"""Calls to a model server over REST."""

import json
import threading
import time
from collections.abc import Callable

from jd_tf.serving.client.call import Answer, Call
from jd_tf.serving.client.channel import MAX_MESSAGE_BYTES
from jd_tf.serving.client.errors import ClientError, ModelNotFoundError
from jd_tf.serving.client.http_connections import HttpConnections
from jd_tf.serving.client.model_choice import ModelChoice
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.client.rest_messages import (
    answer_of,
    description_of,
    model_path,
    predict_body,
)
from jd_tf.serving.client.status_errors import error_of, http_code
from jd_tf.serving.client.tls_files import TlsFiles
from jd_tf.serving.client.transport import Transport

# What JSON can carry, by the server's own list.
_NOT_IN_JSON = ("float16", "bfloat16", "uint16", "complex64", "complex128")


class RestTransport(Transport):
    """Kept connections; every call names the version it is for.

    A REST answer does not say which version it is of. So the version behind
    the name or label is asked for, every `refresh_seconds`, and calls go to
    that version; when it is gone, it is asked for again.

    Args:
        url: `http://host:port`.
        model: which model, and which of its versions.
        tls: for an `https` proxy; the server's REST port does not encrypt.
        max_message_bytes: longer answers are refused.
        refresh_seconds: how soon a new version is noticed.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        url: str,
        model: ModelChoice,
        tls: TlsFiles | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        refresh_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.model = model
        self.where = f"{url}: {model}"
        self._connections = HttpConnections(url, tls, max_message_bytes)
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._known: ModelDescription | None = None
        self._known_until = 0.0

    def call(self, call: Call, timeout: float) -> Answer:
        """See `Transport`."""
        end = self._clock() + timeout
        description = self._current(timeout)
        where = f"{self.where}: `{call.signature}`"
        body = predict_body(call)
        left = max(end - self._clock(), 1e-3)
        path = model_path(self.model, description.version)
        try:
            content = self._send("POST", f"{path}:predict", body, left, where)
        except ModelNotFoundError:
            # Unloaded since: whoever asks again is told of the new one.
            self._forget()
            raise
        return answer_of(content, call, description, where)

    def describe(self, timeout: float) -> ModelDescription:
        """See `Transport`."""
        self._forget()
        return self._current(timeout)

    def carries(self, description: ModelDescription) -> bool:
        """See `Transport`; JSON has no half precision."""
        outputs = description.signatures["encode_user"]["outputs"]
        return not any(t["dtype"] in _NOT_IN_JSON for t in outputs.values())

    def close(self) -> None:
        """See `Transport`."""
        self._connections.close()

    def _current(self, timeout: float) -> ModelDescription:
        with self._lock:
            if self._known and self._clock() < self._known_until:
                return self._known
        path = f"{model_path(self.model)}/metadata"
        content = self._send("GET", path, None, timeout, self.where)
        description = description_of(content, self.where)
        with self._lock:
            self._known = description
            self._known_until = self._clock() + self._refresh_seconds
        return description

    def _forget(self) -> None:
        with self._lock:
            self._known_until = 0.0

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        timeout: float,
        where: str,
    ) -> bytes:
        status, content = self._connections.send(method, path, body, timeout)
        if status != 200:
            raise _error(status, content, where)
        return content


def _error(status: int, content: bytes, where: str) -> ClientError:
    try:
        message = str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        # Paths it does not know are answered in HTML.
        message = f"HTTP {status}: {content[:120]!r}"
    return error_of(http_code(status), message, where)
