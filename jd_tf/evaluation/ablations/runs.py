"""Rows x seeds, each trained and judged once, whatever happens in between."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.data.json_files import read_json, write_json
from jd_tf.evaluation.ablations.rows import Row, resolve
from jd_tf.evaluation.metrics_file import nan_to_none
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError

SETTINGS_FILE = "ablation.json"
RESULT_FILE = "result.json"
RUNS = "runs"

# (config of the row, seed, folder of the run); goes on with a run that stands
# in the folder, returns when it is trained.
Train = Callable[[JDRankerConfig, int, Path], Any]
# (folder of a trained run) -> what `judge_run` returned
Judge = Callable[[Path], Mapping[str, Any]]
Found = dict[tuple[str, int], Mapping[str, Any]]


class Ablation:
    """A folder of runs, one a row and seed.

    A run is finished when its `result.json` is there, which is written last
    and whole; a run without one goes on from its newest checkpoint. Rows and
    seeds may be added later.

    Args:
        workdir: gets `ablation.json` and `runs/<row>/seed-<seed>/`.
        settings: all that results depend on beside row and seed: data,
            training, evaluation. A folder of other settings is refused.
        base: what the rows change.
        rows: checked by `check_rows`.
        seeds: of training.

    Attributes:
        configs: name of a row -> its config.

    Raises:
        DataError: for rows the config refuses, no or repeated seeds, and a
            folder of other settings; before anything is trained.
    """

    def __init__(
        self,
        workdir: str | Path,
        settings: Mapping[str, Any],
        base: JDRankerConfig,
        rows: Sequence[Row],
        seeds: Sequence[int],
    ):
        self.workdir = Path(workdir)
        self.rows, self.seeds = tuple(rows), tuple(seeds)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise DataError(f"seeds must be different. Got: {self.seeds}.")
        self.configs = {row.name: resolve(row, base) for row in self.rows}
        self._open(_plain({**settings, "base": dataclasses.asdict(base)}))

    def folder(self, row: Row, seed: int) -> Path:
        """Where a run lies."""
        return self.workdir / RUNS / row.folder / f"seed-{seed}"

    def results(self) -> Found:
        """What the finished runs of these rows and seeds found."""
        found: Found = {}
        for seed in self.seeds:
            for row in self.rows:
                path = self.folder(row, seed) / RESULT_FILE
                if path.is_file():
                    found[row.name, seed] = self._read(path, row)
        return found

    def run(
        self,
        train: Train,
        judge: Judge,
        finished: Callable[[Found], Any] | None = None,
        discard: Callable[[Path], Any] | None = None,
        say: Callable[[str], None] = print,
    ) -> Found:
        """Trains and judges whatever is not finished, seed by seed.

        Args:
            train: see `Train`.
            judge: see `Judge`.
            finished: told all results after every run.
            discard: given the folder of every finished run, to delete there
                what is not wanted any more.
            say: told what is being done.

        Returns:
            (name of the row, seed) -> what was found.
        """
        found = self.results()
        todo = [
            (row, seed)
            for seed in self.seeds
            for row in self.rows
            if (row.name, seed) not in found
        ]
        if found:
            say(f"{len(found)} runs are finished already")
        began = time.monotonic()
        for number, (row, seed) in enumerate(todo):
            left = ""
            if number:
                each = (time.monotonic() - began) / number / 60
                left = f", about {each * (len(todo) - number):.0f} min left"
            say(
                f"\n== run {number + 1} of {len(todo)}: {row.name}, "
                f"seed {seed}{left}"
            )
            folder, started = self.folder(row, seed), time.monotonic()
            config = self.configs[row.name]
            train(config, seed, folder)
            judged = judge(folder)
            result = {
                "row": row.name,
                "seed": seed,
                "config": _plain(dataclasses.asdict(config)),
                "seconds": time.monotonic() - started,
                **judged,
            }
            write_json(folder / RESULT_FILE, nan_to_none(result))
            found[row.name, seed] = self._read(folder / RESULT_FILE, row)
            if discard is not None:
                discard(folder)
            if finished is not None:
                finished(found)
        return found

    def _open(self, settings: dict[str, Any]) -> None:
        path = self.workdir / SETTINGS_FILE
        if self.workdir.exists() and not self.workdir.is_dir():
            raise DataError(f"{self.workdir}: is a file, not a folder.")
        if not path.exists():
            if self.workdir.is_dir() and any(self.workdir.iterdir()):
                raise DataError(
                    f"{self.workdir}: holds something else. Name a new folder."
                )
            write_json(path, settings)
            return
        stored = read_json(path)
        for name in {**stored, **settings}:
            self._check_same(path, name, stored.get(name), settings.get(name))

    def _read(self, path: Path, row: Row) -> Mapping[str, Any]:
        result = read_json(path)
        now = _plain(dataclasses.asdict(self.configs[row.name]))
        try:
            before = result["config"]
            for part in ("metrics", "replicates", "fingerprint"):
                result[part]
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: is no result: no {error}.") from error
        self._check_same(path, f"row `{row.name}`", before, now)
        return result

    def _check_same(self, path: Path, name: str, before: Any, now: Any) -> None:
        """Refuses what differs, naming the innermost field."""
        if isinstance(before, dict) and isinstance(now, dict):
            for field in {**before, **now}:
                self._check_same(
                    path, f"{name}: {field}", before.get(field), now.get(field)
                )
        elif before != now:
            raise DataError(
                f"{path}: was made with {name} = {before!r}, not {now!r}. "
                "Go on with that, or name another --workdir."
            )


def _plain(value: Any) -> Any:
    """What `value` looks like after a trip through a JSON file."""
    return json.loads(json.dumps(value))
