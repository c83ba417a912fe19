"""Calls to a model server over REST: JSON, by urllib3."""

import base64
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import urllib3
from google.protobuf import json_format
from urllib3 import exceptions

from jd_tf.serving.client.errors import (
    AnswerError,
    ClientError,
    ClosedError,
    DeadlineError,
    MessageTooLargeError,
    ModelNotFoundError,
    RequestError,
    UnavailableError,
    error_of,
    http_code,
)
from jd_tf.serving.client.grpc_transport import MAX_MESSAGE_BYTES
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.client.options import ModelChoice, RetryPolicy, TlsFiles
from jd_tf.serving.client.transport import Answer, Call, Transport
from jd_tf.serving.export.signature_table import signature_table
from jd_tf.serving.protos.messages import SignatureDefMap

# Types that JSON cannot carry, by the server's own list.
_NOT_IN_JSON = ("float16", "bfloat16", "uint16", "complex64", "complex128")
_UNAVAILABLE = (502, 503)
_MAX_IDLE = 32


class RestTransport(Transport):
    """Kept connections; every call names the version it is for.

    A REST answer does not name its version. So the version behind the name
    or label is requested every `refresh_seconds`, and calls go to that
    version; when it is gone, it is requested again.

    Args:
        url: `http://host:port`.
        model: which model, and which of its versions.
        tls: for an `https` proxy; the server's REST port does not encrypt.
        max_message_bytes: longer answers are refused; -1 for no limit.
        refresh_seconds: how soon a new version is noticed.
        retries: of calls to a server that is unavailable.
        clock: seconds that only grow.

    Raises:
        RequestError: if the address or a TLS file is no good.

    Example:
        >>> RestTransport("http://localhost:8501", ModelChoice("m", 3)).where
        'http://localhost:8501: m (version 3)'
    """

    def __init__(
        self,
        url: str,
        model: ModelChoice,
        tls: TlsFiles | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        refresh_seconds: float = 1.0,
        retries: RetryPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.model = model
        self.where = f"{url}: {model}"
        self._url = url.rstrip("/")
        self._pool, self._prefix = _open_pool(url, tls)
        self._limit = max_message_bytes
        self._budget = _Budget(retries or RetryPolicy())
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
        path = f"{self._path(description.version)}:predict"
        try:
            content = self._send("POST", path, body, left, where)
        except ModelNotFoundError:
            # Unloaded since: the next call learns of the new one.
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
        self._pool.close()

    def _current(self, timeout: float) -> ModelDescription:
        with self._lock:
            if self._known and self._clock() < self._known_until:
                return self._known
        path = f"{self._path()}/metadata"
        content = self._send("GET", path, None, timeout, self.where)
        description = description_of(content, self.where)
        with self._lock:
            self._known = description
            self._known_until = self._clock() + self._refresh_seconds
        return description

    def _forget(self) -> None:
        with self._lock:
            self._known_until = 0.0

    def _path(self, version: int | None = None) -> str:
        path = f"/v1/models/{quote(self.model.name, safe='')}"
        version = self.model.version if version is None else version
        if version is not None:
            return f"{path}/versions/{version}"
        if self.model.label is not None:
            return f"{path}/labels/{quote(self.model.label, safe='')}"
        return path

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        timeout: float,
        where: str,
    ) -> bytes:
        at = f"{self._url}{path}"
        try:
            response = self._pool.urlopen(
                method,
                self._prefix + path,
                body,
                {"Content-Type": "application/json"} if body else {},
                retries=_Retry.within(self._budget, timeout),
                redirect=False,
                timeout=urllib3.Timeout(total=timeout),
                preload_content=False,
            )
            content = response.read(
                None if self._limit < 0 else self._limit + 1
            )
            if 0 <= self._limit < len(content):
                response.close()
                raise MessageTooLargeError(
                    f"{at}: answered more than {self._limit} bytes. Raise "
                    "`max_message_bytes`, or rank smaller slices."
                )
            response.release_conn()
        except exceptions.HTTPError as error:
            raise _transport_error(error, at, timeout) from error
        if response.status != 200:
            raise _status_error(response.status, content, where)
        self._budget.refill()
        return content


