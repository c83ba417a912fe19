"""Checks that hold for the version folder of any model."""

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jd_tf.schema import DataError
from jd_tf.serving.export.batching_parameters import (
    BATCHING_FILE,
    read_batching,
)
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.model_card import changed_files
from jd_tf.serving.export.recordings import (
    MAX_WARMUP_RECORDS,
    WARMUP_FILE,
    Recording,
    read_recordings,
)
from jd_tf.serving.export.signature_table import signature_table
from jd_tf.serving.export.verification.graph_check import (
    batching_errors,
    count_ops,
    read_graph,
    refused_ops,
)

_SHARD = re.compile(r"variables\.data-(\d+)-of-(\d+)")


@contextlib.contextmanager
def gathered(errors: list[str]) -> Iterator[None]:
    """Appends the message of a `DataError` instead of raising it."""
    try:
        yield
    except DataError as error:
        errors.append(str(error))


@dataclasses.dataclass
class CheckedFolder:
    """Contents of a version folder.

    Attributes:
        table: as of `signature_table`.
        ops: nodes by op.
        batch_sizes: those that the batching file allows.
        recordings: the warm-up calls.
        model: None if it cannot be loaded.
    """

    table: dict[str, Any]
    ops: dict[str, int]
    batch_sizes: tuple[int, ...] = ()
    recordings: list[Recording] = dataclasses.field(default_factory=list)
    model: LoadedModel | None = None


def check_folder(folder: Path, errors: list[str]) -> CheckedFolder:
    """Checks files, graph, batching and warm-up calls, and loads the model.

    Args:
        folder: of one version.
        errors: all error messages are appended to it.

    Raises:
        ExportError: if there is not even a graph.
    """
    errors += changed_files(folder)
    graph = read_graph(folder)
    refused = sorted(refused_ops(graph).items())
    errors += (
        f"a stock model server cannot run this graph: {op} {reason}"
        for op, reason in refused
    )
    checked = CheckedFolder(signature_table(graph), count_ops(graph))
    errors += [*batching_errors(checked.table), *missing_shards(folder)]
    with gathered(errors):
        checked.batch_sizes = read_batching(folder / BATCHING_FILE)
    with gathered(errors):
        checked.recordings = list(read_recordings(folder / WARMUP_FILE))
        errors += _recording_errors(folder / WARMUP_FILE, checked)
    if not refused:
        with gathered(errors):
            checked.model = LoadedModel(folder)
    return checked


def missing_shards(folder: Path) -> Iterable[str]:
    """Yields an error for each missing file of variables."""
    variables = folder / "variables"
    if not (variables / "variables.index").is_file():
        yield f"{folder}: has no variables. Export again."
        return
    shards = [_SHARD.fullmatch(path.name) for path in variables.iterdir()]
    there = {(int(m[1]), int(m[2])) for m in shards if m}
    count = max((of for _, of in there), default=1)
    for number in range(count):
        if (number, count) not in there:
            yield (
                f"{variables}: part {number} of {count} of the variables is "
                "missing. Copy or export the version again."
            )


def coverage_errors(
    checked: CheckedFolder, signatures: Iterable[str]
) -> Iterable[str]:
    """Yields signatures and batch sizes that no recorded call warms up."""
    for signature in signatures:
        sizes = {
            len(array)
            for recording in checked.recordings
            if recording.signature == signature
            for array in recording.inputs.values()
        }
        missing = sorted(set(checked.batch_sizes) - sizes)
        if not sizes:
            yield f"{WARMUP_FILE}: no call of signature `{signature}`."
        elif missing:
            yield (
                f"{WARMUP_FILE}: signature `{signature}` is not warmed up for "
                f"batches of {', '.join(map(str, missing))}, which "
                f"{BATCHING_FILE} allows."
            )


def _recording_errors(path: Path, checked: CheckedFolder) -> Iterable[str]:
    count = len(checked.recordings)
    if not count:
        yield f"{path}: holds no calls."
    if count > MAX_WARMUP_RECORDS:
        yield (
            f"{path}: {count} calls; a model server refuses a version with "
            f"more than {MAX_WARMUP_RECORDS}."
        )
    for number, recording in enumerate(checked.recordings):
        if recording.signature not in checked.table:
            yield (
                f"{path}: record {number} calls signature "
                f"`{recording.signature}`, which does not exist: a model "
                "server would refuse the version."
            )
