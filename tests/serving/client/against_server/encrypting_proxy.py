"""A proxy before a REST port that is to be reached by https."""

import socket
import ssl
import threading


class EncryptingProxy:
    """Takes TLS off connections and hands them on; requires a certificate.

    Args:
        port: of localhost, that is spoken to in plain.
        pair: certificate and key shown.
        authority: certificate that those of clients must go back to.
    """

    def __init__(self, port, pair, authority):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair.certificate, pair.key)
        self._context.load_verify_locations(authority)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._behind = ("localhost", port)
        self._listener = socket.create_server(("localhost", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self.num_refused = 0

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve, args=(connection,), daemon=True
            ).start()

    def _serve(self, connection):
        try:
            front = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            self.num_refused += 1
            connection.close()
            return
        back = socket.create_connection(self._behind)
        for source, sink in ((front, back), (back, front)):
            threading.Thread(
                target=_pump, args=(source, sink), daemon=True
            ).start()


def _pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass  # The other direction has hung up.
    finally:
        source.close()
        sink.close()
