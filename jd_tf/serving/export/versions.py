"""Version folders `<saved_models>/<model>/<version>/`, published by rename."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jd_tf.data.files import sync, sync_tree
from jd_tf.serving.errors import ExportError

GRAPH_FILE = "saved_model.pb"
SCHEMA_FILE = "assets.extra/schema.json"
ASIDE_PREFIX = ".export-"
# Holds the highest number ever given; a model server ignores the name.
HIGHEST_FILE = ".highest_version"
_LARGEST = 2**63 - 1


def versions(base: str | Path) -> dict[int, Path]:
    """Returns the version folders of a model by number, ascending."""
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
    """Returns a version folder itself, or the highest version of a model."""
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
    """Yields a folder that servers ignore; removes it unless published."""
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

    Numbers only grow: a server that knows one does not read it again. On a
    disk without locks the rename still gives each process its own number.
    """
    sync_tree(folder)
    base = Path(base)
    with (base / HIGHEST_FILE).open("a+", encoding="utf-8") as remembered:
        with contextlib.suppress(OSError):
            fcntl.flock(remembered, fcntl.LOCK_EX)
        while True:
            remembered.seek(0)
            text = remembered.read().strip()
            highest = int(text) if text.isascii() and text.isdigit() else 0
            number = max([highest, *versions(base)]) + 1
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
            remembered.truncate(0)
            remembered.write(f"{number}\n")
            remembered.flush()
            os.fsync(remembered.fileno())
            sync(base)
            return target
