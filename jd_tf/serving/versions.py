"""Version folders `<saved_models>/<model>/<version>/`, published by rename."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jd_tf.data.files import sync, sync_tree
from jd_tf.serving.errors import ExportError

GRAPH_FILE = "saved_model.pb"
ASIDE_PREFIX = ".export-"
_LARGEST = 2**63 - 1


def versions(base: str | Path) -> dict[int, Path]:
    """Version folders of a model, ascending; other names are ignored.

    A model server reads the same names: decimal numbers that fit an int64.
    """
    base = Path(base)
    if not base.is_dir():
        return {}
    numbered = {
        int(child.name): child
        for child in base.iterdir()
        if child.name.isascii() and child.name.isdigit()
    }
    return {n: numbered[n] for n in sorted(numbered) if n <= _LARGEST}


def resolve(path: str | Path) -> Path:
    """The version folder meant by a path: itself, or its highest version.

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
    """Yields a folder beside the versions that never looks like one.

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
    """Flushes a finished folder to disk and renames it to the next version.

    Renaming onto a folder that is not empty fails, so of two exports that
    race for a number one wins and the other takes the next.

    Args:
        folder: as `aside` yielded it.
        base: the model's folder.

    Returns:
        The new version folder.
    """
    sync_tree(folder)
    base = Path(base)
    while True:
        target = base / str(max(versions(base), default=0) + 1)
        try:
            os.rename(folder, target)
        except OSError:
            # Somebody else's version, or a disk that does not want ours.
            if not target.exists():
                raise
            continue
        sync(base)
        return target
