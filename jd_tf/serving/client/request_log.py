"""A sample of requests and answers, in files a server can replay."""

import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from google.protobuf.message import DecodeError

from jd_tf.data.files import sync
from jd_tf.schema import DataError, Schema
from jd_tf.serving.batching import split_batch
from jd_tf.serving.client.errors import RequestError
from jd_tf.serving.client.ranking import Ranking
from jd_tf.serving.client.tensors import fill_proto, to_arrays
from jd_tf.serving.protos.messages import PredictionLog
from jd_tf.serving.protos.record_files import RecordWriter, iterate_records
from jd_tf.serving.signature_names import (
    AMOUNTS,
    FUSION_WEIGHTS,
    SERVING_DEFAULT,
)

_PATTERN = "requests-*.tfrecord"


class RequestLog:
    """Writes sampled requests as PredictionLogs, rotating files.

    Each is a whole request as `serving_default` takes it, with the answer in
    the request's order, however it was computed: it can be replayed on any
    version (shadow traffic), and warm a server up. The open-source server
    itself logs nothing.

    A file appears under its name when it is finished; the one being written
    has another name. No failure to write ever fails a ranking.

    Args:
        folder: of the files; made if need be.
        rate: share of rankings that are logged.
        max_records: of a file.
        max_bytes: of a file; a longer record is left out.
        max_files: finished ones kept; the oldest go.
        model_name: written into the records.
        seed: of the sampling; another each time by default.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = RequestLog(folder, rate=0.01)
        ...     log.close()
    """

    def __init__(
        self,
        folder: str | Path,
        rate: float,
        max_records: int = 1000,
        max_bytes: int = 64 * 2**20,
        max_files: int = 16,
        model_name: str = "",
        seed: int | None = None,
    ):
        if not 0 <= rate <= 1:
            raise RequestError(f"`rate` must be from 0 to 1. Got: {rate}.")
        if min(max_records, max_bytes, max_files) < 1:
            raise RequestError(
                "`max_records`, `max_bytes` and `max_files` must be at least "
                f"1. Got: {max_records}, {max_bytes}, {max_files}."
            )
        self.folder = Path(folder)
        self._rate, self._model_name = rate, model_name
        self._max_records, self._max_bytes = max_records, max_bytes
        self._max_files = max_files
        self._generator = random.Random(seed)
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._writer: RecordWriter | None = None
        self._records = self._bytes = 0
        self._written = self._dropped = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(f"{self.folder}: {error.strerror}.") from error
        # One name per writer: several processes may share a folder.
        self._name = f"{os.getpid()}-{id(self):x}"
        self._aside = self.folder / f".writing-{self._name}"

    def offer(
        self,
        serving_inputs: Callable[[Any], Mapping[str, np.ndarray]],
        request: Mapping[str, Any],
        ranking: Ranking,
    ) -> None:
        """Logs a ranking, or leaves it out; only logged ones need inputs."""
        with self._lock:
            chosen = self._generator.random() < self._rate
        if not chosen or not len(ranking.item_ids):
            return
        record = self._record(serving_inputs(request), ranking)
        try:
            with self._lock:
                self._write(record)
        except OSError as error:
            self._dropped += 1
            message = f"{self.folder}: requests not logged: {error}"
            logging.log_first_n(logging.WARNING, "%s", 1, message)

    def rotate(self) -> Path | None:
        """Finishes the file being written; returns it, or None."""
        with self._lock:
            if self._writer is None:
                return None
            writer, self._writer = self._writer, None
            records, self._records, self._bytes = self._records, 0, 0
            try:
                writer.close()
            except OSError:
                # The next record begins the file anew.
                self._written -= records
                self._dropped += records
                raise
            # Names sort by time.
            stamp = f"{int(time.time() * 1000):014d}-{self._name}"
            target = f"requests-{stamp}-{next(self._numbers)}.tfrecord"
            os.rename(self._aside, self.folder / target)
            sync(self.folder)
            for old in log_files(self.folder)[: -self._max_files]:
                old.unlink(missing_ok=True)
            return self.folder / target

    def close(self) -> None:
        """The same; a later request starts another file."""
        self.rotate()

    def stats(self) -> dict[str, int]:
        """Records written and dropped."""
        with self._lock:
            return {"written": self._written, "dropped": self._dropped}

    def _record(
        self, inputs: Mapping[str, np.ndarray], ranking: Ranking
    ) -> bytes:
        log = PredictionLog()
        metadata, predicted = log.log_metadata, log.predict_log
        metadata.sampling_config.sampling_rate = self._rate
        for spec in (metadata.model_spec, predicted.request.model_spec):
            spec.name = self._model_name
            spec.signature_name = SERVING_DEFAULT
        if ranking.model_version is not None:
            # Not in the request: it may be replayed on any version.
            for spec in (metadata.model_spec, predicted.response.model_spec):
                spec.version.value = ranking.model_version
        for name, array in inputs.items():
            fill_proto(predicted.request.inputs[name], array)
        in_request_order = np.argsort(ranking.order)
        outputs = {
            "score": ranking.scores[in_request_order],
            "probabilities": ranking.probabilities[in_request_order],
            FUSION_WEIGHTS: ranking.fusion_weights,
        }
        if ranking.amounts is not None:
            outputs[AMOUNTS] = ranking.amounts[in_request_order]
        for name, answer in outputs.items():
            if answer is not None:
                fill_proto(predicted.response.outputs[name], answer[None])
        return log.SerializeToString()

    def _write(self, record: bytes) -> None:
        if len(record) > self._max_bytes:
            self._dropped += 1
            return
        if self._bytes + len(record) > self._max_bytes:
            self.rotate()
        if self._writer is None:
            self._writer = RecordWriter(self._aside)
        self._writer.write(record)
        self._records += 1
        self._bytes += len(record)
        self._written += 1
        if self._records == self._max_records:
            self.rotate()


def log_files(folder: str | Path) -> list[Path]:
    """Returns the finished files of a folder, oldest first."""
    return sorted(Path(folder).glob(_PATTERN))


def read_request_log(
    path: str | Path, schema: Schema
) -> Iterator[dict[str, Any]]:
    """Yields requests of a log file or folder, as `export_model` takes them."""
    path = Path(path)
    files = log_files(path) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: holds no request log ({_PATTERN}).")
    for file in files:
        for number, record in enumerate(iterate_records(file)):
            try:
                called = PredictionLog.FromString(record).predict_log
            except DecodeError as error:
                raise DataError(
                    f"{file}: record {number}: not a request log: {error}."
                ) from error
            yield from split_batch(to_arrays(called.request.inputs), schema)
