"""Requests from a log of behaviour that has no impressions.

A request is made each time a user goes to a product that is new to them.
That product is the positive; the other candidates are drawn from the items
that the log has shown before that time. Labels are the user's actions on each
candidate from then to the end of the session. The rules keep the making of
requests from giving the positive away:

- The positive must be known before like every other candidate; visits to a
  product never seen before are left out and counted.
- No candidate is in the user's histories or touched in this session; the
  positive is not, so the others must not be either.
- Negatives are drawn in proportion to the arrivals at an item so far: the
  same kind of event as the one that made the positive a positive.
- Negatives of the same category share the category of the product being
  *left*, never of the one gone to.
- Counters are those from before; candidates are shuffled.
- The draws depend on the seed and the request's id alone, so nothing
  that happens later changes a request, except for its labels.
"""

import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from jd_tf.data.log_report import LogReport
from jd_tf.data.sources.negative_sampling import NegativeSampler
from jd_tf.data.sources.source import Source, check_least
from jd_tf.data.sources.user_history import Event, UserHistory
from jd_tf.schema import DataError, Schema


def session_columns(counters: Iterable[str]) -> tuple[str, ...]:
    """Returns the names of `session_dense`, given the counters of visits."""
    names = ("seconds", "visits", "products", *counters)
    return tuple(f"session_{name}" for name in names)


