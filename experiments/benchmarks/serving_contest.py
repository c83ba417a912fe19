"""Runs the contest of bench_serving and draws it."""

import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from experiments.benchmarks.serving_ways import WAYS, Call, ServingWays
from jd_tf.data.files import write_json, write_whole
from jd_tf.evaluation.pictures import new_panels, to_png
from jd_tf.schema import DataError, Schema
from jd_tf.serving.client.errors import ClientError

RESULT_FILE = "bench_serving.json"
LOAD_FILE = "concurrency.json"
SETTINGS_FILE = "settings.json"
PICTURE_FILE = "bench_serving.png"
# Scores of all ways agree to this, relative to the largest.
_TOLERANCE = 1e-4
# A way that is slow gets fewer calls, but never fewer than one a round.
_SECONDS_A_TURN = 0.25
_LOADED_WAYS = ("one_call", "cached_state")
Timings = dict[str, dict[int, dict[str, list[float]]]]


def hold_contest(
    calls: Mapping[str, Call],
    schema: Schema,
    nums_candidates: Sequence[int],
    num_rounds: int,
    slice_size: int,
    num_users: int,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Times every way with every number of candidates, in turns.

    Args:
        calls: "in_process", "grpc" -> how to ask the same model.
        schema: of the model.
        nums_candidates: N, one after the other in every round.
        num_rounds: turns that each way gets.
        slice_size: candidates a slice.
        num_users: users in one batch.
        log: gets a line for each step.

    Returns:
        What `bench_serving.json` holds: transport -> N -> `p50_ms`, `p99_ms`,
        `calls`, `largest_difference` -> way -> number. "batched_users" is per
        user.

    Raises:
        DataError: if two ways disagree about a score.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ways = {
            (transport, count): ServingWays(
                call, schema, count, slice_size, num_users, pool
            )
            for transport, call in calls.items()
            for count in nums_candidates
        }
        differences = {key: _check(*key, asked) for key, asked in ways.items()}
        times = {key: {way: [] for way in WAYS} for key in ways}
        for number in range(num_rounds):
            for key, asked in ways.items():
                for way in WAYS:
                    times[key][way] += _turn(asked.ways[way])
            log(f"round {number + 1} of {num_rounds}")
    result: dict[str, Any] = {transport: {} for transport in calls}
    for (transport, count), by_way in times.items():
        per_user = {
            way: np.array(seconds)
            * 1e3
            / (num_users if way == "batched_users" else 1)
            for way, seconds in by_way.items()
        }
        result[transport][str(count)] = {
            "p50_ms": {w: float(np.median(t)) for w, t in per_user.items()},
            "p99_ms": {
                w: float(np.percentile(t, 99)) for w, t in per_user.items()
            },
            "calls": {w: len(t) for w, t in per_user.items()},
            "largest_difference": differences[transport, count],
        }
    return result


def _check(transport: str, count: int, asked: ServingWays) -> dict[str, float]:
    """Calls every way once, and compares scores."""
    expected = np.asarray(asked.ways["one_call"](), np.float64)
    largest = max(float(np.abs(expected).max()), 1e-12)
    found = {}
    for way, ask in asked.ways.items():
        difference = float(np.abs(ask() - expected).max()) / largest
        if not difference <= _TOLERANCE:
            raise DataError(
                f"{transport}, {count} candidates: `{way}` scores differ from "
                f"one call's by {difference:.2g} of the largest."
            )
        found[way] = difference
    return found


def _turn(ask: Callable[[], Any]) -> list[float]:
    """Seconds of a few calls in a row."""
    seconds, began = [], time.perf_counter()
    while not seconds or time.perf_counter() - began < _SECONDS_A_TURN:
        start = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - start)
    return seconds


