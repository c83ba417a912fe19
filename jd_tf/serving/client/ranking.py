"""The answer to one request."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A request's candidates, best first.

    Attributes:
        request_id: the request's own, or its number in its file.
        item_ids: (n,) int64, or bytes where ids are texts.
        scores: (n,) float32, descending. Equal scores keep request order.
        probabilities: (n, T) float32, one column per objective.
        objectives: names of the T objectives.
        order: (n,) where in the request each item stood.
        fusion_weights: (T,) float32, the request's weights of the
            objectives; None where business values fuse them.
        model_version: which version answered, where that is known.
    """

    request_id: Any
    item_ids: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray
    objectives: tuple[str, ...]
    order: np.ndarray
    fusion_weights: np.ndarray | None = None
    model_version: int | None = None

    def to_json(self, top: int | None = None) -> dict[str, Any]:
        """A plain dict of the best `top` items, all by default."""
        weights = {}
        if self.fusion_weights is not None:
            pairs = zip(self.objectives, self.fusion_weights, strict=True)
            weights["fusion_weights"] = {n: float(w) for n, w in pairs}
        return {
            "request_id": plain(self.request_id),
            "num_candidates": len(self.item_ids),
            **weights,
            "items": [
                {
                    "rank": rank + 1,
                    "item_id": plain(self.item_ids[rank]),
                    "score": float(self.scores[rank]),
                    "probabilities": {
                        name: float(self.probabilities[rank, index])
                        for index, name in enumerate(self.objectives)
                    },
                }
                for rank in range(len(self.item_ids[:top]))
            ],
        }

    def table(self, top: int | None = None) -> str:
        """The best `top` items as aligned text, all by default."""
        rows: list[Sequence[str]] = [
            ("rank", "item_id", "score", *self.objectives)
        ]
        rows += [
            (
                str(item["rank"]),
                str(item["item_id"]),
                f"{item['score']:.6g}",
                *(f"{p:.4f}" for p in item["probabilities"].values()),
            )
            for item in self.to_json(top)["items"]
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True))
            for row in rows
        ]
        shown, count = len(rows) - 1, len(self.item_ids)
        head = f"request {plain(self.request_id)}: "
        head += f"best {shown} of {count}" if count else "no candidates"
        return "\n".join([head, *lines[: len(lines) if count else 0]])


def make_ranking(
    request_id: Any,
    item_ids: np.ndarray,
    scores: np.ndarray,
    probabilities: np.ndarray,
    objectives: tuple[str, ...],
    fusion_weights: np.ndarray | None = None,
    model_version: int | None = None,
) -> Ranking:
    """Sorts a request's candidates by score, best first."""
    order = np.argsort(-scores, kind="stable")
    return Ranking(
        request_id,
        item_ids[order],
        scores[order],
        probabilities[order],
        objectives,
        order,
        fusion_weights,
        model_version,
    )


def plain(value: Any) -> Any:
    """Bytes as text, NumPy scalars as Python's."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value


def describe(request: Any, number: int) -> str:
    """Names a request in messages: its number and, if it has one, its id."""
    if isinstance(request, Mapping) and "request_id" in request:
        return f"request {number} (id {plain(request['request_id'])!r})"
    return f"request {number}"