class _Budget:
    """Failures that the calls of all threads may repeat; see `RetryPolicy`."""

    def __init__(self, policy: RetryPolicy):
        self.policy = policy
        self._left = float(policy.budget)
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Returns whether a failed attempt may be repeated."""
        with self._lock:
            enough = self._left >= 1
            self._left = max(self._left - 1, 0.0)
            return enough

    def refill(self) -> None:
        """Gives a share of an attempt back, for a call that succeeded."""
        with self._lock:
            left = self._left + self.policy.refill
            self._left = min(left, float(self.policy.budget))


class _Retry(urllib3.Retry):
    """Repeats attempts that reached no server, in time and in budget."""

    budget: _Budget
    end: float

    @classmethod
    def within(cls, budget: _Budget, timeout: float) -> "_Retry":
        """Returns the retries of one call."""
        retry = cls(
            total=budget.policy.max_attempts - 1,
            status_forcelist=_UNAVAILABLE,
            allowed_methods=None,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        retry.budget, retry.end = budget, time.monotonic() + timeout
        return retry

    def new(self, **changes: Any) -> "_Retry":
        retry = super().new(**changes)
        retry.budget, retry.end = self.budget, self.end
        return retry

    def increment(self, *call: Any, **attempt: Any) -> "_Retry":
        error = attempt.get("error")
        if not _timed_out(error) and self.budget.take():
            retry = super().increment(*call, **attempt)
            if time.monotonic() + retry.get_backoff_time() < self.end:
                return retry
        raise exceptions.MaxRetryError(attempt["_pool"], call[1], error)

    def get_backoff_time(self) -> float:
        policy = self.budget.policy
        wait = policy.initial_seconds * 2 ** (len(self.history) - 1)
        return min(wait, policy.max_seconds) * random.uniform(0.8, 1.2)


def predict_body(call: Call) -> bytes:
    """Returns the JSON of a call: a value per input, as columns.

    A float32 keeps every digit; strings travel as base64, whatever they are.
    """
    inputs = {name: _plain(array) for name, array in call.inputs.items()}
    body = {"signature_name": call.signature, "inputs": inputs}
    return json.dumps(body, separators=(",", ":")).encode()


def answer_of(
    body: bytes, call: Call, description: ModelDescription, where: str
) -> Answer:
    """Returns the arrays of an answer, typed by the signature."""
    expected = description.signatures[call.signature]["outputs"]
    outputs = _parse(body, where).get("outputs")
    if len(expected) == 1 and not isinstance(outputs, dict):
        # A server does not name what is alone.
        outputs = {name: outputs for name in expected}
    if not isinstance(outputs, dict) or set(outputs) != set(expected):
        found = sorted(outputs) if isinstance(outputs, dict) else outputs
        raise AnswerError(
            f"{where}: should answer {sorted(expected)}. Got: {found!s:.200}."
        )
    arrays = {}
    for name, tensor in expected.items():
        text = tensor["dtype"] == "string"
        try:
            array = np.array(outputs[name], object if text else tensor["dtype"])
        except (TypeError, ValueError, OverflowError) as error:
            raise AnswerError(
                f"{where}: output `{name}` is not {tensor['dtype']}: {error}."
            ) from error
        if array.size == 0:
            # JSON has no shape for what is empty.
            sizes = (0 if size is None else size for size in tensor["shape"])
            array = array.reshape((len(outputs[name]), *list(sizes)[1:]))
        arrays[name] = array
    return Answer(arrays, description.version)


def description_of(body: bytes, where: str) -> ModelDescription:
    """Returns the signatures of a metadata answer."""
    parsed = _parse(body, where)
    signatures = SignatureDefMap()
    try:
        version = int(parsed["model_spec"]["version"])
        found = parsed["metadata"]["signature_def"]
        json_format.ParseDict(found, signatures, ignore_unknown_fields=True)
    except (KeyError, TypeError, ValueError, json_format.ParseError) as error:
        raise AnswerError(
            f"{where}: its metadata cannot be read: {error!r}. Is this a model "
            "server?"
        ) from error
    return ModelDescription(version, signature_table(signatures))


def _parse(body: bytes, where: str) -> dict[str, Any]:
    """A JSON object; `NaN` and `Infinity` are read, as a server writes them."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise AnswerError(
            f"{where}: no JSON object: {body[:80]!r}. Is this the REST port of "
            "a model server?"
        )
    return parsed


def _plain(array: np.ndarray) -> Any:
    values = array.tolist()
    return _texts(values) if array.dtype.kind in "OSU" else values


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(part) for part in value]
    content = value.encode() if isinstance(value, str) else value
    return {"b64": base64.b64encode(content).decode()}


def _open_pool(
    url: str, tls: TlsFiles | None
) -> tuple[urllib3.HTTPConnectionPool, str]:
    """The connections of an address, and the path before a model's."""
    try:
        parts = urllib3.util.parse_url(url)
    except exceptions.LocationParseError as error:
        raise RequestError(f"REST address {url!r}: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.host:
        raise RequestError(f"REST takes `http://host:port`. Got: {url!r}.")
    settings: dict[str, Any] = {"maxsize": _MAX_IDLE}
    if tls and parts.scheme == "http":
        raise RequestError(
            "a model server's REST port does not encrypt: TLS files need an "
            f"https:// proxy, or gRPC. Got: {url!r}."
        )
    if tls:
        # Names files that are missing, which ssl does not.
        tls.read()
        settings["server_hostname"] = tls.server_name
        settings["ca_certs"] = tls.authority and str(tls.authority)
        settings["cert_file"] = tls.certificate and str(tls.certificate)
        settings["key_file"] = tls.key and str(tls.key)
    pool = urllib3.connection_from_url(url, **settings)
    return pool, (parts.path or "").rstrip("/")


def _timed_out(error: Exception | None) -> bool:
    # A refused connection is, to urllib3, a kind of timeout.
    refused = isinstance(error, exceptions.NewConnectionError)
    return isinstance(error, exceptions.TimeoutError) and not refused


def _transport_error(
    error: exceptions.HTTPError, at: str, timeout: float
) -> ClientError:
    if isinstance(error, exceptions.ClosedPoolError):
        return ClosedError(f"{at}: closed. Open a new client.")
    if isinstance(error, exceptions.MaxRetryError) and error.reason:
        error = error.reason  # type: ignore[assignment]
    if _timed_out(error):
        return DeadlineError(
            f"{at}: no answer within {timeout:.3g} s. Allow more time, send "
            "fewer candidates, or look at the server's load."
        )
    return UnavailableError(
        f"{at}: {error or type(error).__name__}. Check that the server runs "
        "there, and its REST port."
    )


def _status_error(status: int, content: bytes, where: str) -> ClientError:
    try:
        message = str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        # Unknown paths are answered in HTML.
        message = f"HTTP {status}: {content[:120]!r}"
    return error_of(http_code(status), message, where)
