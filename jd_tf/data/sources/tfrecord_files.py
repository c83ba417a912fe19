"""TFRecord logs of `tf.train.Example`, with errors that name the record."""

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import tensorflow as tf
from google.protobuf.message import DecodeError

from jd_tf.data.sources.log_report import LogReport
from jd_tf.schema import DataError

_GZIP = b"\x1f\x8b"
_LENGTH = struct.Struct("<Q")
_CHECKSUM_BYTES = 4
# Far beyond any request; a longer record is no record but noise.
_MAX_RECORD_BYTES = 1 << 28


def read_examples(
    path: Path, report: LogReport
) -> Iterator[tuple[int, tf.train.Example]]:
    """Reads a TFRecord file, gzipped or not.

    After a record that cannot be framed nothing behind it can be found, so
    it ends the file, as one bad record.

    Args:
        path: the file.
        report: tolerates bad records or not.

    Yields:
        Record number, from 0, and example.

    Raises:
        DataError: if the file is empty, or a record is bad.
    """
    with path.open("rb") as file:
        start = file.read(len(_GZIP))
    if not start:
        raise DataError(f"{path}: the file is empty. Copy it again.")
    read = _read_gzip if start == _GZIP else _read_plain
    number = 0
    records = read(path)
    while True:
        try:
            record = next(records)
        except StopIteration:
            break
        except (
            DataError,
            EOFError,
            OSError,
            zlib.error,
            tf.errors.OpError,
        ) as error:
            reason = getattr(error, "message", "") or str(error)
            report.tolerate(
                DataError(
                    f"{path}: record {number}: {reason.splitlines()[0]}: the "
                    "file is truncated, damaged or no TFRecord"
                )
            )
            return
        try:
            example = tf.train.Example.FromString(record)
        except DecodeError:
            report.tolerate(
                DataError(f"{path}: record {number}: no tf.train.Example")
            )
        else:
            yield number, example
        number += 1
    if not number:
        raise DataError(f"{path}: no records in it. Copy it again.")


def _read_plain(path: Path) -> Iterator[bytes]:
    yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()


def _read_gzip(path: Path) -> Iterator[bytes]:
    """Frames inside gzip, whose own checksum covers them.

    TensorFlow takes a gzip file that was cut between two records, or inside
    its checksum, for a whole one.
    """
    with gzip.open(path, "rb") as file:
        while True:
            header = file.read(_LENGTH.size)
            if not header:
                return
            if len(header) < _LENGTH.size:
                raise DataError(f"{len(header)} bytes behind the last one")
            length = _LENGTH.unpack(header)[0]
            if length > _MAX_RECORD_BYTES:
                raise DataError(f"a record of {length} bytes")
            _read_exactly(file, _CHECKSUM_BYTES)
            record = _read_exactly(file, length)
            _read_exactly(file, _CHECKSUM_BYTES)
            yield record


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise DataError(f"{size} bytes are due, {len(data)} are left")
    return data
