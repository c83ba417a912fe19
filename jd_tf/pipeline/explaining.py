"""The explanation of each recommended item, from the answers of stages."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.pipeline.stages.recall_stage import CHANNELS
from jd_tf.pipeline.stages.stage import ScoredItems
from jd_tf.serving.client.ranking import plain
from jd_tf.serving.signature_names import AMOUNTS

_MOST_EVENTS = 3


def explain_items(
    items: ScoredItems,
    answers: Mapping[str, ScoredItems],
    attention: Mapping[str, np.ndarray],
    columns: Mapping[str, np.ndarray],
) -> tuple[dict[str, Any], ...]:
    """Returns a plain dict for each item that is shown.

    Args:
        items: shown, best first.
        answers: what each stage that did not fall back answered, in order.
        attention: (K, L) by behaviour.
        columns: of the request; the attended events are named by them.

    Returns:
        Dicts of `item_id`, `place`, `score` (of the stage that scored it
        last), `ranks` by stage, `channels` with the rank in each, and, where
        stages noted it, `probabilities` and `amounts` by objective, `reason`
        and the most attended events by behaviour.
    """
    explained: dict[Any, dict[str, Any]] = {
        item: {"item_id": plain(item), "place": place, "ranks": {}}
        for place, item in enumerate(items.item_id.tolist(), 1)
    }
    for stage, answer in answers.items():
        wanted = np.flatnonzero(np.isin(answer.item_id, items.item_id))
        for place in wanted.tolist():
            found = explained[answer.item_id[place : place + 1].tolist()[0]]
            found["ranks"][stage] = place + 1
            found["score"] = float(answer.score[place])
            for name, values in answer.notes.items():
                value = values[place] if place < len(values) else None
                if value is not None:
                    found[name] = _plain_note(name, value, answer.facts)
    for behavior, weights in attention.items():
        events = columns[f"{behavior}_item_id"]
        for found, row in zip(explained.values(), weights, strict=True):
            most = np.argsort(-row[: len(events)])[:_MOST_EVENTS]
            found.setdefault("attention", {})[behavior] = [
                {
                    "item_id": plain(events[event]),
                    "event": int(event),
                    "weight": round(float(row[event]), 4),
                }
                for event in most
            ]
    return tuple(explained.values())


def _plain_note(name: str, value: Any, facts: Mapping[str, Any]) -> Any:
    if name == CHANNELS:
        pairs = zip(facts[CHANNELS], value, strict=True)
        return {n: int(rank) for n, rank in pairs if rank}
    if name in ("probabilities", AMOUNTS):
        # Outcomes come first, amounts last.
        names = facts["objectives"]
        names = names[-len(value) :] if name == AMOUNTS else names[: len(value)]
        pairs = zip(names, value, strict=True)
        return {n: round(float(p), 6) for n, p in pairs}
    return plain(value) if np.ndim(value) == 0 else np.asarray(value).tolist()
