"""The model card of a version folder, for programs and for people."""

import dataclasses
import datetime
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from jd_tf.data.files import read_json, write_json
from jd_tf.serving.export.versions import GRAPH_FILE

CARD_FILE = "model_card.json"
READABLE_FILE = "model_card.md"

SHOWN_METRICS = (
    *("auc", "gauc", "ndcg@10", "log_loss", "normalized_entropy"),
    "relative_deviance",
)
_PACKAGES = ("tensorflow", "keras", "numpy", "jd_tf")


def write_card(
    folder: Path,
    model: Any,
    name: str,
    report: Mapping[str, Any],
    details: Mapping[str, Any],
) -> None:
    """Writes `model_card.json`, and of a ranker `model_card.md`."""
    config = getattr(model, "config", None)
    report = dict(report)
    files = list_files(folder)
    now = datetime.datetime.now(datetime.timezone.utc)
    card = {
        "model": name,
        "created": now.isoformat(timespec="seconds"),
        "class": type(model).__name__,
        "registered_name": getattr(model, "registered_name", name),
        "num_parameters": model.count_params(),
        "config": dataclasses.asdict(config) if config else None,
        "git": _git_state(),
        "versions": {
            "python": ".".join(map(str, sys.version_info[:3])),
            **{package: _version(package) for package in _PACKAGES},
        },
        "signatures": report.pop("signatures"),
        "size": {
            "graph_bytes": files.get(GRAPH_FILE, 0),
            # The least that a server keeps in memory.
            "variables_bytes": sum(list_files(folder / "variables").values()),
            "total_bytes": sum(files.values()),
            "num_nodes": sum(report["ops"].values()),
            "num_ops": len(report["ops"]),
        },
        "ops": report.pop("ops"),
        "verification": report,
        "files": files,
        **details,
    }
    write_json(folder / CARD_FILE, card)
    if "schema" in card:
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("jd_tf.serving.export", "templates"),
            trim_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters["number"] = _number
        template = environment.get_template(READABLE_FILE)
        text = template.render(card, shown=SHOWN_METRICS)
        (folder / READABLE_FILE).write_text(text, encoding="utf-8")


def written_tolerance(folder: Path, default: float) -> float:
    """Reads the tolerance of an export's verification from its card."""
    if not (folder / CARD_FILE).is_file():
        return default
    verification = read_json(folder / CARD_FILE).get("verification", {})
    return float(verification.get("tolerance", default))


def changed_files(folder: Path) -> Iterable[str]:
    """Yields an error for each file that is not as a card, if any, lists it."""
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


def _git_state() -> dict[str, Any] | None:

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
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


def _number(value: Any, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "-"
