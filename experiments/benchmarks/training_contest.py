"""Our loop and plain Keras timed in turns, for bench_training."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiments.benchmarks import bench_worker as worker
from experiments.benchmarks.serving_contest import circumstances
from experiments.benchmarks.tiled_baseline import write_rows
from jd_tf.data.dataset import new_folder, seal, shard_name
from jd_tf.data.files import read_json, write_json, write_whole
from jd_tf.data.records import RequestWriter
from jd_tf.evaluation.pictures import new_panels, to_png
from jd_tf.schema import Behavior, IdColumn, Objective, Schema

RESULT_FILE = "bench_training.json"
SETTINGS_FILE = "settings.json"
PICTURE_FILE = "bench_training.png"
MEASURED = ("impressions_per_second", "step_ms", "peak_mib", "input_wait_share")


def hold_contest(
    output: str | Path,
    tables: Sequence[int],
    num_rounds: int,
    seconds: float,
    num_requests: int,
    popularity: float,
) -> dict[str, Any]:
    """Makes the data, times the systems in turn, writes the result.

    Returns:
        The content of `bench_training.json`: rows -> system -> figures.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    folders = {}
    for num_rows in tables:
        print(f"making data for {num_rows:,} rows", flush=True)
        folders[num_rows] = make_data(
            output / "data", num_rows, num_requests, popularity
        )
    runs: dict[tuple[int, str], list[dict[str, float]]] = {
        (rows, s): [] for rows in tables for s in worker.SYSTEMS
    }
    for number in range(num_rounds):
        for num_rows in tables:
            for system in worker.SYSTEMS:
                found = run_worker(system, folders[num_rows], num_rows, seconds)
                runs[num_rows, system].append(found)
                print(
                    f"round {number + 1}: {num_rows:,} rows, {system}: "
                    f"{found['impressions_per_second']:,.0f} impressions/s",
                    flush=True,
                )
    result = {
        str(rows): {s: summarise(runs[rows, s]) for s in worker.SYSTEMS}
        for rows in tables
    }
    draw(result, output / PICTURE_FILE)
    settings = {
        "rounds": num_rounds,
        "run_seconds": seconds,
        "requests": num_requests,
        "popularity": popularity,
        **_circumstances(),
    }
    write_json(output / SETTINGS_FILE, settings)
    write_json(output / RESULT_FILE, result)
    return result


def make_data(
    folder: Path, num_rows: int, num_requests: int, popularity: float
) -> Path:
    """Writes the same impressions as requests and as tiled rows, once.

    Ids run from 1 to `num_rows` - 1 and follow a power law of exponent
    `popularity`; each request has `NUM_CANDIDATES` impressions.
    """
    path = folder / f"{num_rows}-{num_requests}-{popularity:g}"
    if path.exists():
        return path
    schema = Schema(
        name="bench_training",
        item_columns=(IdColumn("item_id", num_buckets=num_rows),),
        behaviors=(Behavior("click", max_length=worker.MAX_LENGTH),),
        objectives=tuple(Objective(name) for name in worker.OBJECTIVES),
        max_candidates=worker.NUM_CANDIDATES,
    )
    requests = list(_requests(num_rows, num_requests, popularity))
    with new_folder(path) as aside:
        for shard in range(2):
            name = shard_name("train", shard, 2)
            with RequestWriter(aside / name, schema) as writer:
                for request in requests[shard::2]:
                    writer.write(request)
        seal(aside, schema)
        write_rows(aside / worker.TILED_FILE, requests)
    return path


def _requests(
    num_rows: int, num_requests: int, popularity: float
) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(11)

    def draw_ids(count: int) -> np.ndarray:
        # Inverse of the power law's distribution function, from 1 up.
        uniform = random.random(count)
        if popularity == 1.0:
            ids = np.exp(uniform * np.log(num_rows))
        else:
            power = 1.0 - popularity
            ids = (1 + uniform * (num_rows**power - 1)) ** (1 / power)
        return np.clip(ids.astype("int64"), 1, num_rows - 1)

    def draw_candidates(count: int) -> np.ndarray:
        # A request shows an item once; popular ones tend to come first.
        found: dict[int, None] = {}
        while len(found) < count:
            found |= dict.fromkeys(draw_ids(count).tolist())
        return np.array(list(found)[:count])

    candidates = worker.NUM_CANDIDATES
    for number in range(num_requests):
        ages = random.exponential(86_400.0, worker.MAX_LENGTH).cumsum()
        labels = random.random((candidates, 2)) < (0.1, 0.02)
        yield {
            "request_id": number,
            "user_id": number,
            "request_time": 0,
            "click_item_id": draw_ids(worker.MAX_LENGTH),
            "click_event_time": -ages.astype("int64"),
            "item_id": draw_candidates(candidates),
            "labels": labels.astype("float32"),
            "label_weights": np.ones((candidates, 2), "float32"),
        }


