"""TFRecord files, written and read without TensorFlow."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from jd_tf.schema import DataError

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
# A checksum of data that hold checksums is weak, so the format masks them.
_MASK = 0xA282EAD8


class RecordWriter:
    """Appends records to one uncompressed TFRecord file.

    One that cannot be written (an OSError) leaves no trace.
    """

    def __init__(self, path: str | Path):
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115

    def write(self, record: bytes) -> None:
        """Appends a record."""
        length = _LENGTH.pack(len(record))
        parts = (length, _checksum(length), record, _checksum(record))
        rest = memoryview(b"".join(parts))
        start = self._file.tell()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(start)
            self._file.seek(start)
            raise

    def close(self) -> None:
        """Flushes to disk; if that fails, the file is closed nevertheless."""
        try:
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


def iterate_records(path: str | Path) -> Iterator[bytes]:
    """Yields the records of an uncompressed TFRecord file."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        number = 0
        while file.tell() < size:
            bad = f"{path}: record {number}: not a request: corrupted"
            head = file.read(_LENGTH.size + _CHECKSUM.size)
            length, rest = head[: _LENGTH.size], head[_LENGTH.size :]
            whole = len(head) == _LENGTH.size + _CHECKSUM.size
            if whole and rest != _checksum(length):
                raise DataError(f"{bad} or no TFRecord. Copy or make it again.")
            count = _LENGTH.unpack(length)[0] if whole else 0
            left = size - file.tell()
            if not whole or count + _CHECKSUM.size > left:
                raise DataError(
                    f"{path}: record {number} is cut off at byte {size}; the "
                    "file is truncated or no TFRecord. Copy or make it again."
                )
            record = file.read(count)
            if file.read(_CHECKSUM.size) != _checksum(record):
                raise DataError(f"{bad}. Copy or make it again.")
            yield record
            number += 1


def _checksum(data: bytes) -> bytes:
    code = google_crc32c.value(data)
    turned = (code >> 15 | code << 17) & 0xFFFFFFFF
    return _CHECKSUM.pack((turned + _MASK) & 0xFFFFFFFF)
