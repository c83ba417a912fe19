"""Calls to a model server over REST: JSON, by urllib3."""

import base64
import json
import random
import threading
import time
from typing import Any
from urllib.parse import quote

import numpy as np
import urllib3
from google.protobuf import json_format
from urllib3 import exceptions

from jd_tf.serving.client import errors
from jd_tf.serving.client.grpc_transport import MAX_MESSAGE_BYTES
from jd_tf.serving.client.options import ModelChoice, RetryPolicy, TlsFiles
from jd_tf.serving.client.transport import (
    Answer,
    Call,
    Describe,
    ModelDescription,
    Operation,
    Transport,
)
from jd_tf.serving.protos.messages import SignatureDefMap, signature_table
from jd_tf.serving.signature_names import ENCODE_USER

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
    ):
        self.model = model
        self.where = f"{url}: {model}"
        self._url = url.rstrip("/")
        self._pool, self._prefix = _open_pool(url, tls)
        self._limit = max_message_bytes
        self._refresh_seconds = refresh_seconds
        self._known: tuple[ModelDescription, float] | None = None
        self._retries = retries or RetryPolicy()
        self._budget = float(self._retries.budget)
        self._lock = threading.Lock()

    def call(self, operation: Operation, timeout: float) -> Any:
        """See `Transport`."""
        end = time.monotonic() + timeout
        if isinstance(operation, Describe):
            self._known = None
            return self._description(end)
        description = self._description(end)
        where = f"{self.where}: `{operation.signature}`"
        body = _predict_body(operation)
        path = f"{self._path(description.version)}:predict"
        try:
            content = self._send("POST", path, body, end, where)
        except errors.ModelNotFoundError:
            # Unloaded since: the next call learns of the new one.
            self._known = None
            raise
        return _read_answer(content, operation, description, where)

    def close(self) -> None:
        """See `Transport`."""
        self._pool.close()

    def _description(self, end: float) -> ModelDescription:
        known = self._known
        if known and time.monotonic() < known[1]:
            return known[0]
        path = f"{self._path(self.model.version)}/metadata"
        content = self._send("GET", path, None, end, self.where)
        description = _read_description(content, self.where)
        self._known = description, time.monotonic() + self._refresh_seconds
        return description

    def _path(self, version: int | None) -> str:
        path = f"/v1/models/{quote(self.model.name, safe='')}"
        if version is not None:
            return f"{path}/versions/{version}"
        if self.model.label is not None:
            return f"{path}/labels/{quote(self.model.label, safe='')}"
        return path

    def _send(
        self, method: str, path: str, body: bytes | None, end: float, where: str
    ) -> bytes:
        """Repeats attempts that reached no server, in time and in budget."""
        policy = self._retries
        left, wait = policy.max_attempts, policy.initial_seconds
        while True:
            try:
                content = self._attempt(method, path, body, end, where)
            except errors.UnavailableError:
                with self._lock:
                    affordable = self._budget >= 1
                    self._budget = max(self._budget - 1, 0.0)
                left -= 1
                pause = min(wait, policy.max_seconds) * random.uniform(0.8, 1.2)
                in_time = time.monotonic() + pause < end
                if not (left and affordable and in_time):
                    raise
            else:
                with self._lock:
                    refilled = self._budget + policy.refill
                    self._budget = min(refilled, float(policy.budget))
                return content
            time.sleep(pause)
            wait *= 2

    def _attempt(
        self, method: str, path: str, body: bytes | None, end: float, where: str
    ) -> bytes:
        at = f"{self._url}{path}"
        left = max(end - time.monotonic(), 1e-3)
        try:
            response = self._pool.urlopen(
                method,
                self._prefix + path,
                body,
                {"Content-Type": "application/json"} if body else {},
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(total=left),
                preload_content=False,
            )
            content = response.read(
                None if self._limit < 0 else self._limit + 1
            )
            if 0 <= self._limit < len(content):
                response.close()
                raise errors.MessageTooLargeError(
                    f"{at}: answered more than {self._limit} bytes. "
                    f"{errors.MessageTooLargeError.remedy}"
                )
            response.release_conn()
        except exceptions.HTTPError as error:
            raise _connection_error(error, at, left) from error
        if response.status != 200:
            raise _status_error(response.status, content, where)
        return content


