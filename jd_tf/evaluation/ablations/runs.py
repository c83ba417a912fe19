"""Runs of an ablation: each row and seed is trained and judged once."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.data.files import read_json, write_json
from jd_tf.evaluation.ablations.rows import Row, resolve
from jd_tf.evaluation.metrics_file import nan_to_none
from jd_tf.schema import DataError

SETTINGS_FILE = "ablation.json"
RESULT_FILE = "result.json"
RUNS = "runs"

# (name of the row, seed) -> what `judge_run` returned
Results = dict[tuple[str, int], Mapping[str, Any]]


class Ablation:
    """A folder of runs, one for each row and seed.

    A run is finished when its `result.json` exists, which is written last
    and whole; a run without it is resumed at its newest checkpoint. Rows and
    seeds may be added later.

    Args:
        workdir: gets `ablation.json` and `runs/<row>/seed-<seed>/`.
        settings: everything else that results depend on: model, data,
            training, evaluation. A folder of runs with others is refused.
        base: config that the rows change.
        rows: checked by `check_rows`.
        seeds: of training.

    Raises:
        DataError: for rows the config refuses, no or repeated seeds, and a
            folder of other settings; before anything is trained.
    """

    def __init__(
        self,
        workdir: str | Path,
        settings: Mapping[str, Any],
        base: Any,
        rows: Sequence[Row],
        seeds: Sequence[int],
    ):
        self.workdir = Path(workdir)
        self.rows, self.seeds = tuple(rows), tuple(seeds)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise DataError(f"seeds must be different. Got: {self.seeds}.")
        self._configs = {row.name: resolve(row, base) for row in self.rows}
        settings = _as_json({**settings, "base": dataclasses.asdict(base)})
        path = self.workdir / SETTINGS_FILE
        if self.workdir.exists() and not self.workdir.is_dir():
            raise DataError(f"{self.workdir}: is a file, not a folder.")
        if (self.workdir / RUNS).exists() and path.exists():
            _check_same(path, "", read_json(path), settings)
            return
        folder = self.workdir
        if not path.exists() and folder.is_dir() and any(folder.iterdir()):
            raise DataError(
                f"{folder}: holds something else. Name a new folder."
            )
        write_json(path, settings)

    def folder(self, row: Row, seed: int) -> Path:
        """Returns the folder of a run."""
        return self.workdir / RUNS / row.folder / f"seed-{seed}"

    def results(self) -> Results:
        """Reads the results of the finished runs of these rows and seeds."""
        return {
            (row.name, seed): self._read(path, row)
            for seed in self.seeds
            for row in self.rows
            if (path := self.folder(row, seed) / RESULT_FILE).is_file()
        }

    def run(
        self,
        train: Callable[[Any, int, Path], Any],
        judge: Callable[[Path], Mapping[str, Any]],
        finished: Callable[[Results], Any] | None = None,
        discard: Callable[[Path], Any] | None = None,
        log: Callable[[str], None] = print,
    ) -> Results:
        """Trains and judges all runs that are not finished, seed by seed.

        `train` takes the config of a row, a seed and the folder of the run,
        which it resumes if there is one; `judge` the folder of a trained run;
        `finished` all results, after every run; `discard` the folder of a
        finished run, to delete there what is not needed; `log` a line.
        """
        results = self.results()
        missing = [
            (row, seed)
            for seed in self.seeds
            for row in self.rows
            if (row.name, seed) not in results
        ]
        if results:
            log(f"{len(results)} runs are finished already")
        began = time.monotonic()
        for number, (row, seed) in enumerate(missing):
            started = time.monotonic()
            title = f"{row.name}, seed {seed}"
            if number:
                left = (started - began) / number * (len(missing) - number)
                title += f", about {left / 60:.0f} min left"
            log(f"\n== run {number + 1} of {len(missing)}: {title}")
            config, folder = self._configs[row.name], self.folder(row, seed)
            train(config, seed, folder)
            result = {"row": row.name, "seed": seed, **judge(folder)}
            result["config"] = dataclasses.asdict(config)
            result["seconds"] = time.monotonic() - started
            write_json(folder / RESULT_FILE, nan_to_none(result))
            results[row.name, seed] = self._read(folder / RESULT_FILE, row)
            if discard is not None:
                discard(folder)
            if finished is not None:
                finished(results)
        return results

    def _read(self, path: Path, row: Row) -> Mapping[str, Any]:
        result = read_json(path)
        for part in ("config", "metrics", "replicates", "fingerprint"):
            if not isinstance(result, dict) or part not in result:
                raise DataError(f"{path}: is no result: no {part!r}.")
        now = _as_json(dataclasses.asdict(self._configs[row.name]))
        _check_same(path, f"row `{row.name}`", result["config"], now)
        return result


def _check_same(path: Path, name: str, before: Any, now: Any) -> None:
    """Refuses settings that differ, naming the innermost field."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            inner = f"{name}: {key}" if name else key
            _check_same(path, inner, before.get(key), now.get(key))
    elif before != now:
        raise DataError(
            f"{path}: was made with {name} = {before!r}, not {now!r}. "
            "Go on with that, or name another --workdir."
        )


def _as_json(value: Any) -> Any:
    """Returns `value` as it is after a trip through a JSON file."""
    return json.loads(json.dumps(value))
