"""Files and folders that appear whole or not at all, and stay."""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.schema import DataError

_BLOCK = 1 << 22


def write_whole(path: str | Path, content: bytes) -> None:
    """Writes aside, flushes to disk and renames; makes a missing folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        sync(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def is_pattern(path: str | Path) -> bool:
    """Returns whether TensorFlow takes a path for a pattern of paths."""
    return any(character in str(path) for character in "[*?\\")


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """Yields a path to a folder from which TensorFlow can read variables."""
    if not is_pattern(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as aside:
        link = Path(aside) / "folder"
        link.symlink_to(folder.resolve())
        yield link


def checksum(path: Path) -> str:
    """Returns the SHA-256 sum of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Flushes a file, or the list of a folder's files, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flushes a folder and all that is in it to disk, innermost first."""
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
    sync(folder)


def read_json(path: Path) -> Any:
    """Reads a JSON file; its name stands in the error."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not JSON: {error}.") from error


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, aside and then renamed."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(path, text.encode("utf-8") + b"\n")


def write_npz(
    path: str | Path, arrays: Mapping[str, Any], compress: bool = False
) -> None:
    """Writes the `.npz` file that `read_npz` reads, whole or not at all.

    Bytes as objects have a fixed width there, as a pickle could run anything.
    """
    buffer = io.BytesIO()
    plain: dict[str, Any] = {
        name: np.asarray(array, "S") if array.dtype == object else array
        for name, array in arrays.items()
    }
    (np.savez_compressed if compress else np.savez)(buffer, **plain)
    write_whole(path, buffer.getvalue())


def read_npz(
    path: str | Path, remedy: str = "", names: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads the arrays of an `.npz` file; fixed-width bytes become objects.

    Raises:
        DataError: naming the file, with the remedy if there is none, and the
            first of `names` that it has not.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file. {remedy}".rstrip())
    try:
        # Plain arrays only: a pickle in here could run anything.
        with (
            path.open("rb") as file,
            np.load(file, allow_pickle=False) as stored,
        ):
            arrays = dict(stored)
    except (
        *(OSError, ValueError, TypeError, EOFError),
        zipfile.BadZipFile,
    ) as error:
        raise DataError(
            f"{path}: not an .npz of plain arrays, or cut off: {error}. "
            "Copy or make it again."
        ) from error
    for name in names:
        if name not in arrays:
            raise DataError(
                f"{path}: has no array `{name}`, only {sorted(arrays)}. "
                f"{remedy}".rstrip()
            )
    return {
        name: array.astype(object) if array.dtype.kind == "S" else array
        for name, array in arrays.items()
    }
