"""Impressions of short videos with six kinds of feedback (KuaiRand).

Gao et al., "KuaiRand: An Unbiased Sequential Recommendation Dataset with
Randomly Exposed Videos" (CIKM 2022). Tables separated by tabs or commas,
gzipped or not, one impression a line, in the order of `time_ms`; columns are
found by name: user_id, video_id, time_ms, is_click, long_view,
is_profile_enter, is_comment, is_forward, is_follow, play_time_ms, duration_ms,
comment_stay_time and, in the published logs, tab, the scenario.

How it is read, and why:

- Impressions of a user that follow each other closely are one request: the
  next one begins after a pause, counted from the end of what was played, at
  midnight, or when the request is full.
- What was shown but neither clicked nor viewed long is the history `skip`.
- An impression is over once it was played and its comments were left. Only
  what was over when a request began is in its histories and its session; dwell
  is the time it was played. Of a candidate its id and its duration are known,
  and, as of the moment the request began, counters and rates of feedback
  (`PastCounts`); of the user the same rates.
- `long_view` and `comment` are conditional on a click, as in the log they
  come without one only once in 80 and 35 times; the others stand alone.
- What was viewed long or commented on was opened: its label `click` is 1, also
  in the few lines of which `is_click` is 0.
- There is no money in this log. Values were chosen so that no kind of feedback
  is lost beside the others at the rates of the published sample.
- Splits are cut by time, at shares of the impressions. A request whose outcome
  was known only after a cut is left out.
- `label`, `is_like` and `is_hate` are not read: by them the sample was drawn.
  Nor are the tables of users and videos: no column has the time it was counted
  at, so the future may be in them, and they list the videos of only 3 % of
  the impressions.
- A feed that plays one video at a time has no position: all of them are seen.
- Memory: a few kB for every user, a row for every video; see `PastCounts`.
"""

import collections
import dataclasses
import datetime
import heapq
from collections.abc import Iterator
from typing import Any

import numpy as np

from jd_tf.data.log_report import LogReport
from jd_tf.data.sources.kuairand_log import (
    FEEDBACK,
    ITEM_DENSE,
    ITEM_RATES,
    SESSION_DENSE,
    TAB,
    USER_DENSE,
    USER_RATES,
    Impression,
    PastCounts,
    Viewer,
    open_log,
    read_impressions,
)
from jd_tf.data.sources.source import (
    Request,
    Source,
    check_least,
    split_of_time,
)
from jd_tf.schema import Behavior, DataError, IdColumn, Objective, Schema

OBJECTIVES = (
    Objective("click", 1.0),
    Objective("long_view", 1.0, given="click"),
    Objective("profile_enter", 4.0),
    Objective("comment", 8.0, given="click"),
    Objective("forward", 20.0),
    Objective("follow", 20.0),
)
_CLICK_COUNTERS = (
    *(objective.name for objective in OBJECTIVES[1:]),
    "comment_seconds",
)
_NUM_TABS = 15
_DAY, _MINUTE = 86_400, 60
# The log was taken in China.
_CLOCK_AHEAD = 8 * 3600
_CLOCK = datetime.timezone(datetime.timedelta(seconds=_CLOCK_AHEAD))


