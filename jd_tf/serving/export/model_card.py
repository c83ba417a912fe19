"""The model card of a version folder, for programs and for people."""

import dataclasses
import datetime
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.data.json_files import read_json, write_json
from jd_tf.serving.export.versions import GRAPH_FILE

CARD_FILE = "model_card.json"
READABLE_FILE = "model_card.md"

_SHOWN = ("auc", "gauc", "ndcg@10", "log_loss", "normalized_entropy")
_BEFORE_WORD = re.compile("(?<=[a-z0-9])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])")
_PACKAGES = ("tensorflow", "keras", "numpy", "jd_tf")


def write_card(
    folder: Path,
    model: Any,
    name: str,
    report: Mapping[str, Any],
    details: Mapping[str, Any],
) -> None:
    """Writes `model_card.json`, and of a ranker `model_card.md`.

    Args:
        folder: a version folder, otherwise finished.
        model: the live model.
        name: of the model.
        report: as of `verify`.
        details: further entries. Those of a ranker are its `schema` as JSON,
            `metrics` (split -> system -> objective -> metric) or None, and
            `precision`, the cost of rounding, or None.
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
        "registered_name": model_name(model),
        "num_parameters": model.count_params(),
        "config": dataclasses.asdict(config) if config else None,
        "git": git_state(Path(__file__).parent),
        "versions": {
            "python": ".".join(map(str, sys.version_info[:3])),
            **{package: _version(package) for package in _PACKAGES},
        },
        "signatures": report.pop("signatures"),
        "size": size_of(files, report["ops"]),
        "ops": report.pop("ops"),
        "verification": report,
        "files": files,
        **details,
    }
    write_json(folder / CARD_FILE, card)
    if "schema" in card:
        readable = "\n".join(_readable(card)) + "\n"
        (folder / READABLE_FILE).write_text(readable, encoding="utf-8")


def model_name(model: Any) -> str:
    """Returns the registered name of a model's class."""
    return _BEFORE_WORD.sub("_", type(model).__name__).lower()


def written_tolerance(folder: Path, default: float) -> float:
    """Reads the tolerance of an export's verification from its card."""
    if not (folder / CARD_FILE).is_file():
        return default
    verification = read_json(folder / CARD_FILE).get("verification", {})
    return float(verification.get("tolerance", default))


def changed_files(folder: Path) -> Iterable[str]:
    """Yields an error for each file that is not as the folder's card lists it.

    A folder without a card passes: it may come from elsewhere.
    """
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
    """Returns the bytes of every file in a folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def size_of(files: Mapping[str, int], ops: Mapping[str, int]) -> dict[str, int]:
    """Sums up the size of a version.

    Args:
        files: of `list_files`.
        ops: nodes by op.

    Returns:
        `graph_bytes`, `variables_bytes` (the least that a server keeps in
        memory), `total_bytes`, `num_nodes` and `num_ops`.
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
    """Returns the commit of the working copy a folder is in, or None."""

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
    git, schema, size = card["git"], card["schema"], card["size"]
    yield from (f"# {card['model']}", "")
    yield f"- made {card['created']} from `{card['class']}`"
    if git:
        changed = " with uncommitted changes" if git["changed"] else ""
        yield f"- commit `{git['commit']}`{changed}"
    versions = (f"{n} {v}" for n, v in card["versions"].items() if v)
    yield f"- {', '.join(versions)}"
    yield (
        f"- {card['num_parameters']:,} parameters; "
        f"{size['total_bytes'] / 1e6:.1f} MB, "
        f"{size['variables_bytes'] / 1e6:.1f} MB of them variables"
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
    yield f"Objectives and their business values: {', '.join(values)}."
    yield from _metric_tables(card)
    yield from _precision_table(card)
    checked = card["verification"]
    yield from ("", "## Verification", "")
    yield (
        f"{checked['num_recordings']} recorded calls of the live model, "
        "replayed in a fresh process. Largest relative differences:"
    )
    yield ""
    for name, value in checked["max_relative_difference"].items():
        yield f"- {name}: {value:.1e}"
    for signature, sides in sorted(card["signatures"].items()):
        yield from _table(
            f"`{signature}`",
            ("", "tensor", "dtype", "shape"),
            [
                (
                    side[:-1],
                    f"`{name}`",
                    tensor["dtype"],
                    str(tensor["shape"]).replace("None", "?"),
                )
                for side, tensors in sides.items()
                for name, tensor in tensors.items()
            ],
        )


def _metric_tables(card: Mapping[str, Any]) -> Iterable[str]:
    for split, systems in (card["metrics"] or {}).items():
        names = (card["model"], card["registered_name"])
        found = next((systems[n] for n in names if n in systems), None) or {}
        shown = [n for n in _SHOWN if any(n in m for m in found.values())]
        if shown:
            yield from _table(
                f"Metrics on the {split} split",
                ("objective", *shown),
                [
                    (objective, *(_number(metrics.get(n), 4) for n in shown))
                    for objective, metrics in found.items()
                ],
            )


def _precision_table(card: Mapping[str, Any]) -> Iterable[str]:
    rounded = card["precision"]
    if not rounded:
        return
    yield from _table(
        "Cost of rounding",
        ("objective", "metric", "float32", "exported", "change"),
        [
            (objective, name, *(_number(entry[k], 5) for k in entry))
            for objective, metrics in rounded["metrics"].items()
            for name, entry in metrics.items()
        ],
    )
    yield (
        f"\nComputes in {rounded['dtype']}, tables in {rounded['tables']}. "
        f"Measured on {rounded['num_requests']:,} requests of the "
        f"{rounded['split']} split against the ranker in float32; scores move "
        f"by up to {rounded['largest_score_change']:.2g} of the largest."
    )


def _table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterable[str]:
    yield from ("", f"## {title}", "")
    for cells in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
