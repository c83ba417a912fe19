"""TFRecord files, written without TensorFlow."""

import os
import struct
from pathlib import Path

import google_crc32c

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
# A checksum of data that hold checksums is weak, so the format masks them.
_MASK = 0xA282EAD8


class RecordWriter:
    """Appends records to one uncompressed TFRecord file.

    Every record is handed to the system at once. One that cannot be written
    leaves no trace: half a record would end the file for its readers.

    Args:
        path: the file; overwritten.

    Raises:
        OSError: if it cannot be made.
    """

    def __init__(self, path: str | Path):
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115

    def write(self, record: bytes) -> None:
        """Appends a record.

        Raises:
            OSError: if it cannot be written, for want of space say.
        """
        length = _LENGTH.pack(len(record))
        rest = memoryview(
            b"".join((length, _checksum(length), record, _checksum(record)))
        )
        start = self._file.tell()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(start)
            self._file.seek(start)
            raise

    def close(self) -> None:
        """Flushes to disk.

        Raises:
            OSError: if that fails; the file is closed nevertheless.
        """
        try:
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


def _checksum(data: bytes) -> bytes:
    code = google_crc32c.value(data)
    turned = (code >> 15 | code << 17) & 0xFFFFFFFF
    return _CHECKSUM.pack((turned + _MASK) & 0xFFFFFFFF)
