"""Says what is wrong with a version folder of any model."""

from pathlib import Path

from jd_tf.data.json_files import read_json
from jd_tf.schema import DataError
from jd_tf.serving.export.comparison import TOLERANCE
from jd_tf.serving.export.findings import Findings
from jd_tf.serving.export.folder_check import missing_shards
from jd_tf.serving.export.graph_check import (
    read_graph,
    refused_ops,
    unbatchable,
)
from jd_tf.serving.export.image_signature import IMAGE_SIGNATURES
from jd_tf.serving.export.image_verify import examine_image_tower
from jd_tf.serving.export.model_card import CARD_FILE, changed_files
from jd_tf.serving.export.signature_table import signature_table
from jd_tf.serving.export.verify import examine
from jd_tf.serving.export.versions import SCHEMA_FILE, is_version


def inspect_version(
    folder: str | Path, tolerance: float | None = None
) -> list[str]:
    """Checks a version folder of a ranker or an image tower.

    Args:
        folder: `<saved models>/<model>/<version>`.
        tolerance: the largest relative difference between recorded and
            reloaded answers; by default what the folder's card was written
            with.

    Returns:
        All that is wrong with it, a line each; nothing if it may be served.
    """
    folder, findings = Path(folder), Findings()
    if not folder.is_dir():
        return [f"{folder}: no such folder."]
    if not is_version(folder.resolve().name):
        findings.add(
            f"{folder}: a model server reads folders named by a number; it "
            "ignores this one."
        )
    if tolerance is None:
        tolerance = TOLERANCE
        with findings.gather():
            tolerance = written_tolerance(folder)
    if _is_image_tower(folder):
        examine_image_tower(folder, findings, tolerance)
    else:
        examine(folder, findings, tolerance)
    return findings.messages


def inspect_files(folder: str | Path) -> list[str]:
    """Checks what can be checked of a version without loading it.

    Args:
        folder: as of `inspect_version`.

    Returns:
        What is wrong with files, graph, ops and batching, a line each.
    """
    folder, findings = Path(folder), Findings()
    if not folder.is_dir():
        return [f"{folder}: no such folder."]
    with findings.gather():
        findings.extend(changed_files(folder))
        findings.extend(missing_shards(folder))
        graph = read_graph(folder)
        findings.extend(unbatchable(signature_table(graph)))
        findings.extend(f"{op} {why}" for op, why in refused_ops(graph).items())
    return findings.messages


def written_tolerance(folder: Path) -> float:
    """What an export was verified with, if its card says so."""
    if not (folder / CARD_FILE).is_file():
        return TOLERANCE
    card = read_json(folder / CARD_FILE)
    return float(card.get("verification", {}).get("tolerance", TOLERANCE))


def _is_image_tower(folder: Path) -> bool:
    """Whether its signatures are a tower's; told by the schema if unread."""
    try:
        return set(IMAGE_SIGNATURES) <= set(read_graph(folder).signature_def)
    except DataError:
        return not (folder / SCHEMA_FILE).is_file()
