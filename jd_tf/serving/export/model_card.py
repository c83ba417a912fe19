"""What a version folder says about itself, to programs and to people."""

import dataclasses
import datetime
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jd_tf.data.json_files import read_json, write_json
from jd_tf.schema import Schema
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.versions import GRAPH_FILE

CARD_FILE = "model_card.json"
READABLE_FILE = "model_card.md"

_SHOWN = ("auc", "gauc", "ndcg@10", "log_loss", "normalized_entropy")
_PACKAGES = ("tensorflow", "keras", "numpy", "jd_tf")


def write_card(
    folder: Path,
    model: Any,
    name: str,
    schema: Schema,
    report: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    precision: Mapping[str, Any] | None = None,
) -> None:
    """Writes `model_card.json` and `model_card.md` into a version folder.

    Args:
        folder: otherwise finished.
        model: the live model.
        name: of the model.
        schema: its columns.
        report: what `verify` found.
        metrics: split -> system -> objective -> metric, if evaluated.
        precision: what was rounded and what that costs; None for nothing.
    """
    config = getattr(model, "config", None)
    report = dict(report)
    files = list_files(folder)
    card = {
        "model": name,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(
            timespec="seconds"
        ),
        "class": type(model).__name__,
        "num_parameters": model.count_params(),
        "schema": schema.to_json(),
        "config": dataclasses.asdict(config)
        if dataclasses.is_dataclass(config)
        else None,
        "metrics": metrics,
        "git": git_state(Path(__file__).parent),
        "versions": {
            "python": ".".join(map(str, sys.version_info[:3])),
            **{package: _version(package) for package in _PACKAGES},
        },
        "signatures": report.pop("signatures"),
        "size": size_of(files, report["ops"]),
        "precision": precision,
        "ops": report.pop("ops"),
        "verification": report,
        "files": files,
    }
    write_json(folder / CARD_FILE, card)
    readable = "\n".join(_readable(card)) + "\n"
    (folder / READABLE_FILE).write_text(readable, encoding="utf-8")


def check_files(folder: Path) -> None:
    """Refuses a folder whose files are not those its card lists.

    A folder without a card passes: it may come from elsewhere.

    Raises:
        ExportError: naming the file that is missing, cut or changed.
    """
    for complaint in changed_files(folder):
        raise ExportError(complaint)


def changed_files(folder: Path) -> Iterable[str]:
    """Complaints about files that are not as the folder's card lists them."""
    if not (folder / CARD_FILE).is_file():
        return
    for name, size in read_json(folder / CARD_FILE)["files"].items():
        path = folder / name
        if not path.is_file():
            yield (
                f"{path}: missing, but listed in {CARD_FILE}. Copy or export "
                "the version again."
            )
        elif path.stat().st_size != size:
            yield (
                f"{path}: has {path.stat().st_size} bytes, {CARD_FILE} says "
                f"{size}: truncated or changed. Copy or export the version "
                "again."
            )


