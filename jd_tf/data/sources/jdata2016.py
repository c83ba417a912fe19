"""The action logs of the JData 2016 contest.

`JData_Action_*.csv`: user_id (`266079.0`), sku_id, time, model_id, type (1
view, 2 cart, 3 cart removal, 4 order, 5 follow, 6 click), cate, brand; in the
order of time. Beside it, where they lie in the folder: `JData_User*.csv`
(level, age, sex), `JData_Product*.csv` (attributes a1 to a3 of some products)
and `JData_Comment*.csv` (comments by date); their columns are in the schema
where the file is there.

How it is read, and why:

- Exact duplicates, a quarter of the published sample, are dropped.
- A visit is a run of a user's actions on one product that starts with a view
  or a click; its first four different modules are its fine-grained actions.
- A session ends after half an hour without an action. Labels reach from the
  request to the end of its session: `click` is any later view, click, cart,
  order or follow of the product, the others are named after their action.
- Files are merged by time and read once. With several files the last one is
  the test split, and validation is the last part of those before; with one
  file both are cut from its end. A request whose session runs into the next
  split is dropped: its labels were not known at the cut.
- Comments count from the day after their date.
- Memory: 350 bytes per kept visit (1.8 GB for the 105 thousand users of the
  whole contest), 8 bytes per arrival at a new product, and the tables.
"""

import collections
import dataclasses
import heapq
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jd_tf.data.sources.jdata_files import (
    MAX_MODULE_ID,
    PRODUCT_COLUMNS,
    USER_COLUMNS,
    CommentTable,
    KeyedTable,
    read_actions,
    time_at,
)
from jd_tf.data.sources.negative_sampling import NegativeSampler
from jd_tf.data.sources.request_builder import (
    BehaviorSource,
    RequestBuilder,
    session_columns,
)
from jd_tf.data.sources.source import Request, split_of_time
from jd_tf.data.sources.user_history import Action, Event, UserHistory
from jd_tf.schema import Behavior, DataError, IdColumn, Objective, Schema

COUNTERS = ("views", "clicks", "carts", "cart_removals", "orders", "follows")
_MODULES = ("module_1", "module_2", "module_3", "module_4")
_ACTIONS = {
    1: Action(counter=0),
    2: Action(visits=False, counter=2, objective=1, behavior="cart"),
    3: Action(visits=False, counter=3, objective=-1),
    4: Action(visits=False, counter=4, objective=3, behavior="order"),
    5: Action(visits=False, counter=5, objective=2, behavior="favourite"),
    6: Action(counter=1),
}
_PAST_COUNTERS = ("past_visits", "past_carts", "past_favourites", "past_orders")


