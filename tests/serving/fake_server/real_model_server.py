"""The server itself, as a process."""

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from google.protobuf import text_format

from tests.serving.fake_server.model_server import ModelServer

_SECONDS = 120


class RealModelServer(ModelServer):
    """Starts the binary on files it reads; arguments as of the fake."""

    kind = "real"

    def __init__(
        self,
        config,
        batching=None,
        tls=None,
        tensor_content=False,
        warm=True,
        optimize=True,
        max_threads=None,
    ):
        del optimize  # it always does
        super().__init__(config)
        # Kept over a restart; a TemporaryDirectory that is not closed warns,
        # and a warning fails a test.
        self._folder = Path(tempfile.mkdtemp(prefix="jd_tf-test-"))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        self._process = None
        self._arguments = [
            os.environ["JD_TF_MODEL_SERVER"],
            f"--port={self.port}",
            f"--rest_api_port={self.rest_port}",
            "--file_system_poll_wait_seconds=1",
            "--max_num_load_retries=0",
            "--num_load_threads=2",
            "--allow_version_labels_for_unavailable_models=true",
            f"--enable_model_warmup={str(warm).lower()}",
            "--enable_serialization_as_tensor_content="
            f"{str(tensor_content).lower()}",
            self._file("model_config", text_format.MessageToString(config)),
        ]
        if max_threads:
            self._arguments.append(f"--grpc_max_threads={max_threads}")
        if batching:
            self._arguments += [
                "--enable_batching=true",
                self._file("batching_parameters", batching.text()),
            ]
        if tls:
            self._arguments.append(self._file("ssl_config", tls.text()))

    def start(self):
        log = self._folder / "log"
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                self._arguments, stdout=stream, stderr=stream
            )
        end = time.monotonic() + _SECONDS
        while not (self._answers(self.port) and self._answers(self.rest_port)):
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                tail = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"Failed to start server: {tail}")
            time.sleep(0.1)

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _file(self, name, text):
        path = self._folder / name
        path.write_text(text, encoding="utf-8")
        return f"--{name}_file={path}"

    def _answers(self, port):
        with socket.socket() as probe:
            return probe.connect_ex(("localhost", port)) == 0
