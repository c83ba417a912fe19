"""Writes a simulated shop as a data set, on several processes."""

import contextlib
import multiprocessing
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jd_tf.data.dataset import SUMMARY_FILE, new_folder, seal, shard_name
from jd_tf.data.json_files import write_json
from jd_tf.data.records import RequestWriter
from jd_tf.data.simulator.block_log import BlockLog
from jd_tf.data.simulator.counters import ItemCounters, tally
from jd_tf.data.simulator.photos import write_photos
from jd_tf.data.simulator.simulator import Simulator

_COUNTERS_FILE = "counters.npy"


def write_simulated(
    simulator: Simulator,
    output_dir: str | Path,
    num_processes: int = 2,
    num_shards: int = 4,
    progress: bool = True,
    overwrite: bool = False,
    summary: dict[str, Any] | None = None,
) -> dict[str, int]:
    """Simulates and writes all splits, whole or not at all.

    Blocks of users are simulated first and kept beside the shards; then the
    shards are written, each with its share of every block. Neither step
    depends on which process does it.

    Args:
        simulator: the shop.
        output_dir: the new folder.
        num_processes: processes that share the work; 1 uses none but this.
        num_shards: files a split.
        progress: whether to show a bar.
        overwrite: replace an existing folder.
        summary: written to `summary.json`, if given.

    Returns:
        Requests per split.
    """
    config = simulator.config
    counts = dict.fromkeys(config.split_times, 0)
    with (
        new_folder(output_dir, overwrite) as folder,
        _workers(num_processes) as run,
    ):
        with tempfile.TemporaryDirectory(prefix=".logs.", dir=folder) as kept:
            tasks = [
                (simulator, block, kept) for block in range(config.num_blocks)
            ]
            bar = {"disable": not progress, "unit": "block"}
            counters = ItemCounters.of(
                config,
                tqdm(run(_simulate, tasks), "simulate", len(tasks), **bar),
            )
            np.save(Path(kept) / _COUNTERS_FILE, counters.totals)
            shards = [
                (simulator, split, shard, num_shards, kept, folder)
                for split in config.split_times
                for shard in range(num_shards)
            ]
            bar["unit"] = "shard"
            for split, count in tqdm(
                run(_write_shard, shards), "write", len(shards), **bar
            ):
                counts[split] += count
        if simulator.config.photos:
            write_photos(simulator, folder, run, progress)
        if summary is not None:
            write_json(folder / SUMMARY_FILE, summary)
        seal(folder, simulator.schema())
    return counts


@contextlib.contextmanager
def _workers(
    num_processes: int,
) -> Iterator[Callable[[Callable, Iterable], Iterable]]:
    """Yields a map that works in this process or in several, unordered."""
    if num_processes == 1:
        yield map
        return
    # TensorFlow has threads, which do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(num_processes) as pool:
        yield pool.imap_unordered


def _simulate(task: tuple[Simulator, int, str]) -> tuple[np.ndarray, ...]:
    """Keeps one block's log in a file and returns its tally."""
    simulator, block, kept = task
    log = simulator.simulate_block(block)
    with _log_file(kept, block).open("wb") as file:
        pickle.dump(log, file, protocol=pickle.HIGHEST_PROTOCOL)
    return tally(simulator.config, log.exposures)


def _write_shard(
    task: tuple[Simulator, str, int, int, str, Path],
) -> tuple[str, int]:
    """Writes one shard; returns its split and how many requests it holds."""
    simulator, split, shard, num_shards, kept, folder = task
    totals = np.load(Path(kept) / _COUNTERS_FILE, mmap_mode="r")
    builder = simulator.builder(ItemCounters(simulator.config, totals))
    path = folder / shard_name(split, shard, num_shards)
    with RequestWriter(path, simulator.schema()) as writer:
        for block in range(simulator.config.num_blocks):
            with _log_file(kept, block).open("rb") as file:
                log: BlockLog = pickle.load(file)
            rows = simulator.rows_of(log, split)[shard::num_shards]
            for request in builder.build(log, rows):
                writer.write(request)
        return split, writer.num_requests


def _log_file(kept: str, block: int) -> Path:
    return Path(kept) / f"block-{block:06d}.pickle"
