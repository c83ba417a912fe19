"""A fake of the model server, in this process."""

import collections
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.serving.fake_server.model_manager import ModelManager
from tests.serving.fake_server.model_server import ModelServer
from tests.serving.fake_server.rest_server import RestServer
from tests.serving.fake_server.services import ModelService, PredictionService
from tests.serving.fake_server.status_error import StatusError


class FakeModelServer(ModelServer):
    """Answers as a model server would, from this process.

    Args:
        config: what is served.
        batching: `BatchingOptions`; calls are not batched without.
        tls: `TlsPems` for gRPC.
        poll_seconds: between readings of the folders.
        tensor_content: how numbers are answered, as by the server's flag
            `--enable_serialization_as_tensor_content`.
        allow_new_labels: the server's
            `--allow_version_labels_for_unavailable_models`.
        warm: whether warm-up files are replayed.
        optimize: whether graphs are rewritten before they run, as the server
            does; it takes longer than the tests' few calls.

    Attributes:
        calls: how many Predict calls came in, by signature.
        delay_seconds: every Predict call takes this much longer.
    """

    kind = "fake"

    def __init__(
        self,
        config,
        batching=None,
        tls=None,
        poll_seconds=0.05,
        tensor_content=False,
        allow_new_labels=True,
        warm=True,
        optimize=False,
    ):
        super().__init__(config)
        self.tensor_content = tensor_content
        self.calls = collections.Counter()
        self.delay_seconds = 0.0
        self.manager = None
        self._options = {
            "poll_seconds": poll_seconds,
            "allow_new_labels": allow_new_labels,
            "batching": batching,
            "warm": warm,
            "optimize": optimize,
        }
        self._tls = tls
        self._failures = collections.deque()
        self._lock = threading.Lock()
        self._grpc = self._rest = None

    def start(self, seconds=120):
        self.manager = ModelManager(**self._options)
        self.manager.start(self.config, seconds)
        self._grpc = grpc.server(
            ThreadPoolExecutor(32),
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self), self._grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(self), self._grpc
        )
        if self._tls:
            self._grpc.add_secure_port(
                self.address,
                grpc.ssl_server_credentials(
                    [(self._tls.server_key, self._tls.server_cert)],
                    self._tls.custom_ca,
                    self._tls.client_verify,
                ),
            )
        else:
            self._grpc.add_insecure_port(self.address)
        self._grpc.start()
        self._rest = RestServer(self)
        self._rest.start()

    def stop(self):
        if self._grpc is not None:
            self._grpc.stop(0).wait()
            self._rest.stop()
            self.manager.stop()
            self._grpc = None

    def fail_next(self, code, times=1, message="injected"):
        """The next Predict calls end with this status."""
        self._failures.extend([StatusError(code, message)] * times)

    def before_predict(self, request, context):
        """Counts a call, and delays or fails it."""
        signature = request.model_spec.signature_name or "serving_default"
        with self._lock:
            self.calls[signature] += 1
            failure = self._failures.popleft() if self._failures else None
        if self.delay_seconds:
            time.sleep(self.delay_seconds)
        if failure:
            raise failure
