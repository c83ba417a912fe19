"""A fake of the model server, in this process."""

import os
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


class FakeModelServer(ModelServer):
    """Answers as a model server would, from this process.

    Args:
        config: what is served.
        batching: `BatchingOptions`; calls are not batched without.
        tls: `TlsPems` for gRPC.
        tensor_content: how numbers are answered, as by the server's flag
            `--enable_serialization_as_tensor_content`.
        warm: whether warm-up files are replayed.
        optimize: whether graphs are rewritten before they run, as the server
            does; it takes longer than the tests' few calls.
        max_threads: of gRPC; by default four a core, as by the server's flag
            `--grpc_max_threads`. Calls beyond are refused at once.
    """

    kind = "fake"

    def __init__(
        self,
        config,
        batching=None,
        tls=None,
        tensor_content=False,
        warm=True,
        optimize=False,
        max_threads=None,
    ):
        super().__init__(config)
        self._max_threads = max_threads or 4 * os.cpu_count()
        self.tensor_content = tensor_content
        self.manager = None
        self._options = {
            "batching": batching,
            "warm": warm,
            "optimize": optimize,
        }
        self._tls = tls
        self._grpc = self._rest = None

    def start(self, seconds=120):
        self.manager = ModelManager(**self._options)
        self.manager.start(self.config, seconds)
        self._grpc = grpc.server(
            ThreadPoolExecutor(self._max_threads),
            # Two threads of the server's wait for calls.
            maximum_concurrent_rpcs=max(self._max_threads - 2, 1),
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
