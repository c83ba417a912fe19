"""TFRecord logs of `tf.train.Example`, with errors that name the record."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

from jd_tf.data.sources.source import LogReport
from jd_tf.schema import DataError

_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20


def read_examples(
    path: Path, report: LogReport
) -> Iterator[tuple[int, tf.train.Example]]:
    """Reads a TFRecord file, gzipped or not.

    After a record that cannot be framed nothing behind it can be found, so
    it ends the file, as one bad record.

    Yields:
        Record number, from 0, and example.
    """
    with path.open("rb") as file:
        start = file.read(len(_GZIP))
    if not start:
        raise DataError(f"{path}: the file is empty. Copy it again.")
    number = 0
    records = _records(path, start == _GZIP)
    while True:
        try:
            example = tf.train.Example.FromString(next(records))
        except StopIteration:
            break
        except (EOFError, OSError, zlib.error, tf.errors.OpError) as error:
            reason = getattr(error, "message", "") or str(error)
            report.tolerate(
                f"{path}: record {number}: {reason.splitlines()[0]}: the file "
                "is truncated, damaged or no TFRecord"
            )
            return
        except DecodeError:
            report.tolerate(f"{path}: record {number}: no tf.train.Example")
        else:
            yield number, example
        number += 1
    if not number:
        raise DataError(f"{path}: no records in it. Copy it again.")


def _records(path: Path, gzipped: bool) -> Iterator[bytes]:
    kind = "GZIP" if gzipped else ""
    yield from tf.data.TFRecordDataset(str(path), kind).as_numpy_iterator()
    if gzipped:
        # TensorFlow takes a gzip file that was cut between two records, or
        # inside its checksum, for a whole one; Python's gzip does not.
        with gzip.open(path, "rb") as file:
            while file.read(_CHUNK_BYTES):
                continue
