"""HTTP connections to one server, kept open and shared by threads."""

import http.client
import socket
import ssl
import threading
from urllib.parse import urlsplit

from jd_tf.serving.client.errors import (
    ClosedError,
    DeadlineError,
    MessageTooLargeError,
    RequestError,
    UnavailableError,
)
from jd_tf.serving.client.tls_files import TlsFiles


class HttpConnections:
    """Sends requests over connections that are used again.

    Args:
        url: `http://host:port` or, for a proxy that encrypts, `https://`.
        tls: certificates for `https`; those of the system without.
        max_message_bytes: longer answers are refused.
        max_idle: connections kept.
    """

    def __init__(
        self,
        url: str,
        tls: TlsFiles | None = None,
        max_message_bytes: int = -1,
        max_idle: int = 32,
    ):
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise RequestError(f"REST address {url!r}: {error}.") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RequestError(f"REST takes `http://host:port`. Got: {url!r}.")
        if parts.scheme == "http" and tls:
            raise RequestError(
                "a model server's REST port does not encrypt: TLS files need "
                f"an https:// proxy, or gRPC. Got: {url!r}."
            )
        self.url = url.rstrip("/")
        self._prefix = parts.path.rstrip("/")
        self._host, self._port = parts.hostname, port
        self._context = _context(tls) if parts.scheme == "https" else None
        self._limit = max_message_bytes
        self._max_idle = max_idle
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._closed = False

    def send(
        self, method: str, path: str, body: bytes | None, timeout: float
    ) -> tuple[int, bytes]:
        """One request.

        Args:
            method: GET or POST.
            path: below the address.
            body: JSON, or None.
            timeout: seconds until the answer must be there.

        Returns:
            Status and body.

        Raises:
            UnavailableError: if no answer came for want of a connection.
            DeadlineError: if it did not come in time.
        """
        where = f"{self.url}{path}"
        connection, used = self._take(timeout)
        try:
            try:
                answer = self._exchange(connection, method, path, body)
            except (http.client.RemoteDisconnected, ConnectionError):
                # Idle connections are closed by the other end at any time.
                if not used:
                    raise
                connection.close()
                connection = self._open(timeout)
                answer = self._exchange(connection, method, path, body)
        except TimeoutError as error:
            connection.close()
            raise DeadlineError(
                f"{where}: no answer in {timeout:.3g} s. Allow more time, or "
                "look at the server's load."
            ) from error
        except ssl.SSLError as error:
            connection.close()
            raise UnavailableError(
                f"{where}: {error}. Check the TLS files."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise UnavailableError(
                f"{where}: {error or type(error).__name__}. Check that the "
                "server runs there, and its REST port."
            ) from error
        self._give_back(connection)
        status, content = answer
        if 0 <= self._limit < len(content):
            raise MessageTooLargeError(
                f"{where}: answered more than {self._limit} bytes. Raise "
                "`max_message_bytes`, or rank smaller slices."
            )
        return status, content

    def close(self) -> None:
        """Closes what is idle; what is under way closes when done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self, timeout: float) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._closed:
                raise ClosedError(f"{self.url}: closed. Open a new client.")
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            return self._open(timeout), False
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection, True

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        if self._context:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._context
            )
        return http.client.HTTPConnection(
            self._host, self._port, timeout=timeout
        )

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
    ) -> tuple[int, bytes]:
        if connection.sock is None:
            connection.connect()
            connection.sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, self._prefix + path, body, headers)
        response = connection.getresponse()
        limit = None if self._limit < 0 else self._limit + 1
        content = response.read(limit)
        if not response.isclosed():
            # The rest of an answer that is too long is not worth reading.
            connection.close()
        return response.status, content

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < self._max_idle:
                self._idle.append(connection)
                return
        connection.close()


def _context(tls: TlsFiles | None) -> ssl.SSLContext:
    files = tls or TlsFiles()
    # Tells of files that are missing by name, which ssl does not.
    files.read()
    context = ssl.create_default_context(
        cafile=str(files.authority) if files.authority else None
    )
    if files.certificate:
        context.load_cert_chain(str(files.certificate), str(files.key))
    if files.server_name:
        raise RequestError(
            "TLS: `server_name` is for gRPC; REST goes by the address."
        )
    return context