def _predict_body(call: Call) -> bytes:
    """The JSON of a call; strings travel as base64, whatever they are."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(part) for part in value]
        content = value.encode() if isinstance(value, str) else value
        return {"b64": base64.b64encode(content).decode()}

    inputs = {
        name: plain(array.tolist())
        if array.dtype.kind in "OSU"
        else array.tolist()
        for name, array in call.inputs.items()
    }
    body = {"signature_name": call.signature, "inputs": inputs}
    return json.dumps(body, separators=(",", ":")).encode()


def _read_answer(
    body: bytes, call: Call, description: ModelDescription, where: str
) -> Answer:
    expected = description.signatures[call.signature]["outputs"]
    outputs = _parse(body, where).get("outputs")
    if len(expected) == 1 and not isinstance(outputs, dict):
        # A server does not name what is alone.
        outputs = {name: outputs for name in expected}
    if not isinstance(outputs, dict) or set(outputs) != set(expected):
        found = sorted(outputs) if isinstance(outputs, dict) else outputs
        raise errors.AnswerError(
            f"{where}: should answer {sorted(expected)}. Got: {found!s:.200}."
        )
    arrays = {}
    for name, tensor in expected.items():
        text = tensor["dtype"] == "string"
        try:
            array = np.array(outputs[name], object if text else tensor["dtype"])
        except (TypeError, ValueError, OverflowError) as error:
            raise errors.AnswerError(
                f"{where}: output `{name}` is not {tensor['dtype']}: {error}."
            ) from error
        if array.size == 0:
            # JSON has no shape for what is empty.
            sizes = [size or 0 for size in tensor["shape"][1:]]
            array = array.reshape((len(outputs[name]), *sizes))
        arrays[name] = array
    return Answer(arrays, description.version)


def _read_description(body: bytes, where: str) -> ModelDescription:
    parsed = _parse(body, where)
    signatures = SignatureDefMap()
    try:
        version = int(parsed["model_spec"]["version"])
        found = parsed["metadata"]["signature_def"]
        json_format.ParseDict(found, signatures, ignore_unknown_fields=True)
    except (KeyError, TypeError, ValueError, json_format.ParseError) as error:
        raise errors.AnswerError(
            f"{where}: its metadata cannot be read: {error!r}. Is this a model "
            "server?"
        ) from error
    description = ModelDescription(version, signature_table(signatures))
    states = description.signatures.get(ENCODE_USER, {}).get("outputs", {})
    if any(tensor["dtype"] == "bfloat16" for tensor in states.values()):
        raise errors.SchemaMismatchError(
            f"{where}: version {version} has user states in bfloat16, which "
            "REST does not carry. Call it over gRPC, or export it without "
            "--states."
        )
    return description


def _parse(body: bytes, where: str) -> dict[str, Any]:
    """A JSON object; `NaN` and `Infinity` are read, as a server writes them."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise errors.AnswerError(
            f"{where}: no JSON object: {body[:80]!r}. Is this the REST port of "
            "a model server?"
        )
    return parsed


def _open_pool(
    url: str, tls: TlsFiles | None
) -> tuple[urllib3.HTTPConnectionPool, str]:
    try:
        parts = urllib3.util.parse_url(url)
    except exceptions.LocationParseError as error:
        raise errors.RequestError(f"REST address {url!r}: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.host:
        raise errors.RequestError(
            f"REST takes `http://host:port`. Got: {url!r}."
        )
    settings: dict[str, Any] = {"maxsize": _MAX_IDLE}
    if tls and parts.scheme == "http":
        raise errors.RequestError(
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


def _connection_error(
    error: exceptions.HTTPError, at: str, timeout: float
) -> errors.ClientError:
    if isinstance(error, exceptions.ClosedPoolError):
        return errors.ClosedError(f"{at}: closed. Open a new client.")
    # A refused connection is, to urllib3, a kind of timeout.
    refused = isinstance(error, exceptions.NewConnectionError)
    if isinstance(error, exceptions.TimeoutError) and not refused:
        return errors.DeadlineError(
            f"{at}: no answer within {timeout:.3g} s. "
            f"{errors.DeadlineError.remedy}"
        )
    return errors.UnavailableError(
        f"{at}: {error or type(error).__name__}. Check that the server runs "
        "there, and its REST port."
    )


def _status_error(
    status: int, content: bytes, where: str
) -> errors.ClientError:
    try:
        message = str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        # Unknown paths are answered in HTML.
        message = f"HTTP {status}: {content[:120]!r}"
    code = errors.HTTP_CODES.get(status, "UNKNOWN")
    return errors.error_of(code, message, where)
