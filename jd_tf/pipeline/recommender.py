"""Recall, coarse, fine and re-ranking of one request, within a deadline."""

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import numpy as np

from jd_tf.data.validation import RequestValidator
from jd_tf.pipeline import recommendation as outcomes
from jd_tf.pipeline.explaining import explain_items
from jd_tf.pipeline.recommendation import Recommendation, StageTrace
from jd_tf.pipeline.stages.answers import checked_answer, first_items
from jd_tf.pipeline.stages.recall_stage import RecallStage
from jd_tf.pipeline.stages.stage import (
    ExplainingStage,
    RankingStage,
    ScoredItems,
    UserRequest,
)
from jd_tf.pipeline.stages.stage_threads import StageBusyError, StageThreads
from jd_tf.schema import HISTORY_ROLES, REQUEST_ROLES, DataError, Schema
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client.errors import DeadlineError

ATTENTION = "attention"
_KEPT_TIMINGS = 10_000


@dataclasses.dataclass(frozen=True)
class Step:
    """A stage in its place of the chain.

    Attributes:
        stage: orders items.
        count: of these, best first, are passed on.
        seconds: it is waited for.
    """

    stage: RankingStage
    count: int
    seconds: float


class Recommender:
    """Answers requests by a chain of stages, each of which may fail.

    A stage that raises, hangs, is empty, or is given no time leaves the order
    of the stage before it; items that it does not know or has twice are taken
    out, and items that it left out follow in the order before. The trace says
    so. If recall brings nothing, the fallback list is ranked.

    For any number of threads.

    Args:
        schema: of requests.
        recall: brings the first items.
        steps: coarse, fine, re-ranking: any number of stages, names unlike.
        fallback: (F,) ids, best first, such as the most popular items.
        threads: that all stages run in.
        recall_seconds: recall is waited for.
        deadline: seconds for the whole answer.

    Raises:
        DataError: if stages together may take longer than the deadline.
    """

    def __init__(
        self,
        schema: Schema,
        recall: RecallStage,
        steps: Sequence[Step],
        fallback: np.ndarray,
        threads: StageThreads,
        recall_seconds: float = 0.1,
        deadline: float = 0.5,
    ):
        together = recall_seconds + sum(step.seconds for step in steps)
        if together > deadline + 1e-9:
            raise DataError(
                f"the stages may take {together:.3g} s together, more than the "
                f"deadline of {deadline:.3g} s. Give them less, or more."
            )
        names = [recall.name, *(step.stage.name for step in steps)]
        if len(set(names)) < len(names):
            raise DataError(f"stages need different names. Got: {names}.")
        self.schema, self.steps = schema, tuple(steps)
        self.deadline = deadline
        self._recall, self._fallback = recall, fallback
        self._recall_seconds = recall_seconds
        self._threads = threads
        roles = (*HISTORY_ROLES, *REQUEST_ROLES)
        self._validator = RequestValidator(schema, roles)
        self._columns = schema.columns(*roles)
        self._served = {c.name for c in self._columns}
        self._lock = threading.Lock()
        self._counts: dict[str, collections.Counter[str]] = (
            collections.defaultdict(collections.Counter)
        )
        self._seconds: dict[str, collections.deque[float]] = (
            collections.defaultdict(
                lambda: collections.deque(maxlen=_KEPT_TIMINGS)
            )
        )

    def recommend(
        self,
        request: Mapping[str, Any],
        blocked: np.ndarray | None = None,
        pins: Mapping[int, Any] | None = None,
        explain_attention: bool = False,
    ) -> Recommendation:
        """Answers one request, within the deadline whatever the stages do.

        Args:
            request: history and request columns, unpadded, by name; others
                are left out.
            blocked: (X,) ids that must not be shown.
            pins: place from 0 -> id, shown there if the re-ranking answers.
            explain_attention: explain items by the attention to histories,
                too, in what is left of the deadline, where a stage can.

        Raises:
            DataError: if the request is wrong, naming column and value.
        """
        start = time.perf_counter()
        given = {n: v for n, v in request.items() if n in self._served}
        columns = self._validator.check(given)
        batch = pad_requests([columns], self._columns)
        user = UserRequest(columns, batch, pins or {})
        traces: list[StageTrace] = []
        items = self._recalled(user, blocked, traces)
        answers = {self._recall.name: items}
        for number, step in enumerate(self.steps, 1):
            left = self.deadline - (time.perf_counter() - start)
            items, trace = self._step(step, user, items, left)
            traces.append(trace)
            if not trace.fell_back:
                answers[step.stage.name] = items
            pinned = user.pins if number < len(self.steps) else {}
            items = first_items(items, step.count, pinned)
        attention: dict[str, np.ndarray] = {}
        if explain_attention and len(items):
            left = self.deadline - (time.perf_counter() - start)
            attention = self._attention(user, items, left, traces)
        seconds = time.perf_counter() - start
        self._count(traces, seconds)
        return Recommendation(
            items.item_id,
            explain_items(items, answers, attention, user.columns),
            tuple(traces),
            seconds,
            {k: v for a in answers.values() for k, v in a.facts.items()},
            answers,
        )

    def warm_up(
        self,
        request: Mapping[str, Any],
        seconds: float = 60.0,
        explain_attention: bool = False,
    ) -> Recommendation:
        """Answers a request with so much time for each stage; counts nothing.

        The first call of a model takes seconds, which no deadline has.
        """
        steps = [
            dataclasses.replace(step, seconds=seconds) for step in self.steps
        ]
        patient = Recommender(
            self.schema,
            self._recall,
            steps,
            self._fallback,
            self._threads,
            seconds,
            seconds * (len(steps) + 2),
        )
        return patient.recommend(request, explain_attention=explain_attention)

    def stats(self) -> dict[str, Any]:
        """Returns outcomes and milliseconds (p50, p99) by stage, and `all`."""
        with self._lock:
            seconds = {n: list(kept) for n, kept in self._seconds.items()}
            counts = {n: dict(found) for n, found in self._counts.items()}
        return {
            name: {
                "outcomes": counts.get(name, {}),
                "requests": len(kept),
                "p50_ms": round(1000 * float(np.percentile(kept, 50)), 3),
                "p99_ms": round(1000 * float(np.percentile(kept, 99)), 3),
            }
            for name, kept in seconds.items()
        } | {"running": self._threads.running()}

    def _recalled(
        self,
        user: UserRequest,
        blocked: np.ndarray | None,
        traces: list[StageTrace],
    ) -> ScoredItems:
        """Brings the first items, or the fallback list."""
        start = time.perf_counter()
        excluded = self._recall.excluded(user, blocked)
        items, problems = self._recall.recall(
            user, excluded, self._recall_seconds
        )
        problem = "; ".join(f"{n}: {text}" for n, text in problems.items())
        status = outcomes.CORRECTED if problems else outcomes.OK
        if not len(items):
            status = outcomes.FAILED if problems else outcomes.EMPTY
            problem = f"{problem or 'no item'}; the fallback list is ranked"
            kept = self._fallback[~np.isin(self._fallback, excluded)]
            kept = kept[: self._recall.count]
            items = ScoredItems(kept, -np.arange(len(kept), dtype=float))
        items = self._with_pinned(items, user.pins, excluded)
        seconds = time.perf_counter() - start
        number = len(self._recall.channels)
        traces.append(
            StageTrace(
                self._recall.name, status, seconds, number, len(items), problem
            )
        )
        return items

    def _step(
        self, step: Step, user: UserRequest, items: ScoredItems, left: float
    ) -> tuple[ScoredItems, StageTrace]:
        """Orders items by a stage, or leaves them as they are."""
        start, name = time.perf_counter(), step.stage.name
        seconds = min(step.seconds, left)
        answer, status, problem = None, outcomes.SKIPPED, "no items to order"
        if len(items):
            answer, status, problem = self._call(
                name,
                lambda: step.stage.order(user, items, step.count, seconds),
                seconds,
            )
        if answer is not None:
            answer, problem = checked_answer(answer, items, step.count)
            status = outcomes.CORRECTED if problem else outcomes.OK
            if not len(answer):
                status, answer = outcomes.EMPTY, None
                problem = problem or "answered without an item"
        took = time.perf_counter() - start
        passed = items if answer is None else answer
        count = min(step.count, len(passed))
        trace = StageTrace(name, status, took, len(items), count, problem)
        return passed, trace

    def _call(
        self, name: str, work: Callable[[], Any], seconds: float
    ) -> tuple[Any, str, str]:
        """Returns the result or None, the outcome, and what went wrong."""
        if seconds <= 0:
            return None, outcomes.SKIPPED, "no time was left"
        try:
            result = self._threads.start(name, work).result(seconds)
            return result, outcomes.OK, ""
        except (FutureTimeoutError, DeadlineError):
            return None, outcomes.LATE, f"no answer within {seconds:.3g} s"
        except StageBusyError as error:
            return None, outcomes.BUSY, str(error)
        except Exception as error:
            return None, outcomes.FAILED, f"{type(error).__name__}: {error}"

    def _with_pinned(
        self, items: ScoredItems, pins: Mapping[int, Any], excluded: np.ndarray
    ) -> ScoredItems:
        """Adds pinned items that recall did not bring."""
        wanted = np.array(list(pins.values()), items.item_id.dtype)
        there = np.isin(wanted, items.item_id) | np.isin(wanted, excluded)
        wanted = wanted[~there & self._recall.knows(wanted)]
        if not len(wanted):
            return items
        ids = np.concatenate([items.item_id, wanted])
        least = items.score.min() if len(items) else 0.0
        below = least - 1.0 - np.arange(len(wanted))
        score = np.concatenate([items.score, below])
        return dataclasses.replace(items, item_id=ids, score=score)

    def _attention(
        self,
        user: UserRequest,
        items: ScoredItems,
        left: float,
        traces: list[StageTrace],
    ) -> dict[str, np.ndarray]:
        """Returns the attention to the histories; nothing if it fails."""
        start = time.perf_counter()
        stages = [
            step.stage
            for step in self.steps
            if isinstance(step.stage, ExplainingStage)
        ]
        found, status, problem = None, outcomes.SKIPPED, "no stage explains"
        if stages:
            found, status, problem = self._call(
                ATTENTION,
                lambda: stages[-1].attention(user, items.item_id, left),
                left,
            )
        took, number = time.perf_counter() - start, len(items)
        traces.append(
            StageTrace(ATTENTION, status, took, number, number, problem)
        )
        return found or {}

    def _count(self, traces: Sequence[StageTrace], seconds: float) -> None:
        with self._lock:
            for trace in traces:
                self._counts[trace.stage][trace.status] += 1
                self._seconds[trace.stage].append(trace.seconds)
            self._seconds["all"].append(seconds)
