"""The answer of the pipeline: items, and what happened at each stage."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.data.text_table import text_table
from jd_tf.pipeline.stages.stage import ScoredItems

# What became of a stage.
OK = "ok"
CORRECTED = "corrected"  # answered; unknown or doubled items were taken out
LATE, FAILED, EMPTY, BUSY = "late", "failed", "empty", "busy"
SKIPPED = "skipped"  # no time was left
FALLBACKS = (LATE, FAILED, EMPTY, BUSY, SKIPPED)


@dataclasses.dataclass(frozen=True)
class StageTrace:
    """The outcome of one stage for one request.

    Attributes:
        stage: its name.
        status: `ok`, `corrected`, or why its answer was not used: `late`,
            `failed`, `empty`, `busy`, `skipped`.
        seconds: waited for it.
        given: items it was given; for recall, channels.
        passed: items passed on.
        problem: what went wrong, "" if nothing did.
    """

    stage: str
    status: str
    seconds: float
    given: int
    passed: int
    problem: str = ""

    @property
    def fell_back(self) -> bool:
        """True if the cheaper order was kept."""
        return self.status in FALLBACKS


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """The items for one request, best first.

    Attributes:
        item_id: (K,) raw ids.
        explanations: K dicts: channels, rank after each stage, score,
            probabilities, attention, and why the item is at its place; what a
            stage that fell back would have said is missing.
        trace: of the stages, in order.
        seconds: for all of it.
        facts: of the request: fusion weights, model version.
        answers: what each stage that did not fall back answered, whole.
    """

    item_id: np.ndarray
    explanations: tuple[dict[str, Any], ...]
    trace: tuple[StageTrace, ...]
    seconds: float
    facts: dict[str, Any]
    answers: Mapping[str, ScoredItems]

    @property
    def degraded(self) -> tuple[str, ...]:
        """Names of the stages that fell back on the cheaper order."""
        return tuple(t.stage for t in self.trace if t.fell_back)

    def to_json(self) -> dict[str, Any]:
        """A plain dict, for one line of a file."""
        return {
            "milliseconds": round(1000 * self.seconds, 2),
            "degraded": list(self.degraded),
            **self.facts,
            "stages": [dataclasses.asdict(t) for t in self.trace],
            "items": list(self.explanations),
        }

    def table(self, top: int | None = None) -> str:
        """Returns the best `top` items as aligned text, all by default."""
        stages = [t.stage for t in self.trace if t.stage != "attention"]
        rows = [["place", "item_id", *stages, "channels", "why"]]
        for found in self.explanations[:top]:
            ranks = [str(found["ranks"].get(name, "-")) for name in stages]
            rows.append(
                [
                    str(found["place"]),
                    str(found["item_id"]),
                    *ranks,
                    " ".join(found.get("channels", {})),
                    found.get("reason", ""),
                ]
            )
        head = f"{len(self.explanations)} items in {1000 * self.seconds:.1f} ms"
        if self.degraded:
            head += f"; fell back: {', '.join(self.degraded)}"
        return "\n".join([head, *text_table(rows)])