def run_worker(
    system: str, data_dir: Path, num_rows: int, seconds: float
) -> dict[str, float]:
    """Times one system in a fresh process."""
    result = data_dir / f".{system}.json"
    result.unlink(missing_ok=True)
    program = [sys.executable, "-m", "experiments.benchmarks.bench_worker"]
    arguments = map(str, (system, data_dir, num_rows, seconds, result))
    finished = subprocess.run(
        [*program, *arguments], capture_output=True, text=True, check=False
    )
    if finished.returncode or not result.exists():
        raise RuntimeError(
            f"{system} at {num_rows} rows ended with code "
            f"{finished.returncode}: {finished.stderr[-2000:]}"
        )
    found = read_json(result)
    result.unlink()
    return found


def summarise(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Returns medians over rounds, and their range."""
    rates = [run["impressions_per_second"] for run in runs]
    return {
        **{n: float(np.median([run[n] for run in runs])) for n in MEASURED},
        "spread": [min(rates), max(rates)],
        "rounds": len(runs),
        "num_weights": runs[0]["num_weights"],
    }


def table(result: dict[str, Any]) -> str:
    """Returns the result as text, with the ratios of both systems."""
    ours, theirs = worker.SYSTEMS
    lines = [
        f"{'rows':>10} {'system':>10} {'impressions/s':>14} "
        f"{'between':>17} {'step':>9} {'peak':>9} {'waiting':>8} {'ratio':>6}"
    ]
    for rows, systems in result.items():
        ratio = (
            systems[ours]["impressions_per_second"]
            / systems[theirs]["impressions_per_second"]
        )
        for system, figures in systems.items():
            low, high = figures["spread"]
            lines.append(
                f"{int(rows):>10,} {system:>10} "
                f"{figures['impressions_per_second']:>14,.0f} "
                f"{f'{low:,.0f}-{high:,.0f}':>17} "
                f"{figures['step_ms']:>6.1f} ms "
                f"{figures['peak_mib']:>5.0f} MiB "
                f"{figures['input_wait_share']:>8.1%} "
                + (f"{ratio:>5.1f}x" if system == ours else "")
            )
    if len(result) > 1:
        tables = list(result.values())
        growth = tables[-1][ours]["step_ms"] / tables[0][ours]["step_ms"]
        lines.append(
            f"our step at the last table takes {growth:.2f} times the step "
            "at the first"
        )
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws speed and step time over table rows."""
    rows = [int(text) for text in result]
    labels = {
        "jd_ranker": "jd_tf: one record a request",
        "keras_fit": "Keras fit: one row an impression",
    }
    titles = {
        "impressions_per_second": "impressions per second",
        "step_ms": "milliseconds per step of 512 impressions",
    }
    figure, panels = new_panels(list(titles.values()), 3.6)
    for name, title in titles.items():
        axis = panels[title]
        for system, label in labels.items():
            figures = [result[text][system][name] for text in result]
            axis.plot(rows, figures, marker="o", label=label)
        axis.set(xscale="log", yscale="log")
        axis.set_xlabel("rows of the item table")
        axis.legend(fontsize=8)
    write_whole(path, to_png(figure))


def _circumstances() -> dict[str, Any]:
    return {
        **circumstances(),
        "keras": keras.__version__,
        "batch_requests": worker.BATCH_REQUESTS,
        "batch_rows": worker.BATCH_ROWS,
        "candidates": worker.NUM_CANDIDATES,
        "max_length": worker.MAX_LENGTH,
        "embedding_dim": worker.EMBEDDING_DIM,
        **worker.SIZES,
    }
