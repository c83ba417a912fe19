"""Steps of a program that are done once, whatever happens in between."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jd_tf.data.files import read_json, write_json
from jd_tf.schema import DataError


class Steps:
    """A list of finished steps, kept in a file.

    Args:
        path: the file, in the folder of everything the steps make.
        settings: what the steps depend on; a folder in which one was done
            with other ones is refused.
        remedy: what to do then, for the error.
        overwrite: forget what was done.
        made: names in the folder that are removed then.

    Attributes:
        done: finished step -> what it returned.
    """

    def __init__(
        self,
        path: Path,
        settings: dict[str, Any],
        remedy: str = "Name another folder.",
        overwrite: bool = False,
        made: Iterable[str] = (),
    ):
        self.path, folder = path, path.parent
        if overwrite and path.exists():
            # Only what the steps made: the folder may hold more.
            for name in made:
                shutil.rmtree(folder / name, ignore_errors=True)
                if (folder / name).is_file():
                    (folder / name).unlink()
            path.unlink()
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder}: is a file, not a folder.")
        stored = read_json(path) if path.exists() else {}
        if stored.get("done"):
            # As the file has them: tuples are lists there.
            for name, value in json.loads(json.dumps(settings)).items():
                before = stored["settings"].get(name)
                if before != value:
                    raise DataError(
                        f"{path}: was made with --{name}={before}, not "
                        f"{value}. {remedy}"
                    )
        else:
            if not stored and folder.is_dir() and any(folder.iterdir()):
                raise DataError(
                    f"{folder}: holds something else. Name a new folder."
                )
            folder.mkdir(parents=True, exist_ok=True)
            stored = {"settings": settings, "done": {}}
            write_json(path, stored)
        self._stored = stored
        self.done: dict[str, Any] = stored["done"]

    def step(self, title: str, name: str, work: Callable[[], Any]) -> None:
        """Does a step, unless it was done before."""
        if name in self.done:
            print(f"\n== {title}: done before")
            return
        print(f"\n== {title}", flush=True)
        self.done[name] = work()
        write_json(self.path, self._stored)
