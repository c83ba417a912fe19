"""Version folders `<saved_models>/<model>/<version>/`, published by rename."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jd_tf.data.files import sync, sync_tree
from jd_tf.serving.errors import ExportError

GRAPH_FILE = "saved_model.pb"
SCHEMA_FILE = "assets.extra/schema.json"
ASIDE_PREFIX = ".export-"
# Holds the highest number ever given; a model server ignores the name.
HIGHEST_FILE = ".highest_version"
_LARGEST = 2**63 - 1


def versions(base: str | Path) -> dict[int, Path]:
    """Returns the version folders of a model, ascending.

    As a model server does, it reads decimal numbers that fit an int64 and
    ignores other names.
    """
    base = Path(base)
    if not base.is_dir():
        return {}
    numbered = {
        int(child.name): child
        for child in base.iterdir()
        if is_version(child.name)
    }
    return {n: numbered[n] for n in sorted(numbered)}


def is_version(name: str) -> bool:
    """Returns True for folder names that a model server reads as versions."""
    return name.isascii() and name.isdigit() and int(name) <= _LARGEST


def resolve(path: str | Path) -> Path:
    """Returns a version folder itself, or the highest version of a model.

    Args:
        path: a version folder, or a model's folder of versions.

    Raises:
        ExportError: if there is no SavedModel, or the highest is incomplete.
    """
    path = Path(path)
    if not path.is_dir():
        raise ExportError(f"{path}: no such folder.")
    if (path / GRAPH_FILE).is_file():
        return path
    numbered = versions(path)
    if not numbered:
        models = sorted(c.name for c in path.iterdir() if versions(c))
        hint = f" Name one of its models: {', '.join(models)}." * bool(models)
        raise ExportError(
            f"{path}: neither a SavedModel (no {GRAPH_FILE}) nor a folder of "
            f"numbered versions.{hint}"
        )
    highest = numbered[max(numbered)]
    if not (highest / GRAPH_FILE).is_file():
        raise ExportError(
            f"{highest}: the highest version has no {GRAPH_FILE}: a half "
            "copied export. Remove it, or name another version."
        )
    return highest


@contextlib.contextmanager
def aside(base: str | Path) -> Iterator[Path]:
    """Yields a folder beside the versions that servers ignore.

    It is removed at the end, unless `publish` has renamed it.
    """
    base = Path(base)
    try:
        base.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ExportError(f"{base}: a file is in the way.") from error
    folder = Path(tempfile.mkdtemp(prefix=ASIDE_PREFIX, dir=base))
    # mkdtemp makes folders private; what is published is not.
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, base: str | Path) -> Path:
    """Renames a finished folder to the next free version number.

    Numbers only grow, even where the highest version was removed: a model
    server that knows a number does not read its folder again.

    Args:
        folder: as `aside` yielded it.
        base: the model's folder.

    Returns:
        The new version folder.
    """
    sync_tree(folder)
    base = Path(base)
    with _highest_number(base) as remembered:
        while True:
            number = max([_read_number(remembered), *versions(base)]) + 1
            if number > _LARGEST:
                raise ExportError(
                    f"{base}: {number - 1} is the last number a model server "
                    "reads; rename that version."
                )
            target = base / str(number)
            try:
                # A rename alone would replace an empty folder, such as one
                # that somebody has just begun to copy into.
                if target.exists():
                    raise FileExistsError(target)
                os.rename(folder, target)
            except OSError:
                # Another process took the number, or the disk failed.
                if not target.exists():
                    raise
                continue
            remembered.seek(0)
            remembered.truncate()
            remembered.write(f"{number}\n")
            remembered.flush()
            os.fsync(remembered.fileno())
            sync(base)
            return target


@contextlib.contextmanager
def _highest_number(base: Path) -> Iterator[Any]:
    """Opens the file of the highest number, locked against other processes.

    On a disk without locks the rename still gives each its own number.
    """
    with (base / HIGHEST_FILE).open("a+", encoding="utf-8") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _read_number(file: Any) -> int:
    """Returns the number in a file, 0 where there is none."""
    file.seek(0)
    text = file.read().strip()
    return int(text) if text.isascii() and text.isdigit() else 0
