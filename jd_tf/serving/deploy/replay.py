"""Replays logged requests on two versions and compares their rankings."""

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy import stats

from jd_tf.schema import DataError
from jd_tf.serving.deploy.model_config import OperationError
from jd_tf.serving.deploy.version_server import VersionServer
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.recordings import Recording
from jd_tf.serving.export.versions import resolve
from jd_tf.serving.signature_names import SERVING_DEFAULT

BEFORE, AFTER = "before", "after"
_NUM_CANDIDATES, _SCORE = "num_candidates", "score"


class Target(Protocol):
    """A version that answers."""

    name: str

    def call(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature by name."""


class FolderTarget:
    """A version folder that answers in this process.

    Args:
        path: a version folder, or a model's, whose highest version is taken.
    """

    def __init__(self, path: str | Path):
        model = LoadedModel(resolve(path))
        self.name = str(model.folder)
        self.call = model.call


class ServedTarget:
    """A version that answers on a server.

    Args:
        server: the server.
        model: its name there.
        version: number or label; the latest if None.
        timeout: seconds of a call.
    """

    def __init__(
        self,
        server: VersionServer,
        model: str,
        version: int | str | None = None,
        timeout: float = 10.0,
    ):
        self._server, self._model = server, model
        self._version, self._timeout = version, timeout
        chosen = "latest" if version is None else version
        self.name = f"{model} {chosen} at {server.address}"

    def call(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature by name."""
        return self._server.predict(
            self._model, signature, inputs, self._version, self._timeout
        )[0]


def open_target(
    place: str, model: str = "", version: str = "", timeout: float = 10.0
) -> Target:
    """Opens a version to replay calls on.

    Args:
        place: a folder, or `host:port` of a model server.
        model: its name on the server.
        version: number or label on the server; the latest if empty.
        timeout: seconds of a call to the server.

    Raises:
        DataError: if there is no such place.
    """
    if Path(place).is_dir():
        if version:
            raise DataError(f"{place}: is a folder; it has no labels.")
        return FolderTarget(place)
    if ":" not in place:
        raise DataError(f"{place}: neither a folder nor host:port.")
    chosen = int(version) if version.isdecimal() else version or None
    return ServedTarget(VersionServer(place), model, chosen, timeout)


@dataclasses.dataclass(frozen=True)
class Replay:
    """Answers of two versions.

    Attributes:
        names: of both, under "before" and "after".
        scores: pairs of (n,) arrays, one pair a request that both answered
            and that has candidates.
        seconds: of every call that both answered, by target.
        failures: error message -> count, by target.
        skipped: reason -> number of records that were not replayed.
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
    """Replays logged calls on two targets, one call after the other.

    They take turns in being first, so that neither always has the warmer
    caches. Only calls of `serving_default` are replayed: a user state of one
    version means nothing to another.

    Args:
        log: logged calls; their answers are ignored.
        before: the version that serves.
        after: the version that might.
        max_calls: largest number of calls; 0 for all.

    Returns:
        Scores, times and failures.

    Raises:
        OperationError: if nothing could be replayed, or nothing was answered.
    """
    targets = {BEFORE: before, AFTER: after}
    scores: list[tuple[np.ndarray, np.ndarray]] = []
    seconds: dict[str, list[float]] = {name: [] for name in targets}
    failures: dict[str, Counter[str]] = {name: Counter() for name in targets}
    skipped: Counter[str] = Counter()
    num_calls = 0
    for call in log:
        reason = _unfit(call)
        if reason:
            skipped[reason] += 1
            continue
        if max_calls and num_calls >= max_calls:
            break
        if not num_calls:
            for target in targets.values():
                # The first call of all is not timed.
                _call(target, call, Counter())
        order = list(targets) if num_calls % 2 else list(targets)[::-1]
        num_calls += 1
        found = {
            name: _call(targets[name], call, failures[name]) for name in order
        }
        one, other = found[BEFORE], found[AFTER]
        if one is None or other is None:
            continue
        seconds[BEFORE].append(one[1])
        seconds[AFTER].append(other[1])
        for row, count in enumerate(call.inputs[_NUM_CANDIDATES]):
            if count:
                scores.append((one[0][row, :count], other[0][row, :count]))
    if not num_calls:
        raise OperationError(
            f"the log holds no call of `{SERVING_DEFAULT}` that could be "
            f"replayed: {dict(skipped) or 'it is empty'}."
        )
    if not scores:
        errors = [error for counts in failures.values() for error in counts]
        raise OperationError(
            "no request was answered by both: "
            f"{'; '.join(errors) or 'none has candidates'}."
        )
    return Replay(
        {name: target.name for name, target in targets.items()},
        scores,
        {name: np.array(values) for name, values in seconds.items()},
        {name: dict(counts) for name, counts in failures.items()},
        dict(skipped),
    )


def _unfit(call: Recording) -> str:
    """Returns the reason not to replay a call; empty if there is none."""
    if call.signature != SERVING_DEFAULT:
        return f"signature `{call.signature}`"
    if _NUM_CANDIDATES not in call.inputs:
        return f"no `{_NUM_CANDIDATES}`"
    return ""


def _call(
    target: Target, call: Recording, failures: Counter[str]
) -> tuple[np.ndarray, float] | None:
    """Returns scores and seconds; None and one more failure without."""
    start = time.perf_counter()
    try:
        answer = target.call(call.signature, call.inputs)
    except DataError as error:
        failures[" ".join(str(error).split())] += 1
        return None
    seconds = time.perf_counter() - start
    if _SCORE not in answer:
        failures[f"{target.name}: answers no `{_SCORE}`."] += 1
        return None
    return answer[_SCORE], seconds


@dataclasses.dataclass(frozen=True)
class RankingAgreement:
    """Agreement of two orders of one request's candidates.

    Attributes:
        difference: largest change of a score, relative to the largest score
            of the first.
        overlap: share of candidates that are among the first k of both.
        same_first: both have the same candidate first.
        tau: Kendall's tau-b of all candidates, 1 for the same order and -1
            for its reverse; nan with fewer than two, or all scores equal.
    """

    difference: float
    overlap: float
    same_first: bool
    tau: float


def agreement(
    before: np.ndarray, after: np.ndarray, top_k: int
) -> RankingAgreement:
    """Compares two scores of the same candidates.

    Args:
        before: (n,) scores, n >= 1; equal ones keep their order.
        after: (n,) scores.
        top_k: number of places that count as the top; all, if there are fewer.
    """
    scale = np.abs(before).max()
    change = float(np.abs(before - after).max())
    orders = [np.argsort(-scores, kind="stable") for scores in (before, after)]
    k = min(top_k, len(before))
    both = np.intersect1d(orders[0][:k], orders[1][:k])
    tau = np.nan
    if min(np.ptp(before), np.ptp(after)) > 0:
        tau = float(stats.kendalltau(before, after).statistic)
    return RankingAgreement(
        change / scale if scale else change,
        len(both) / k,
        bool(orders[0][0] == orders[1][0]),
        tau,
    )
