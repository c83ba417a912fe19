"""The numbers to print at the end of a run."""

from collections.abc import Mapping
from typing import Any


def headline(systems: Mapping[str, Mapping[str, Any]]) -> str:
    """AUC of every system and objective as aligned text."""
    objectives = [n for n in next(iter(systems.values())) if n != "value"]
    lines = [" " * 18 + "".join(f"{name:>14}" for name in objectives)]
    for system, found in systems.items():
        cells = [found[name]["auc"] for name in objectives]
        texts = ["-" if c is None else f"{c:.4f}" for c in cells]
        lines.append(f"AUC {system:<14}" + "".join(f"{t:>14}" for t in texts))
    return "\n".join(lines)