@dataclasses.dataclass(eq=False)
class JData2016Source(BehaviorSource):
    """JData action logs as requests, one at each new product.

    Bad records are lines, those of tables included. `validation_share` is of
    the training files' bytes, `test_share` of those of a single file;
    `session_gap_minutes` is the pause that ends a session. The other options
    are those of `RequestBuilderConfig`.
    """

    name = "jdata2016"
    session_gap_minutes: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.session_gap_minutes <= 0:
            raise DataError(
                "`session_gap_minutes` must be positive. "
                f"Got: {self.session_gap_minutes}."
            )
        paths = self.find_files("JData_Action*.csv")
        self.paths = sorted(paths, key=lambda path: time_at(path, 0))
        self.split_starts = self._split_starts()
        users, products, comments = (
            self._table(f"JData_{name}*.csv")
            for name in ("User", "Product", "Comment")
        )
        report = self.report
        self.users = KeyedTable(users, "user_id", USER_COLUMNS, report)
        self.products = KeyedTable(products, "sku_id", PRODUCT_COLUMNS, report)
        self.comments = CommentTable(comments, report)

    @property
    def schema(self) -> Schema:
        """Visits with modules, carts, favourites, orders; tables if there."""
        return Schema(
            name=self.name,
            item_columns=(
                IdColumn("item_id", num_buckets=1 << 18),
                IdColumn("category_id", num_buckets=1 << 8),
                IdColumn("brand_id", num_buckets=1 << 14),
                *self.products.id_columns(),
            ),
            behaviors=(
                Behavior(
                    "click",
                    max_length=50,
                    action_counters=COUNTERS,
                    action_slots=_MODULES,
                    num_action_ids=MAX_MODULE_ID + 1,
                ),
                Behavior("cart", max_length=20),
                Behavior("favourite", max_length=20),
                Behavior("order", max_length=20),
            ),
            objectives=(
                Objective("click", 1.0),
                Objective("cart", 5.0, given="click"),
                Objective("favourite", 2.0, given="click"),
                Objective("order", 20.0, given="click"),
            ),
            max_candidates=self.num_candidates,
            item_dense=(
                *_PAST_COUNTERS,
                "category_visits",
                *self.comments.columns,
            ),
            context_columns=(
                # Hour + 1, as 0 pads.
                IdColumn("hour", vocabulary=tuple(range(1, 25))),
                *self.users.id_columns(),
            ),
            session_dense=session_columns(COUNTERS),
        )

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yields (split, request) in the order in which sessions end."""
        schema = self.schema
        attributes: dict[int, tuple] = {}
        sampler = NegativeSampler(_PAST_COUNTERS)
        builder = RequestBuilder(
            schema,
            self,
            sampler,
            self.report,
            attributes.__getitem__,
            self._item_features,
            self._context,
        )
        histories: dict[int, UserHistory] = {}
        # Users in a session, the one idle for longest first.
        active = collections.OrderedDict[int, UserHistory]()
        streams = [read_actions(path, self.report) for path in self.paths]
        for action in heapq.merge(*streams, key=lambda action: action.time):
            sampler.advance(action.time)
            idle_since = action.time - 60 * self.session_gap_minutes
            while active:
                first = next(iter(active.values()))
                if first.last_time >= idle_since:
                    break
                active.popitem(last=False)
                yield from self._close(builder, first)
            user, item = action.user, action.item
            if item not in attributes:
                extra = self.products.row(item)
                attributes[item] = (action.category, action.brand, *extra)
            if user not in histories:
                histories[user] = UserHistory(schema, user)
            history = histories[user]
            request_id = f"{user}:{action.time}:{history.num_visits}"
            event = Event(
                item, action.time, _ACTIONS[action.kind], action.module
            )
            builder.step(history, event, request_id, action.time)
            active[user] = history
            active.move_to_end(user)
        counts = self.report.counts
        for history in active.values():
            for split, request in self._close(builder, history):
                counts["requests whose session the end of the log cuts"] += 1
                yield split, request
        counts["users"] = len(histories)
        if not counts["rows"]:
            raise DataError(f"{self.folder}: no actions in the files.")
        share = counts["exact duplicates dropped"] / counts["rows"]
        self.report.notes.append(
            f"Exact duplicates dropped: {share:.1%} of the rows."
        )

    def _close(
        self, builder: RequestBuilder, history: UserHistory
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        last_split = split_of_time(history.last_time, self.split_starts)
        for request in builder.close(history):
            split = split_of_time(request["request_time"], self.split_starts)
            if split != last_split:
                self.report.counts["left out: session crosses a split"] += 1
                continue
            yield split, request

    def _split_starts(self) -> tuple[int, int]:
        """Returns the first seconds of validation and test, by bytes."""
        if len(self.paths) == 1:
            share = 1 - self.test_share
            test = time_at(self.paths[0], share)
            validation = time_at(self.paths[0], share - self.validation_share)
            return validation, test
        *training, last = self.paths
        sizes = [path.stat().st_size for path in training]
        offset = (1 - self.validation_share) * sum(sizes)
        for path, size in zip(training, sizes, strict=True):
            if offset < size or path is training[-1]:
                break
            offset -= size
        return time_at(path, offset / size), time_at(last, 0)

    def _table(self, pattern: str) -> Path | None:
        found = sorted(self.folder.rglob(pattern))
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(
                f"{self.folder}: several files match {pattern}: {names}. "
                "Keep one."
            )
        if not found:
            self.report.notes.append(f"No {pattern}: its columns are left out.")
        return found[0] if found else None

    def _item_features(self, item: int, now: float) -> list[float]:
        return self.comments.before(item, _datetime(now).strftime("%Y-%m-%d"))

    def _context(self, user: int, now: float) -> dict[str, Any]:
        row = zip(self.users.names, self.users.row(user), strict=True)
        return {"hour": _datetime(now).hour + 1, **dict(row)}


def _datetime(time: float) -> datetime:
    return datetime.fromtimestamp(time, timezone.utc)
