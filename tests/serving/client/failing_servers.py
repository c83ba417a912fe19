"""Bare servers that count attempts and fail on demand."""

import http.server
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

from jd_tf.serving.client.grpc_transport import MAX_MESSAGE_BYTES
from jd_tf.serving.protos.messages import (
    PREDICT,
    PredictResponse,
    SignatureDefMap,
    message,
)

_HTTP = {"UNAVAILABLE": 503, "RESOURCE_EXHAUSTED": 429, "NOT_FOUND": 404}
_METADATA = (
    b'{"model_spec": {"version": "1"}, '
    b'"metadata": {"signature_def": {"signature_def": {}}}}'
)


class FailingServer:
    """Answers with metadata of version 1, or with a status.

    Attributes:
        attempts: calls that came in so far.
        fails: maps the number of an attempt, from 1, to a code, or None.
    """

    def __init__(self):
        self.attempts = 0
        self.fails = lambda number: None
        self._lock = threading.Lock()

    def status(self):
        """The code of this attempt, None for an answer."""
        with self._lock:
            self.attempts += 1
            return self.fails(self.attempts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class FailingGrpcServer(FailingServer, grpc.GenericRpcHandler):
    """The same over gRPC, at `address`."""

    def __init__(self):
        super().__init__()
        self._server = grpc.server(
            ThreadPoolExecutor(4),
            options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)],
        )
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"localhost:{self._server.add_insecure_port('[::]:0')}"
        self._server.start()

    def service(self, handler_call_details):
        kind = "GetModelMetadataResponse"
        response = message(f"tensorflow.serving.{kind}")()
        if handler_call_details.method == PREDICT:
            response = PredictResponse()
        else:
            response.metadata["signature_def"].Pack(SignatureDefMap())
        response.model_spec.version.value = 1

        def answer(request, context):
            code = self.status()
            if code:
                context.abort(getattr(grpc.StatusCode, code), "on demand")
            return response.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)

    def close(self):
        self._server.stop(0).wait()


class FailingRestServer(FailingServer):
    """The same over REST, at `address`."""

    def __init__(self):
        super().__init__()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                code = outer.status()
                body = b'{"error": "on demand"}' if code else _METADATA
                self.send_response(_HTTP[code] if code else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Nothing on stderr."""

        self._server = http.server.ThreadingHTTPServer(
            ("localhost", 0), Handler
        )
        self.address = f"http://localhost:{self._server.server_port}"
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        ).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
