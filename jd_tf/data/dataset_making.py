"""Data set folders from logs and from the simulated shop."""

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from jd_tf.data.dataset import SplitWriter, new_folder, seal
from jd_tf.data.files import write_json
from jd_tf.data.log_report import SPLITS
from jd_tf.data.sources import open_source
from jd_tf.data.sources.source import Source, check_options
from jd_tf.data.summary import write_summary
from jd_tf.data.suspicions import Suspicions
from jd_tf.data.tables.config_reading import LOGS, read_config
from jd_tf.schema import DataError

if TYPE_CHECKING:
    # Reading a log needs no simulator.
    from jd_tf.data.simulator import Simulator

SIMULATOR, TABLES = "simulator", "tables"
_NUM_SHARDS = 2
_OF_TABLES = (
    "engine",
    "master",
    "memory_limit",
    "statistics_delay",
    "max_bad_records",
)


def make_dataset(
    source: "str | Source | Simulator",
    output_dir: str | Path,
    input_dir: str | Path | None = None,
    num_shards: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
    num_processes: int = 2,
    **options: Any,
) -> dict[str, Any]:
    """Makes a data set: shards, schema, manifest and summary, atomically.

    Args:
        source: "simulator", "tables", a name in `LOGS` of the configurations
            of public logs, a key of `jd_tf.data.SOURCES`, or an open source or
            simulator.
        output_dir: the new folder.
        input_dir: folder of the log; none for the simulator. That of tables is
            by default the configuration's.
        num_shards: files per split; by default 2, of tables one for a million
            events.
        overwrite: replaces an existing folder.
        progress: shows a progress bar.
        num_processes: processes of the simulator, and with tables.
        **options: of the source, fields of `SimulatorConfig`, or, of tables
            and `LOGS`, `engine`, `master`, `memory_limit`, `statistics_delay`,
            `max_bad_records`, and of tables `config`: the YAML file.

    Returns:
        The summary; see `jd_tf.data.summary`.

    Raises:
        DataError: if an option is wrong, the log cannot be read, or a split
            stays empty; then nothing is written.

    Example:
        >>> import tempfile
        >>> from jd_tf.data import make_dataset
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     summary = make_dataset(
        ...         "simulator",
        ...         f"{folder}/shop",
        ...         num_processes=1,
        ...         num_users=20,
        ...         num_items=100,
        ...         num_requests=300,
        ...     )
        >>> sorted(summary["splits"])
        ['test', 'train', 'validation']
    """
    if num_shards is not None and num_shards < 1:
        raise DataError(f"`num_shards` must be at least 1. Got: {num_shards}.")
    if isinstance(source, str) and source in (TABLES, *LOGS):
        return _make_from_tables(
            source,
            output_dir,
            input_dir,
            options,
            num_shards=num_shards or 0,
            overwrite=overwrite,
            progress=progress,
            num_processes=num_processes,
        )
    num_shards = num_shards or _NUM_SHARDS
    if source == SIMULATOR:
        if input_dir is not None:
            raise DataError(f"the simulator reads nothing. Got: {input_dir}.")
        from jd_tf.data.simulator import Simulator, SimulatorConfig

        known = [field.name for field in dataclasses.fields(SimulatorConfig)]
        check_options("the simulator", options, known)
        source = Simulator(SimulatorConfig(**options))
    elif isinstance(source, str):
        if input_dir is None:
            raise DataError(f"source `{source}` needs the folder of its log.")
        source = open_source(source, input_dir, **options)
    elif input_dir is not None or options:
        raise DataError(
            "an open source takes no `input_dir` and no options. Got: "
            f"{input_dir} and {sorted(options)}."
        )
    with new_folder(output_dir, overwrite) as folder:
        report, warnings = None, []
        if isinstance(source, Source):
            warnings = _write_log(source, folder, num_shards, progress)
            report = source.report.to_json()
        else:
            from jd_tf.data.simulator.shard_writing import write_simulated
            from jd_tf.data.simulator.simulator import SHOP_FILE

            write_simulated(source, folder, num_shards, num_processes, progress)
            write_json(folder / SHOP_FILE, source.to_json())
        seal(folder, source.schema)
        return write_summary(folder, report, warnings)


def _make_from_tables(
    source: str,
    output_dir: str | Path,
    input_dir: str | Path | None,
    options: dict[str, Any],
    **others: Any,
) -> dict[str, Any]:
    # Other sources need no Ibis.
    from jd_tf.data.tables.making import make_from_tables

    config = source
    if source == TABLES:
        check_options("source `tables`", options, ["config", *_OF_TABLES])
        if "config" not in options:
            raise DataError(
                "source `tables` reads what the YAML file --config names."
            )
        config = options.pop("config")
    else:
        check_options(f"source `{source}`", options, [*_OF_TABLES])
    delay = options.pop("statistics_delay", None)
    declared = read_config(config, input_dir, statistics_delay=delay)
    return make_from_tables(declared, output_dir, **options, **others)


def _write_log(
    source: Source, folder: Path, num_shards: int, progress: bool
) -> list[str]:
    """Writes the shards; returns what is suspicious in them."""
    suspicions = Suspicions(source.schema)
    with contextlib.ExitStack() as stack:
        writers = {
            split: stack.enter_context(
                SplitWriter(
                    folder, split, num_shards, source.schema, suspicions
                )
            )
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
                writers[split].write(request)
            except DataError as error:
                source.report.tolerate(error)
    counts = {split: writers[split].num_requests for split in SPLITS}
    empty = [split for split, count in counts.items() if not count]
    if empty:
        found = ", ".join(f"{n} {split}" for split, n in counts.items())
        why = "; ".join(f"{k}: {n}" for k, n in source.report.counts.items())
        raise DataError(
            f"{source.input_dir}: no requests for the {empty[0]} split "
            f"({found}). The log is too small for its shares, or most of it "
            f"was left out: {why}."
        )
    return suspicions.lines()