@dataclasses.dataclass(eq=False)
class RequestBuilderConfig:
    """Options of `RequestBuilder`.

    Attributes:
        num_candidates: candidates of every request, the positive included.
        same_category_share: probability that a negative is drawn from the
            category of the product being left, not from all items. Above
            the share at which users really stay in it (`same category` in
            the report), leaving the category would give the positive away.
        moment_share: share of the visits to new products that become
            requests.
        seed: of everything drawn.
    """

    num_candidates: int = 20
    same_category_share: float = 0.5
    moment_share: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        check_least(self, num_candidates=2)
        for name in ("same_category_share", "moment_share"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise DataError(
                    f"`{name}` must be between 0 and 1. Got: {share}."
                )


@dataclasses.dataclass(eq=False)
class RequestBuilder:
    """Makes requests out of the events of users.

    Attributes:
        schema: `item_columns` are `item_id`, `category_id` and whatever
            `attributes` gives beyond; `item_dense` is the counters
            of `sampler`, one an objective, and the visits of the category;
            `session_dense` is what `session_columns` returns.
        config: candidates, shares and seed.
        sampler: of the items known so far; the caller advances it.
        report: counts the requests and the visits left out.
        attributes: item -> its other item columns; category first.

    Example:
        >>> from jd_tf.data import RequestBuilder, Simulator
        >>> from jd_tf.data.sources.negative_sampling import NegativeSampler
        >>> from jd_tf.data.sources.request_builder import RequestBuilderConfig
        >>> from jd_tf.data.log_report import LogReport
        >>> from jd_tf.data.sources.user_history import Action, Event
        >>> from jd_tf.data.sources.user_history import UserHistory
        >>> schema = Simulator().schema
        >>> sampler = NegativeSampler(("past_visits",))
        >>> builder = RequestBuilder(
        ...     schema,
        ...     RequestBuilderConfig(num_candidates=2),
        ...     sampler,
        ...     LogReport(),
        ...     attributes=lambda item: (1, 1, 1),
        ... )
        >>> time = 0
        >>> for user in ("first", "second"):
        ...     history = UserHistory(schema, user)
        ...     for item in (7, 8, 9):
        ...         time += 1
        ...         sampler.advance(time)
        ...         event = Event(item, time, Action())
        ...         builder.step(history, event, f"{user}:{item}", time)
        ...     requests = list(builder.close(history))
        >>> requests[0]["request_id"], requests[0]["click_item_id"].tolist()
        ('second:8', [7])
        >>> sorted(requests[0]["item_id"].tolist())
        [8, 9]
    """

    schema: Schema
    config: RequestBuilderConfig
    sampler: NegativeSampler
    report: LogReport
    attributes: Callable[[int], tuple]

    def step(
        self, history: UserHistory, event: Event, request_id: str, clock: int
    ) -> None:
        """Records an event; may open a request with id and time `clock`."""
        category = self.attributes(event.item)[0]
        if history.starts_visit(event):
            known = history.known_items()
            if event.item not in known:
                candidates = self._candidates(history, event, known, request_id)
                if candidates:
                    request = {
                        **self._inputs(history, event.time, clock, candidates),
                        "request_id": request_id,
                        "user_id": history.user_id,
                        "request_time": clock,
                    }
                    history.open_requests.append(
                        (history.position, candidates, request)
                    )
                self.sampler.add(event.item, category)
        if event.action.objective > 0:
            self.sampler.add(event.item, category, event.action.objective)
        history.record(event)

    def close(self, history: UserHistory) -> Iterator[dict[str, Any]]:
        """Ends the session; yields its requests with their labels."""
        never = [-1] * len(self.schema.objectives)
        for position, candidates, request in history.open_requests:
            last = [history.touched.get(item, never) for item in candidates]
            labels = np.array(last) >= position
            request["labels"] = labels.astype(np.float32)
            request["label_weights"] = np.ones_like(request["labels"])
            several = bool(labels[:, 0].sum() > 1)
            self.report.counts["requests with several clicks"] += several
            yield request
        history.start_session()

    def _candidates(
        self,
        history: UserHistory,
        event: Event,
        known: set[int],
        request_id: str,
    ) -> list[int]:
        """Returns shuffled candidates; none where no request is made."""
        counts = self.report.counts
        counts["moments: went to a new product"] += 1
        latest = history.latest_item
        if latest is None:
            counts["left out: no history yet"] += 1
            return []
        if event.item not in self.sampler:
            counts["left out: product never seen before"] += 1
            return []
        generator = random.Random(f"{self.config.seed}/{request_id}")
        if generator.random() >= self.config.moment_share:
            counts["left out: moment_share"] += 1
            return []
        category = self.attributes(latest)[0]
        candidates = self.sampler.draw(
            generator,
            self.config.num_candidates - 1,
            category,
            self.config.same_category_share,
            known | {event.item},
        )
        if candidates is None:
            counts["left out: too few products known"] += 1
            return []
        counts["moments in the same category"] += (
            self.attributes(event.item)[0] == category
        )
        candidates.append(event.item)
        generator.shuffle(candidates)
        return candidates

    def _inputs(
        self,
        history: UserHistory,
        now: float,
        clock: int,
        candidates: list[int],
    ) -> dict[str, Any]:
        request: dict[str, Any] = {}
        for behavior, items, columns in history.histories(now, clock):
            request |= columns
            request |= self._ids(f"{behavior.name}_", items)
        request |= self._ids("", candidates)
        rows = [
            [
                *self.sampler.counts(item),
                self.sampler.category_visits(self.attributes(item)[0]),
            ]
            for item in candidates
        ]
        request["item_dense"] = np.array(rows, np.float32)
        request["session_dense"] = history.session_dense(now)
        return request

    def _ids(self, prefix: str, items: list[int]) -> dict[str, np.ndarray]:
        """Returns every item column of some items."""
        rows = [(item, *self.attributes(item)) for item in items]
        return {
            prefix + column.name: np.array(
                [row[index] for row in rows],
                np.int64 if column.dtype == "int64" else object,
            )
            for index, column in enumerate(self.schema.item_columns)
        }


@dataclasses.dataclass(eq=False)
class BehaviorSource(RequestBuilderConfig, Source):
    """A log without impressions, the requests of which are built."""

    def __post_init__(self) -> None:
        Source.__post_init__(self)
        RequestBuilderConfig.__post_init__(self)