def load_test(
    calls: Mapping[str, Call],
    schema: Schema,
    num_candidates: int,
    levels: Sequence[int],
    seconds: float,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Calls a second when several callers ask at once.

    Args:
        calls: as for `hold_contest`.
        schema: of the model.
        num_candidates: N.
        levels: numbers of callers.
        seconds: of each measurement.
        log: gets a line for each step.

    Returns:
        transport -> way -> callers -> `calls_per_second`, `p50_ms`, `p99_ms`
        of the calls that were answered, and `failed`, how many others were
        not.
    """
    found: dict[str, Any] = {}
    with ThreadPoolExecutor(1) as pool:
        for transport, call in calls.items():
            asked = ServingWays(
                call, schema, num_candidates, num_candidates, 1, pool
            )
            found[transport] = {way: {} for way in _LOADED_WAYS}
            for level in levels:
                failed = 0
                for way in _LOADED_WAYS:
                    measured = _callers(asked.ways[way], level, seconds)
                    found[transport][way][str(level)] = measured
                    failed += measured["failed"]
                log(f"{transport}: {level} callers, {failed} calls failed")
    return found


def _callers(
    ask: Callable[[], Any], level: int, seconds: float
) -> dict[str, float]:
    times: list[list[float]] = [[] for _ in range(level)]
    barrier, broken, failed = threading.Barrier(level), [], []
    until = [0.0]

    def run(own: list[float]) -> None:
        try:
            if barrier.wait() == 0:
                until[0] = time.perf_counter() + seconds
            barrier.wait()
            while (start := time.perf_counter()) < until[0]:
                try:
                    ask()
                except ClientError as error:
                    failed.append(error)
                else:
                    own.append(time.perf_counter() - start)
        except Exception as error:
            broken.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(own,)) for own in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = np.array([one for own in times for one in own]) * 1e3
    if broken or not len(every):
        raise (broken or failed)[0]
    return {
        "calls_per_second": len(every) / seconds,
        "p50_ms": float(np.median(every)),
        "p99_ms": float(np.percentile(every, 99)),
        "failed": len(failed),
    }


def write_results(
    output: str | Path,
    result: Mapping[str, Any],
    load: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Writes the files and the picture.

    Args:
        output: folder, made if need be.
        result: of `hold_contest`.
        load: of `load_test`.
        settings: what else matters.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / RESULT_FILE, dict(result))
    write_json(output / LOAD_FILE, dict(load))
    write_json(output / SETTINGS_FILE, {**settings, **circumstances()})
    _draw(result, load, output / PICTURE_FILE)


def circumstances() -> dict[str, Any]:
    """Returns what the speed of this process depends on."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
    }


def table(result: Mapping[str, Any]) -> str:
    """Medians, and how many times faster than tiling, as text."""
    lines = [
        f"{'transport':12}{'N':>6}  " + "".join(f"{way:>26}" for way in WAYS)
    ]
    for transport, by_count in result.items():
        for count, found in by_count.items():
            tiled = found["p50_ms"]["tiled"]
            cells = "".join(
                f"{found['p50_ms'][way]:9.2f} ms"
                f" {tiled / found['p50_ms'][way]:6.1f}x"
                f" {found['p99_ms'][way]:6.1f}"
                for way in WAYS
            )
            lines.append(f"{transport:12}{count:>6}  {cells}")
    lines.append("median, times faster than tiled, 99th percentile (ms)")
    return "\n".join(lines)


def _draw(
    result: Mapping[str, Any], load: Mapping[str, Any], path: Path
) -> None:
    titles = {name: name.replace("_", " ") for name in result}
    names = [f"{one}: median, dotted p99" for one in titles.values()]
    if load:
        names += [f"{one}: throughput" for one in titles.values()]
    figure, panels = new_panels(names, 3.8, len(result))
    for transport, by_count in result.items():
        axes = panels[f"{titles[transport]}: median, dotted p99"]
        counts = [int(count) for count in by_count]
        for way in WAYS:
            medians = [found["p50_ms"][way] for found in by_count.values()]
            tails = [found["p99_ms"][way] for found in by_count.values()]
            (line,) = axes.plot(
                counts, medians, marker="o", label=way.replace("_", " ")
            )
            axes.plot(counts, tails, ":", color=line.get_color(), lw=1)
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="candidates",
            ylabel="milliseconds a user",
        )
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.legend(fontsize=8)
        if not load:
            continue
        axes = panels[f"{titles[transport]}: throughput"]
        for way, by_level in load[transport].items():
            levels = [int(level) for level in by_level]
            rates = [f["calls_per_second"] for f in by_level.values()]
            axes.plot(levels, rates, marker="o", label=way.replace("_", " "))
        axes.set(
            xscale="log",
            xlabel="callers at once",
            ylabel="calls a second",
            ylim=(0, None),
        )
        axes.set_xticks(levels, [str(level) for level in levels])
        axes.minorticks_off()
        axes.legend(fontsize=8)
    write_whole(path, to_png(figure))
