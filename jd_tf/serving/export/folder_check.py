"""What any version folder must be, whatever model it holds."""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.batching_parameters import (
    BATCHING_FILE,
    read_batching,
)
from jd_tf.serving.export.findings import Findings
from jd_tf.serving.export.graph_check import (
    count_ops,
    read_graph,
    refused_ops,
    unbatchable,
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

_SHARD = re.compile(r"variables\.data-(\d+)-of-(\d+)")


@dataclasses.dataclass(frozen=True)
class CheckedFolder:
    """What was found in a folder.

    Attributes:
        table: see `signature_table`.
        ops: nodes by op.
        recordings: the warm-up calls.
        batch_sizes: allowed by the batching file.
        model: None if it cannot be loaded.
    """

    table: dict[str, Any]
    ops: dict[str, int]
    recordings: list[Recording]
    batch_sizes: tuple[int, ...]
    model: LoadedModel | None


def check_folder(folder: Path, findings: Findings) -> CheckedFolder:
    """Checks files, graph, batching and warm-up calls of a version folder.

    Args:
        folder: of one version.
        findings: is told all that is wrong.

    Raises:
        ExportError: if there is not even a graph.
    """
    findings.extend(changed_files(folder))
    graph = read_graph(folder)
    refused = sorted(refused_ops(graph).items())
    findings.extend(
        f"a stock model server cannot run this graph: {op} {reason}"
        for op, reason in refused
    )
    table = signature_table(graph)
    findings.extend(unbatchable(table))
    findings.extend(missing_shards(folder))
    batch_sizes: tuple[int, ...] = ()
    with findings.gather():
        batch_sizes = read_batching(folder / BATCHING_FILE)
    recordings: list[Recording] = []
    with findings.gather():
        recordings = list(read_recordings(folder / WARMUP_FILE))
        findings.extend(_warmup_complaints(folder, recordings, table))
    model = None
    if not refused:
        with findings.gather():
            model = LoadedModel(folder)
    return CheckedFolder(
        table, count_ops(graph), recordings, batch_sizes, model
    )


def missing_shards(folder: Path) -> Iterable[str]:
    """Complaints about files of variables that are not there."""
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


def replay(
    checked: CheckedFolder, recording: Recording
) -> dict[str, np.ndarray]:
    """Calls what was recorded, with the reloaded model.

    Raises:
        ExportError: if the model fails, or could not be loaded.
    """
    if checked.model is None:
        raise ExportError("could not be loaded.")
    return checked.model.call(recording.signature, recording.inputs)


def check_coverage(
    recordings: Iterable[Recording],
    signatures: Iterable[str],
    batch_sizes: Iterable[int],
) -> Iterable[str]:
    """Complaints about signatures and batch sizes that no call warms up."""
    sizes: dict[str, set[int]] = {name: set() for name in signatures}
    for recording in recordings:
        if recording.signature in sizes:
            rows = {len(array) for array in recording.inputs.values()}
            sizes[recording.signature] |= rows
    for signature, found in sizes.items():
        if not found:
            yield f"{WARMUP_FILE}: no call of signature `{signature}`."
            continue
        missing = sorted(set(batch_sizes) - found)
        if missing:
            yield (
                f"{WARMUP_FILE}: signature `{signature}` is not warmed up for "
                f"batches of {', '.join(map(str, missing))}, which "
                f"{BATCHING_FILE} allows."
            )


def _warmup_complaints(
    folder: Path, recordings: list[Recording], table: dict[str, Any]
) -> Iterable[str]:
    path = folder / WARMUP_FILE
    if not recordings:
        yield f"{path}: holds no calls."
    if len(recordings) > MAX_WARMUP_RECORDS:
        yield (
            f"{path}: {len(recordings)} calls; a model server refuses a "
            f"version with more than {MAX_WARMUP_RECORDS}."
        )
    for number, recording in enumerate(recordings):
        if recording.signature not in table:
            yield (
                f"{path}: record {number} calls signature "
                f"`{recording.signature}`, which there is not: a model server "
                "would refuse the version."
            )
