"""The same logged requests asked of two versions."""

import collections
import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from jd_tf.schema import DataError
from jd_tf.serving.deploy.errors import OperationError
from jd_tf.serving.export.recordings import Recording
from jd_tf.serving.signature_names import SERVING_DEFAULT

BEFORE, AFTER = "before", "after"
_NUM_CANDIDATES, _SCORE = "num_candidates", "score"


class Target(Protocol):
    """What answers."""

    name: str

    def call(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature by name."""


@dataclasses.dataclass(frozen=True)
class Replay:
    """What two versions answered.

    Attributes:
        names: of both, under "before" and "after".
        scores: pairs of (n,) arrays, one pair a request that both answered
            and that has candidates.
        seconds: of every call that both answered, by target.
        failures: complaint -> how often, by target.
        skipped: why -> how many records were not asked.
    """

    names: Mapping[str, str]
    scores: list[tuple[np.ndarray, np.ndarray]]
    seconds: Mapping[str, np.ndarray]
    failures: Mapping[str, Mapping[str, int]]
    skipped: Mapping[str, int]


def replay(
    log: Iterable[Recording],
    before: Target,
    after: Target,
    max_calls: int = 0,
) -> Replay:
    """Asks two targets what is logged, one call after the other.

    They take turns in being first, so that neither always meets the warmer
    caches. Only calls of `serving_default` are asked: a state that one
    version encoded means nothing to another.

    Args:
        log: logged calls; their answers are not looked at.
        before: the version that serves.
        after: the version that might.
        max_calls: asked at most; 0 for all.

    Returns:
        Scores, times and failures.

    Raises:
        OperationError: if nothing could be asked, or nothing was answered.
    """
    targets = {BEFORE: before, AFTER: after}
    scores: list[tuple[np.ndarray, np.ndarray]] = []
    seconds: dict[str, list[float]] = {name: [] for name in targets}
    failures = {name: collections.Counter() for name in targets}
    skipped: collections.Counter = collections.Counter()
    num_calls = 0
    for call in log:
        reason = _unfit(call)
        if reason:
            skipped[reason] += 1
            continue
        if max_calls and num_calls >= max_calls:
            break
        if not num_calls:
            for name, target in targets.items():
                # The first call of all is no measure.
                _ask(target, call, failures[name].copy())
        order = list(targets) if num_calls % 2 else list(targets)[::-1]
        num_calls += 1
        found = {
            name: _ask(targets[name], call, failures[name]) for name in order
        }
        if None in found.values():
            continue
        for name, (_, taken) in found.items():
            seconds[name].append(taken)
        pair = (found[BEFORE][0], found[AFTER][0])
        for row, count in enumerate(call.inputs[_NUM_CANDIDATES]):
            if count:
                scores.append(tuple(one[row, :count] for one in pair))
    if not num_calls:
        raise OperationError(
            f"the log holds no call of `{SERVING_DEFAULT}` that could be "
            f"replayed: {dict(skipped) or 'it is empty'}."
        )
    if not scores:
        said = [c for name in targets for c in failures[name]]
        raise OperationError(
            "no request was answered by both: "
            f"{'; '.join(said) or 'none has candidates'}."
        )
    return Replay(
        {name: target.name for name, target in targets.items()},
        scores,
        {name: np.array(values) for name, values in seconds.items()},
        {name: dict(counts) for name, counts in failures.items()},
        dict(skipped),
    )


def _unfit(call: Recording) -> str:
    if call.signature != SERVING_DEFAULT:
        return f"signature `{call.signature}`"
    if _NUM_CANDIDATES not in call.inputs:
        return f"no `{_NUM_CANDIDATES}`"
    return ""


def _ask(target: Target, call: Recording, failures: Any) -> Any:
    """Scores and seconds, or None and a complaint more."""
    start = time.perf_counter()
    try:
        answer = target.call(call.signature, call.inputs)
    except DataError as error:
        failures[" ".join(str(error).split())] += 1
        return None
    taken = time.perf_counter() - start
    if _SCORE not in answer:
        failures[f"{target.name}: answers no `{_SCORE}`."] += 1
        return None
    return answer[_SCORE], taken
