"""Shards of a simulated shop, written by several processes."""

import pickle
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jd_tf.data.dataset import shard_name
from jd_tf.data.processes import unordered_map
from jd_tf.data.records import RequestWriter
from jd_tf.data.simulator.block_requests import (
    BlockRequests,
    ItemCounters,
    Tally,
    tally,
)
from jd_tf.data.simulator.product_photos import write_photos
from jd_tf.data.simulator.simulator import Simulator

_COUNTERS_FILE = "counters.npy"


def write_simulated(
    simulator: Simulator,
    folder: Path,
    num_shards: int,
    num_processes: int = 2,
    progress: bool = True,
) -> None:
    """Simulates all splits; writes their shards and, if asked, photos.

    Blocks of users are simulated first and kept beside the shards. Nothing
    depends on which process does what; one process is this one.
    """
    config = simulator.config

    def run(work: Callable, tasks: list, title: str, unit: str) -> Iterable:
        done = spread(work, tasks)
        return tqdm(done, title, len(tasks), disable=not progress, unit=unit)

    with (
        unordered_map(num_processes) as spread,
        tempfile.TemporaryDirectory(prefix=".logs.", dir=folder) as kept,
    ):
        blocks = [(simulator, b, kept) for b in range(config.num_blocks)]
        tallies = run(_simulate, blocks, "simulate", "block")
        totals = ItemCounters.of(config, tallies).totals
        np.save(Path(kept) / _COUNTERS_FILE, totals)
        shards = [
            (simulator, split, shard, num_shards, kept, folder)
            for split in config.split_times
            for shard in range(num_shards)
        ]
        for _ in run(_write_shard, shards, "write", "shard"):
            pass
        if config.photos:
            write_photos(simulator.catalogue, config.seed, folder, run)


def _simulate(task: tuple[Simulator, int, str]) -> Tally:
    """Keeps one block's log in a file and returns its tally."""
    simulator, block, kept = task
    log = simulator.simulate_block(block)
    _log_file(kept, block).write_bytes(pickle.dumps(log))
    return tally(simulator.config, log.exposures)


def _write_shard(task: tuple[Simulator, str, int, int, str, Path]) -> None:
    simulator, split, shard, num_shards, kept, folder = task
    totals = np.load(Path(kept) / _COUNTERS_FILE, mmap_mode="r")
    counters = ItemCounters(simulator.config, totals)
    builder = BlockRequests(simulator.behavior, simulator.catalogue, counters)
    path = folder / shard_name(split, shard, num_shards)
    with RequestWriter(path, simulator.schema) as writer:
        for block in range(simulator.config.num_blocks):
            log = pickle.loads(_log_file(kept, block).read_bytes())
            rows = simulator.rows_of(log, split)[shard::num_shards]
            for request in builder.build(log, rows):
                writer.write(request)


def _log_file(kept: str, block: int) -> Path:
    return Path(kept) / f"block-{block:06d}.pickle"