@dataclasses.dataclass(eq=False)
class KuaiRandSource(Source):
    """Impressions of `feedback*.tsv*` or `log_*.csv*` files as requests.

    Shares are of the impressions. A pause of `request_gap_seconds` ends a
    request of up to `max_candidates`, one of `session_gap_minutes` a session.
    """

    name = "kuairand"
    request_gap_seconds: float = 300.0
    max_candidates: int = 20
    session_gap_minutes: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, request_gap_seconds=0, max_candidates=1)
        check_least(self, session_gap_minutes=0)
        paths = self.find_files("feedback*.tsv*", "log_*.csv*")
        self.tables = [open_log(path) for path in paths]
        self.has_tab = all(TAB in table.columns for table in self.tables)

    @property
    def schema(self) -> Schema:
        """Clicks with play time and feedback, profiles entered, comments."""
        # Hour + 1, as 0 pads.
        hour = IdColumn("hour", vocabulary=tuple(range(1, 25)))
        tab = IdColumn("scenario", vocabulary=tuple(range(1, _NUM_TABS + 1)))
        viewer = IdColumn("viewer_id", num_buckets=1 << 16)
        return Schema(
            name=self.name,
            item_columns=(IdColumn("item_id", num_buckets=1 << 18),),
            behaviors=(
                Behavior(
                    "click",
                    max_length=50,
                    dwell=True,
                    action_counters=_CLICK_COUNTERS,
                ),
                Behavior("profile_enter", max_length=20),
                Behavior("comment", max_length=20),
                Behavior("skip", max_length=30),
            ),
            objectives=OBJECTIVES,
            max_candidates=self.max_candidates,
            item_dense=("duration_seconds", *ITEM_DENSE),
            context_columns=(hour, viewer, *([tab] if self.has_tab else [])),
            session_dense=(*SESSION_DENSE, *USER_DENSE),
            linear_dense=(*ITEM_RATES, *USER_RATES),
            scenario_column="scenario" if self.has_tab else "",
        )

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yields (split, request) as they end; a first pass finds the cuts."""
        schema, counts = self.schema, self.report.counts
        starts = self._split_starts()
        viewers: dict[int, Viewer] = collections.defaultdict(
            lambda: Viewer(schema, 60 * self.session_gap_minutes)
        )
        items, users, today = PastCounts(), PastCounts(), -1
        # Requests that more impressions may join; at midnight there are none.
        waiting: dict[int, _OpenRequest] = {}
        for impression in self._merged(self.report):
            counts["impressions"] += 1
            day = int((impression.time + _CLOCK_AHEAD) // _DAY)
            if day > today:
                for done in waiting.values():
                    yield from self._close(done, starts)
                waiting.clear()
                for past in (items, users):
                    past.settle(impression.time)
                today = day
            user = impression.user
            viewer, mine = viewers[user], waiting.get(user)
            if mine and impression in mine.rows:
                counts["exact duplicates dropped"] += 1
                continue
            click, *others = impression.feedback
            for name, happened in zip(FEEDBACK[1:], others, strict=True):
                if happened and not click:
                    counts[f"{name} without a click"] += 1
            if mine and not self._joins(mine, impression):
                yield from self._close(mine, starts)
                mine = None
            if mine is None:
                side = self._user_side(viewer, users, impression)
                mine = waiting[user] = _OpenRequest(side, impression.end)
            mine.rows.append(impression)
            began, item = mine.rows[0].time, impression.item
            counters = (*items.read(item, began), *items.rates(item, began))
            mine.item_dense.append([impression.duration, *counters])
            mine.end = max(mine.end, impression.end)
            viewer.record(impression)
            items.add(item, impression)
            users.add(user, impression)
        for done in waiting.values():
            yield from self._close(done, starts)
        counts["users"] = len(viewers)
        self.report.notes += [
            "What was liked or hated decides what is in the published sample, "
            "so rates are not those of the app."
        ]

    def _joins(self, mine: "_OpenRequest", impression: Impression) -> bool:
        pause = impression.time - mine.end
        full = len(mine.rows) >= self.max_candidates
        same_place = impression.tab == mine.rows[0].tab
        return pause <= self.request_gap_seconds and same_place and not full

    def _user_side(
        self, viewer: Viewer, users: PastCounts, impression: Impression
    ) -> dict[str, Any]:
        now, user = impression.time, impression.user
        shown = users.read(user, now)[0]
        side: dict[str, Any] = {
            "request_id": f"{user}:{round(1000 * now)}",
            "user_id": user,
            "viewer_id": user,
            "request_time": int(now),
            "hour": datetime.datetime.fromtimestamp(now, _CLOCK).hour + 1,
            **viewer.columns(now),
        }
        side["session_dense"] = np.concatenate(
            [side["session_dense"], [shown, *users.rates(user, now)]],
            dtype=np.float32,
        )
        if self.has_tab:
            side["scenario"] = impression.tab + 1
        return side

    def _close(
        self, mine: "_OpenRequest", starts: tuple[float, float]
    ) -> Iterator[tuple[str, Request]]:
        split = split_of_time(mine.rows[0].time, starts)
        if split != split_of_time(mine.end, starts):
            self.report.counts["left out: outcome known after a cut"] += 1
            return
        self.report.counts["requests of one impression"] += len(mine.rows) == 1
        yield split, mine.request()

    def _merged(self, report: LogReport) -> Iterator[Impression]:
        streams = [read_impressions(table, report) for table in self.tables]
        return heapq.merge(*streams, key=lambda impression: impression.time)

    def _split_starts(self) -> tuple[float, float]:
        """Returns the first seconds of validation and test, whole minutes."""
        # The real pass counts bad records again.
        trial = LogReport(self.report.max_bad_records)
        minutes: collections.Counter[int] = collections.Counter()
        for impression in self._merged(trial):
            minutes[int(impression.time // _MINUTE)] += 1
        if not minutes:
            raise DataError(f"{self.folder}: no impressions in the files.")
        ordered = sorted(minutes)
        before = np.cumsum([0, *(minutes[m] for m in ordered)])[:-1]
        shares = before / minutes.total()
        test = 1 - self.test_share
        places = np.searchsorted(shares, [test - self.validation_share, test])
        validation, test = np.array([*ordered, ordered[-1] + 1])[places]
        return float(validation * _MINUTE), float(test * _MINUTE)


@dataclasses.dataclass(eq=False)
class _OpenRequest:
    """A request that more impressions may join."""

    user_side: dict[str, Any]
    end: float  # When all feedback was known
    rows: list[Impression] = dataclasses.field(default_factory=list)
    item_dense: list[list[float]] = dataclasses.field(default_factory=list)

    def request(self) -> Request:
        feedback = np.array([row.feedback for row in self.rows], np.float32)
        given = [i for i, o in enumerate(OBJECTIVES) if o.given]
        feedback[:, 0] = feedback[:, [0, *given]].max(axis=1)
        # A request shows an item once: what is scrolled back to is joined.
        items = np.array([row.item for row in self.rows], np.int64)
        places = sorted(np.unique(items, return_index=True)[1])
        same = items[places, None] == items
        labels = (same[..., None] * feedback).max(axis=1)
        return {
            **self.user_side,
            "item_id": items[places],
            "item_dense": np.array(self.item_dense, np.float32)[places],
            "labels": labels,
            "label_weights": np.ones_like(labels),
        }
