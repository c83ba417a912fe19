"""Replays logged requests on two versions and compares their rankings."""

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

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

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Target:
    """A version that answers `call(signature, inputs)`.

    Of the inputs it gets those that `reads` names; all if it is None.
    """

    name: str
    call: Callable[[str, Arrays], Arrays]
    reads: Collection[str] | None = None


def served_target(
    server: VersionServer,
    model: str,
    version: int | str | None = None,
    timeout: float = 10.0,
) -> Target:
    """Returns a server's version: a number, a label, or the latest."""

    def call(signature: str, inputs: Arrays) -> Arrays:
        return server.predict(model, signature, inputs, version, timeout)[0]

    chosen = "latest" if version is None else version
    reads = server.inputs(model, SERVING_DEFAULT, version, timeout)
    return Target(f"{model} {chosen} at {server.address}", call, reads)


def open_target(
    place: str, model: str = "", version: str = "", timeout: float = 10.0
) -> Target:
    """Opens a version folder, or a model's highest version, in this process.

    Or a version of a model at `host:port`: a number, a label, or the latest.
    """
    if Path(place).is_dir():
        if version:
            raise DataError(f"{place}: is a folder; it has no labels.")
        loaded = LoadedModel(resolve(place))
        reads = loaded.signatures.get(SERVING_DEFAULT, {}).get("inputs")
        return Target(str(loaded.folder), loaded.call, reads)
    if ":" not in place:
        raise DataError(f"{place}: neither a folder nor host:port.")
    chosen = int(version) if version.isdecimal() else version or None
    return served_target(VersionServer(place), model, chosen, timeout)


@dataclasses.dataclass
class Replay:
    """Answers of two versions, by "before" and "after".

    There is a pair of `scores` (n,) for each request that both answered.
    `failures` and `skipped` count messages and reasons.
    """

    names: dict[str, str]
    num_calls: int = 0

    def __post_init__(self) -> None:
        self.scores: list[tuple[np.ndarray, np.ndarray]] = []
        self.seconds: dict[str, list[float]] = {n: [] for n in self.names}
        self.failures = {name: Counter[str]() for name in self.names}
        self.skipped = Counter[str]()


def replay(
    log: Iterable[Recording], before: Target, after: Target, max_calls: int = 0
) -> Replay:
    """Replays calls of `serving_default` on two targets, which take turns.

    A user state of one version means nothing to another.
    """
    targets = {BEFORE: before, AFTER: after}
    done = Replay({name: target.name for name, target in targets.items()})
    for call in log:
        if call.signature != SERVING_DEFAULT:
            done.skipped[f"signature `{call.signature}`"] += 1
            continue
        if _NUM_CANDIDATES not in call.inputs:
            done.skipped[f"no `{_NUM_CANDIDATES}`"] += 1
            continue
        if max_calls and done.num_calls >= max_calls:
            break
        if not done.num_calls:
            for target in targets.values():
                # The first call of all is not timed.
                _call(target, call, Counter())
        order = list(targets) if done.num_calls % 2 else list(targets)[::-1]
        done.num_calls += 1
        answers = {n: _call(targets[n], call, done.failures[n]) for n in order}
        found = {n: answer for n, answer in answers.items() if answer}
        if len(found) < len(targets):
            continue
        for name, (_, seconds) in found.items():
            done.seconds[name].append(seconds)
        done.scores += (
            (found[BEFORE][0][row, :count], found[AFTER][0][row, :count])
            for row, count in enumerate(call.inputs[_NUM_CANDIDATES])
            if count
        )
    if not done.num_calls:
        raise OperationError(
            f"the log holds no call of `{SERVING_DEFAULT}` that could be "
            f"replayed: {dict(done.skipped) or 'it is empty'}."
        )
    if not done.scores:
        errors = "; ".join(itertools.chain(*done.failures.values()))
        raise OperationError(
            "no request was answered by both: "
            f"{errors or 'none has candidates'}."
        )
    return done


def _call(
    target: Target, call: Recording, failures: Counter[str]
) -> tuple[np.ndarray, float] | None:
    # A version may not read all that the other one does.
    reads = call.inputs if target.reads is None else target.reads
    inputs = {n: array for n, array in call.inputs.items() if n in reads}
    start = time.perf_counter()
    try:
        answer = target.call(call.signature, inputs)
    except DataError as error:
        failures[" ".join(str(error).split())] += 1
        return None
    seconds = time.perf_counter() - start
    if _SCORE not in answer:
        failures[f"{target.name}: answers no `{_SCORE}`."] += 1
        return None
    return answer[_SCORE], seconds


class RankingAgreement(NamedTuple):
    """Agreement of two orders of one request's candidates.

    The `difference` is relative to the largest score of the first, `overlap`
    the share of candidates among the first k of both. Kendall's `tau` is nan
    with fewer than two candidates, or all scores equal.
    """

    difference: float
    overlap: float
    same_first: bool
    tau: float


def agreement(
    before: np.ndarray, after: np.ndarray, top_k: int
) -> RankingAgreement:
    """Compares two scores (n,) of the same candidates; ties keep order."""
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
