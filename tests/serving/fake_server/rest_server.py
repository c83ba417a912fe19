"""The REST interface of the fake server."""

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from google.protobuf import json_format
from tensorflow_serving.apis import predict_pb2

from tests.serving.fake_server.json_tensors import read_body, write_outputs
from tests.serving.fake_server.services import signature_map, status_response
from tests.serving.fake_server.status_error import StatusError, invalid

_PATH = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
    r"(:predict|:classify|:regress|/metadata)?"
)
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_TIMEOUT = 30.0


class RestServer:
    """Predict, status and metadata over plain HTTP."""

    def __init__(self, server):
        class Handler(_Handler):
            pass

        Handler.model_server = server
        self._http = _Http(("localhost", server.rest_port), Handler)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), daemon=True
        )

    def start(self):
        self._thread.start()

    def stop(self):
        self._http.shutdown()
        self._http.hang_up()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *arguments):
        self._open = set()
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self):
        for request in list(self._open):
            self.shutdown_request(request)

    def handle_error(self, request, client_address):
        """A client that hung up is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    model_server = None

    def do_GET(self):
        self._answer("GET")

    def do_POST(self):
        self._answer("POST")

    def log_message(self, *_):
        """Nothing on stderr."""

    def _answer(self, method):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        found = _PATH.fullmatch(self.path)
        posts = bool(found) and (found[4] or "").startswith(":")
        if not found or posts != (method == "POST"):
            html = b"<HTML><HEAD><TITLE>404 Not Found</TITLE></HEAD></HTML>"
            self._send(404, "text/html", html)
            return
        try:
            if posts:
                answer = self._predict(found, body)
            elif found[4]:
                answer = self._metadata(found)
            else:
                answer = self._status(found)
            status = 200
        except StatusError as error:
            status = _HTTP.get(error.code, 500)
            answer = {"error": error.message}
        text = json.dumps(answer, indent=4) + "\n"
        self._send(status, "application/json", text.encode())

    def _predict(self, found, body):
        request = predict_pb2.PredictRequest(model_spec=_spec(found))
        if found[4] != ":predict":
            raise StatusError("UNIMPLEMENTED", "the fake server only predicts")
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        try:
            parsed = json.loads(body)
        except ValueError as error:
            raise invalid(f"JSON Parse error: {error}") from error
        name = ""
        if isinstance(parsed, dict):
            name = parsed.get("signature_name", "")
        request.model_spec.signature_name = name
        loaded = self.model_server.manager.find(request.model_spec)
        _, signature = loaded.signature(name)
        inputs, rows = read_body(parsed, signature)
        outputs = loaded.run(name, inputs, timeout=_TIMEOUT)
        return write_outputs(outputs, rows)

    def _metadata(self, found):
        loaded = self.model_server.manager.find(_spec(found))
        return {
            "model_spec": {
                "name": loaded.name,
                "signature_name": "",
                "version": str(loaded.version),
            },
            "metadata": {"signature_def": _json(signature_map(loaded))},
        }

    def _status(self, found):
        return _json(status_response(self.model_server.manager, _spec(found)))

    def _send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _json(message):
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


def _spec(found):
    """The ModelSpec that a path means."""
    spec = predict_pb2.PredictRequest().model_spec
    spec.name = unquote(found[1])
    if found[2]:
        spec.version.value = int(found[2])
    elif found[3]:
        spec.version_label = unquote(found[3])
    return spec