def list_files(folder: Path) -> dict[str, int]:
    """Bytes of every file in a folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def size_of(files: Mapping[str, int], ops: Mapping[str, int]) -> dict[str, int]:
    """How large a version is.

    Args:
        files: of `list_files`.
        ops: nodes by op.

    Returns:
        `graph_bytes`, `variables_bytes` (what a server keeps in memory at
        least), `total_bytes`, `num_nodes` and `num_ops`.
    """
    variables = (s for n, s in files.items() if n.startswith("variables/"))
    return {
        "graph_bytes": files.get(GRAPH_FILE, 0),
        "variables_bytes": sum(variables),
        "total_bytes": sum(files.values()),
        "num_nodes": sum(ops.values()),
        "num_ops": len(ops),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the working copy a folder lies in; None outside of one."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "changed": bool(git("status", "--porcelain", "-uno")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _readable(card: Mapping[str, Any]) -> Iterable[str]:
    git, schema = card["git"], card["schema"]
    yield f"# {card['model']}"
    yield ""
    yield f"- made {card['created']} from `{card['class']}`"
    if git:
        changed = " with uncommitted changes" if git["changed"] else ""
        yield f"- commit `{git['commit']}`{changed}"
    versions = (f"{n} {v}" for n, v in card["versions"].items() if v)
    yield f"- {', '.join(versions)}"
    size = card["size"]
    whole, variables = size["total_bytes"], size["variables_bytes"]
    yield (
        f"- {card['num_parameters']:,} parameters; {whole / 1e6:.1f} MB, "
        f"{variables / 1e6:.1f} MB of them variables"
    )
    yield f"- {size['num_nodes']} nodes of {size['num_ops']} ops"
    yield ""
    yield f"Schema `{schema['name']}`: histories " + ", ".join(
        f"`{b['name']}` (up to {b['max_length']} events)"
        for b in schema["behaviors"]
    )
    yield f"of {', '.join(c['name'] for c in schema['item_columns'])}."
    yield f"At most {schema['max_candidates']} candidates."
    values = (f"{o['name']} ({o['value']:g})" for o in schema["objectives"])
    yield f"Objectives and what one is worth: {', '.join(values)}."
    yield from _metric_table(card)
    yield from _precision_table(card)
    checked = card["verification"]
    yield ""
    yield "## Verification"
    yield ""
    yield (
        f"{checked['num_recordings']} recorded calls of the live model, "
        "replayed in a fresh process. Largest relative differences:"
    )
    yield ""
    for name, value in checked["max_relative_difference"].items():
        yield f"- {name}: {value:.1e}"
    yield from _signature_tables(card)


def _metric_table(card: Mapping[str, Any]) -> Iterable[str]:
    for split, systems in (card["metrics"] or {}).items():
        found = systems.get(card["model"]) or systems.get("jd_ranker", {})
        names = [n for n in _SHOWN if any(n in m for m in found.values())]
        if not names:
            continue
        yield ""
        yield f"## Metrics on the {split} split"
        yield ""
        yield f"| objective | {' | '.join(names)} |"
        yield f"| --- |{' --- |' * len(names)}"
        for objective, metrics in found.items():
            cells = (metrics.get(name) for name in names)
            texts = ("-" if c is None else f"{c:.4f}" for c in cells)
            yield f"| {objective} | {' | '.join(texts)} |"


def _precision_table(card: Mapping[str, Any]) -> Iterable[str]:
    rounded = card["precision"]
    if not rounded:
        return
    yield ""
    yield "## What was rounded, and what it costs"
    yield ""
    yield (
        f"Computes in {rounded['dtype']}, tables in {rounded['tables']}. "
        f"Measured on {rounded['num_requests']:,} requests of the "
        f"{rounded['split']} split against the ranker in float32; scores move "
        f"by up to {rounded['largest_score_change']:.2g} of the largest."
    )
    yield ""
    yield "| objective | metric | float32 | exported | change |"
    yield "| --- | --- | --- | --- | --- |"
    for objective, metrics in rounded["metrics"].items():
        for name, entry in metrics.items():
            values = (entry[k] for k in ("float32", "exported", "change"))
            texts = ("-" if v is None else f"{v:.5f}" for v in values)
            yield f"| {objective} | {name} | {' | '.join(texts)} |"


def _signature_tables(card: Mapping[str, Any]) -> Iterable[str]:
    for signature, sides in sorted(card["signatures"].items()):
        yield ""
        yield f"## `{signature}`"
        yield ""
        yield "| | tensor | dtype | shape |"
        yield "| --- | --- | --- | --- |"
        for side, tensors in sides.items():
            for name, tensor in tensors.items():
                axes = ("?" if d is None else str(d) for d in tensor["shape"])
                yield (
                    f"| {side[:-1]} | `{name}` | {tensor['dtype']} | "
                    f"[{', '.join(axes)}] |"
                )
