"""The answer to one request, checked and put together."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jd_tf.data.text_table import text_table
from jd_tf.schema import Schema
from jd_tf.serving.client.errors import AnswerError
from jd_tf.serving.client.transport import Answer
from jd_tf.serving.signature_names import (
    AMOUNTS,
    FUSION_WEIGHTS,
    LOWEST_SCORE,
    PER_REQUEST,
    RANKED,
)


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A request's candidates, best first.

    Attributes:
        request_id: the request's own, or its number in its file.
        item_ids: (n,) int64, or bytes where ids are texts.
        scores: (n,) float32, descending. Equal scores keep request order.
        probabilities: (n, T - A) float32, one column per outcome.
        objectives: names of the T objectives, the last A of them amounts.
        order: (n,) the place of each item in the request.
        fusion_weights: (T,) float32, the request's weights of the
            objectives; None where business values fuse them.
        model_version: the version that answered, where that is known.
        amounts: (n, A) float32, expected, in the units of the log; None of a
            model without.

    Example:
        >>> ranking = Ranking(
        ...     request_id=7,
        ...     item_ids=np.array([11, 5]),
        ...     scores=np.array([0.9, 0.2]),
        ...     probabilities=np.array([[0.5], [0.1]]),
        ...     objectives=("click",),
        ...     order=np.array([1, 0]),
        ... )
        >>> ranking.item_ids[0].item()
        11
    """

    request_id: Any
    item_ids: np.ndarray
    scores: np.ndarray
    probabilities: np.ndarray
    objectives: tuple[str, ...]
    order: np.ndarray
    fusion_weights: np.ndarray | None = None
    model_version: int | None = None
    amounts: np.ndarray | None = None

    def to_json(self, top: int | None = None) -> dict[str, Any]:
        """A plain dict of the best `top` items, all by default."""
        weights = {}
        if self.fusion_weights is not None:
            weights["fusion_weights"] = _named(
                self.objectives, self.fusion_weights
            )
        return {
            "request_id": plain(self.request_id),
            "num_candidates": len(self.item_ids),
            **weights,
            "items": [
                {
                    "rank": rank + 1,
                    "item_id": plain(item_id),
                    "score": float(self.scores[rank]),
                    **self._predictions(rank),
                }
                for rank, item_id in enumerate(self.item_ids[:top])
            ],
        }

    def _predictions(self, rank: int) -> dict[str, dict[str, float]]:
        """Returns probabilities, and amounts if any, by objective."""
        count = self.probabilities.shape[1]
        values, names = self.probabilities[rank], self.objectives
        found = {"probabilities": _named(names[:count], values)}
        if self.amounts is not None:
            found[AMOUNTS] = _named(names[count:], self.amounts[rank])
        return found

    def table(self, top: int | None = None) -> str:
        """The best `top` items as aligned text, all by default."""
        items, count = self.to_json(top)["items"], len(self.item_ids)
        head = f"request {plain(self.request_id)}: "
        if not count:
            return f"{head}no candidates"
        rows = [["rank", "item_id", "score", *self.objectives]]
        for item in items:
            named = item["probabilities"] | item.get(AMOUNTS, {})
            numbers = (f"{number:.4f}" for number in named.values())
            score = f"{item['score']:.6g}"
            rows.append(
                [str(item["rank"]), str(item["item_id"]), score, *numbers]
            )
        lines = [f"{head}best {len(items)} of {count}", *text_table(rows, 0)]
        return "\n".join(lines)


def make_ranking(
    request_id: Any,
    item_ids: np.ndarray,
    answer: Mapping[str, np.ndarray],
    objectives: tuple[str, ...],
    model_version: int | None = None,
) -> Ranking:
    """Sorts a request's candidates by score, best first."""
    order = np.argsort(-answer["score"], kind="stable")
    return Ranking(
        request_id,
        item_ids[order],
        answer["score"][order],
        answer["probabilities"][order],
        objectives,
        order,
        answer.get(FUSION_WEIGHTS),
        model_version,
        answer[AMOUNTS][order] if AMOUNTS in answer else None,
    )


def merge_answers(
    answers: Sequence[Answer], counts: Sequence[int], schema: Schema, where: str
) -> dict[str, np.ndarray]:
    """Joins the answers to slices of `counts` candidates, without padding."""
    parts = [
        _trim(answer, count, schema, where)
        for answer, count in zip(answers, counts, strict=True)
    ]
    return {
        name: array
        if name in PER_REQUEST or len(parts) == 1
        else np.concatenate([part[name] for part in parts])
        for name, array in parts[0].items()
    }


def _trim(
    answer: Answer, count: int, schema: Schema, where: str
) -> dict[str, np.ndarray]:
    where = f"{where}: version {answer.version}"
    num_amounts = len(schema.amount_names)
    wanted = (*RANKED, AMOUNTS) if num_amounts else RANKED
    missing = set(wanted) - set(answer.outputs)
    if missing:
        raise AnswerError(
            f"{where}: no {' and no '.join(sorted(missing))} in its answer. "
            "Is it a ranker that was exported with jd_tf?"
        )
    shapes = {
        "score": (1, count),
        "probabilities": (1, count, len(schema.outcome_names)),
        AMOUNTS: (1, count, num_amounts),
        FUSION_WEIGHTS: (1, len(schema.objectives)),
    }
    part = {}
    for name in (n for n in shapes if n in answer.outputs):
        array = answer.outputs[name]
        wide = name not in PER_REQUEST and array.ndim > 1
        part[name] = array[:, :count] if wide else array
        if part[name].shape != shapes[name]:
            raise AnswerError(
                f"{where}: `{name}` of {count} candidates has shape "
                f"{list(array.shape)}, should have {list(shapes[name])}. Give "
                "the client the model's schema, or export the model again."
            )
        if not (np.isfinite(part[name]) & (part[name] != LOWEST_SCORE)).all():
            raise AnswerError(
                f"{where}: answered a {name} that is not finite; the model is "
                "broken. Train and export again."
            )
        part[name] = part[name][0]
    return part


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def plain(value: Any) -> Any:
    """Returns bytes as text, and NumPy scalars as Python's."""
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
