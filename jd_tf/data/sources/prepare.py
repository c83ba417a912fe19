"""A log, or a simulated shop, becomes a data set folder."""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from jd_tf.data.dataset import new_folder, seal, shard_name
from jd_tf.data.records import RequestWriter
from jd_tf.data.sources import open_source
from jd_tf.data.sources.source import SPLITS, Source
from jd_tf.data.summary import write_summary
from jd_tf.schema import DataError

if TYPE_CHECKING:
    # Reading a log needs no simulator.
    from jd_tf.data.simulator.simulator import Simulator

SIMULATOR = "simulator"


def make_dataset(
    source: str,
    output_dir: str | Path,
    input_dir: str | Path | None = None,
    num_shards: int = 2,
    overwrite: bool = False,
    progress: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Makes a data set by the name of its source.

    Args:
        source: "simulator" or a key of `jd_tf.data.sources.SOURCES`.
        output_dir: the new folder.
        input_dir: folder of the log; none for the simulator.
        num_shards: files per split.
        overwrite: replace an existing folder.
        progress: whether to show a progress bar.
        **options: of the source, or fields of `SimulatorConfig`.

    Returns:
        The summary; see `jd_tf.data.summary`.

    Raises:
        DataError: if anything is wrong; then nothing is written.
    """
    if num_shards < 1:
        raise DataError(f"`num_shards` must be at least 1. Got: {num_shards}.")
    if source != SIMULATOR:
        if input_dir is None:
            raise DataError(f"source `{source}` needs the folder of its log.")
        log = open_source(source, input_dir, **options)
        return prepare(log, output_dir, num_shards, overwrite, progress)
    if input_dir is not None:
        raise DataError(f"the simulator reads nothing. Got: {input_dir}.")
    from jd_tf.data.simulator.config import SimulatorConfig
    from jd_tf.data.simulator.simulator import Simulator

    known = [field.name for field in dataclasses.fields(SimulatorConfig)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DataError(
            f"the simulator has no option `{unknown[0]}`. It has: "
            f"{', '.join(known)}."
        )
    simulator = Simulator(SimulatorConfig(**options))
    return simulate(simulator, output_dir, num_shards, overwrite, progress)


def prepare(
    source: Source,
    output_dir: str | Path,
    num_shards: int = 2,
    overwrite: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Writes a log as shards with schema, manifest and summary, atomically.

    Args:
        source: the log.
        output_dir: the new folder.
        num_shards: files per split.
        overwrite: replace an existing folder.
        progress: whether to show a progress bar.

    Returns:
        The summary; see `jd_tf.data.summary`.

    Raises:
        DataError: if the log cannot be read, or a split stays empty.
    """
    schema = source.schema
    with new_folder(output_dir, overwrite) as folder:
        counts = dict.fromkeys(SPLITS, 0)
        with contextlib.ExitStack() as stack:
            writers = {
                split: [
                    stack.enter_context(
                        RequestWriter(
                            folder / shard_name(split, shard, num_shards),
                            schema,
                        )
                    )
                    for shard in range(num_shards)
                ]
                for split in SPLITS
            }
            requests = tqdm(
                source.requests(),
                desc=f"reading {source.name}",
                unit=" requests",
                disable=not progress,
            )
            for split, request in requests:
                try:
                    writers[split][counts[split] % num_shards].write(request)
                except DataError as error:
                    source.report.tolerate(error)
                else:
                    counts[split] += 1
        _check_splits(source, counts)
        seal(folder, schema)
        return write_summary(folder, source.report.to_json())


def simulate(
    simulator: "Simulator",
    output_dir: str | Path,
    num_shards: int = 2,
    overwrite: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Writes a simulated shop with a summary, atomically.

    Args:
        simulator: the shop.
        output_dir: the new folder.
        num_shards: files per split.
        overwrite: replace an existing folder.
        progress: whether to show a progress bar.

    Returns:
        The summary; see `jd_tf.data.summary`.
    """
    with new_folder(output_dir, overwrite) as folder:
        # Its writer makes a folder of its own; the summary must be in it
        # before anyone sees it.
        inner = folder / "data"
        simulator.write(inner, num_shards=num_shards, progress=progress)
        for path in inner.iterdir():
            os.rename(path, folder / path.name)
        inner.rmdir()
        return write_summary(folder)


def _check_splits(source: Source, counts: dict[str, int]) -> None:
    empty = [split for split, count in counts.items() if not count]
    if empty:
        found = ", ".join(f"{n} {split}" for split, n in counts.items())
        why = "; ".join(f"{k}: {n}" for k, n in source.report.counts.items())
        raise DataError(
            f"{source.input_dir}: no requests for the {empty[0]} split "
            f"({found}). The log is too small for its shares, or most of it "
            f"was left out: {why}."
        )
