"""Signature calls on disk, as a model server's warm-up file holds them.

A record is a `tensorflow.serving.PredictionLog` with the live model's answer,
which verification compares.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from jd_tf.serving.errors import ExportError

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
# A server refuses to load a version with more.
MAX_WARMUP_RECORDS = 1000


@dataclasses.dataclass(frozen=True)
class Recording:
    """One call of a signature: arrays by name, and the live model's answer."""

    signature: str
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def write_recordings(
    path: str | Path, recordings: Iterable[Recording], model_name: str
) -> int:
    """Writes an uncompressed TFRecord file of PredictionLogs."""
    recordings = list(recordings)
    if len(recordings) > MAX_WARMUP_RECORDS:
        raise ExportError(
            f"{len(recordings)} warm-up records: a model server takes "
            f"{MAX_WARMUP_RECORDS} at most. Record fewer requests or buckets."
        )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for recording in recordings:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = model_name
            request.model_spec.signature_name = recording.signature
            for tensors, arrays in (
                (request.inputs, recording.inputs),
                (log.predict_log.response.outputs, recording.outputs),
            ):
                for name, array in arrays.items():
                    tensors[name].CopyFrom(tf.make_tensor_proto(array))
            writer.write(log.SerializeToString())
    return len(recordings)


def read_recordings(path: str | Path) -> Iterator[Recording]:
    """Yields the calls that `write_recordings` or a request log wrote."""
    if not Path(path).is_file():
        raise ExportError(f"{path}: no such file; it holds the warm-up calls.")
    number = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            called = log.predict_log
            yield Recording(
                called.request.model_spec.signature_name,
                _arrays(called.request.inputs),
                _arrays(called.response.outputs),
            )
            number += 1
    except (tf.errors.DataLossError, ValueError, TypeError) as error:
        raise ExportError(
            f"{path}: record {number}: {error}. Export again."
        ) from error


def _arrays(tensors: Any) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(proto) for name, proto in tensors.items()}
