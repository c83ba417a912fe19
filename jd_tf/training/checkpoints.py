"""Atomic checkpoints, verified on load."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from jd_tf.data.dataset import new_folder
from jd_tf.data.files import checksum, plain_path, read_json, write_json
from jd_tf.schema import DataError

STATE_FILE = "state.json"
MANIFEST_FILE = "manifest.json"
_PREFIX = "variables"

Variables = Mapping[str, tf.Variable]


class Checkpoints:
    """A folder of checkpoints, one folder each.

    A checkpoint is written aside, synchronised to disk and renamed: a
    process killed at any moment leaves whole checkpoints only. Sizes and
    SHA-256 sums of its files are written with it and verified on load.

    Args:
        folder: where they lie; created when the first is written.

    Example:
        >>> Checkpoints("no_such_folder").steps()
        []
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, ascending."""
        return sorted(
            int(path.name.removeprefix("step-"))
            for path in self.folder.glob("step-*")
        )

    def path(self, step: int) -> Path:
        """Returns the folder of one checkpoint."""
        return self.folder / f"step-{step:09d}"

    def write(
        self, step: int, variables: Variables, state: Mapping[str, Any]
    ) -> Path:
        """Writes a checkpoint, whole or not at all; returns its folder.

        One of the same step is replaced. `state` is anything JSON can hold.

        Raises:
            DataError: if it cannot be written; nothing is left behind.
        """
        path = self.path(step)
        try:
            with new_folder(path, overwrite=True) as aside:
                _tracked(variables).write(str(aside / _PREFIX))
                about = {"state": state, "variables": _shapes(variables)}
                write_json(aside / STATE_FILE, about)
                manifest = {
                    file.name: {
                        "bytes": file.stat().st_size,
                        "sha256": checksum(file),
                    }
                    for file in sorted(aside.iterdir())
                }
                write_json(aside / MANIFEST_FILE, manifest)
        except (OSError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{path}: the checkpoint could not be written: {reason}. "
                "Free space or name another folder, then resume."
            ) from error
        return path

    def read_state(self, step: int) -> dict[str, Any]:
        """Returns the state of a checkpoint, after verifying all its files.

        Raises:
            DataError: naming the file that is missing, cut or changed.
        """
        return self._verified(step)["state"]

    def restore(self, step: int, variables: Variables) -> dict[str, Any]:
        """Sets variables to what a checkpoint holds; returns its state.

        All `variables` must be in the checkpoint, which may hold more.

        Raises:
            DataError: a file is damaged, or a variable is missing or has
                another shape; then no variable has been changed.
        """
        about = self._verified(step)
        for name, shape in _shapes(variables).items():
            stored = about["variables"].get(name, "not there")
            if stored != shape:
                raise DataError(
                    f"{self.path(step)}: variable `{name}` is {stored} in the "
                    f"checkpoint and {shape} in the model. Use the model "
                    "configuration it was written with, or train anew in "
                    "another folder."
                )
        with plain_path(self.path(step)) as folder:
            reader = _tracked(variables).read(str(folder / _PREFIX))
        reader.assert_existing_objects_matched().expect_partial()
        return about["state"]

    def prune(self, keep: int, best_step: int) -> None:
        """Removes all but the newest, so many, and the best."""
        self._remove(s for s in self.steps()[:-keep] if s != best_step)

    def remove_after(self, step: int) -> None:
        """Removes those of later steps, the newest first."""
        self._remove(s for s in reversed(self.steps()) if s > step)

    def _remove(self, steps: Iterable[int]) -> None:
        for step in steps:
            # Renamed first: a half-removed checkpoint is not one.
            doomed = self.folder / f".old.{step}"
            self.path(step).rename(doomed)
            shutil.rmtree(doomed)

    def recover(self) -> None:
        """Clears what a killed process left half done."""
        for replaced in self.folder.glob(".old.*/step-*"):
            if not (self.folder / replaced.name).exists():
                replaced.rename(self.folder / replaced.name)
        for pattern in (".step-*", ".old.*"):
            for left in self.folder.glob(pattern):
                shutil.rmtree(left)

    def _verified(self, step: int) -> dict[str, Any]:
        """Returns the content of the state file, all files verified."""
        path = self.path(step)
        earlier = [s for s in self.steps() if s < step]
        instead = f"step {earlier[-1]}" if earlier else "the start"
        remedy = f"Delete the folder {path} to go on from {instead}."
        manifest = _read(path / MANIFEST_FILE, remedy)
        if not (path / MANIFEST_FILE).read_bytes().endswith(b"}\n"):
            raise DataError(f"{path / MANIFEST_FILE}: truncated. {remedy}")
        for name, entry in manifest.items():
            file = path / name
            if not file.is_file():
                raise DataError(f"{file}: missing. {remedy}")
            size = file.stat().st_size
            if size != entry["bytes"]:
                raise DataError(
                    f"{file}: has {size} bytes instead of {entry['bytes']}: "
                    f"truncated. {remedy}"
                )
            if checksum(file) != entry["sha256"]:
                raise DataError(
                    f"{file}: its content is not what was written: corrupt. "
                    f"{remedy}"
                )
        if STATE_FILE not in manifest:
            raise DataError(f"{path / STATE_FILE}: missing. {remedy}")
        return _read(path / STATE_FILE, remedy)


def _tracked(variables: Variables) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(variables=dict(variables))


def _shapes(variables: Variables) -> dict[str, str]:
    return {
        name: f"{variable.dtype.name}{variable.shape.as_list()}"
        for name, variable in variables.items()
    }


def _read(path: Path, remedy: str) -> Any:
    if not path.is_file():
        raise DataError(f"{path}: missing. {remedy}")
    try:
        return read_json(path)
    except DataError as error:
        raise DataError(f"{error} {remedy}") from error
