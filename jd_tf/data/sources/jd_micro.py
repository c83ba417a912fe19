"""JD micro-behaviour sessions (Gu et al., HUP, WSDM 2020).

Text, one session a line, events separated by blanks, oldest first:
`sku+behaviour+category+interval+dwell`. Behaviours 1 to 5 are ways to come to
a product (home, category list, sale, cart, search), 6 reads comments, 7 the
specification, 8 the bottom of the page, 9 adds to the cart, 10 orders.
Interval and dwell are in seconds. There are no users and no clock.

How it is read, and why:

- An interval is the time to the *next* event: the description states it and
  the sample agrees (`docs/data.md`). A session's clock starts at 0 with its
  first event; the last interval is not used.
- The events of one stay share one dwell: the total, known when the product
  is left. A request sees it if it is over by then, and otherwise that it is
  unknown.
- Without a clock, lines stand for time: an item is known from the line after
  the one it was first seen in, and the last lines of each file are the test
  split. Each file is a shop of its own: items of one are no negatives in
  the other.
- `user_id` is the session, `request_time` is 0, and times of events are before
  it.
"""

import dataclasses
from collections.abc import Iterator

from jd_tf.data.sources.negative_sampling import NegativeSampler
from jd_tf.data.sources.request_builder import (
    BehaviorSource,
    RequestBuilder,
    session_columns,
)
from jd_tf.data.sources.source import Request
from jd_tf.data.sources.text_files import NO_LIMIT, read_lines, whole_numbers
from jd_tf.data.sources.user_history import Action, Event, UserHistory
from jd_tf.schema import Behavior, DataError, IdColumn, Objective, Schema

COUNTERS = (
    "entries",
    "comment_reads",
    "specification_reads",
    "page_bottom_reads",
    "carts",
    "orders",
)
_PAST_COUNTERS = ("past_visits", "past_carts", "past_orders")
_NUM_ENTRY_SOURCES = 5
_ENTRY = Action(counter=0)
_ACTIONS = {
    **{source: _ENTRY for source in range(1, _NUM_ENTRY_SOURCES + 1)},
    6: Action(counter=1),
    7: Action(counter=2),
    8: Action(counter=3),
    9: Action(counter=4, objective=1, behavior="cart"),
    10: Action(counter=5, objective=2, behavior="order"),
}
_FIELDS = {
    "sku": (1, NO_LIMIT),
    "behaviour": (1, len(_ACTIONS)),
    "category": (1, NO_LIMIT),
    "interval": (0, NO_LIMIT),
    "dwell": (0, NO_LIMIT),
}


@dataclasses.dataclass(eq=False)
class JDMicroSource(BehaviorSource):
    """Sessions of `JD_*` or `*.txt` files, a request at each new product.

    Shares are of each file; bad records are sessions. The other options are
    those of `RequestBuilderConfig`.
    """

    name = "jd_micro"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.paths = self.find_files("JD_[A-Z]*", "*.txt")

    @property
    def schema(self) -> Schema:
        """Visits with dwell and fine-grained actions, carts, orders."""
        return Schema(
            name=self.name,
            item_columns=(
                IdColumn("item_id", num_buckets=1 << 18),
                IdColumn("category_id", num_buckets=1 << 12),
            ),
            behaviors=(
                Behavior(
                    "click",
                    max_length=50,
                    dwell=True,
                    action_counters=COUNTERS,
                    action_slots=("entry_source",),
                    num_action_ids=_NUM_ENTRY_SOURCES,
                ),
                Behavior("cart", max_length=20),
                Behavior("order", max_length=20),
            ),
            objectives=(
                Objective("click", 1.0),
                Objective("cart", 5.0, given="click"),
                Objective("order", 20.0, given="click"),
            ),
            max_candidates=self.num_candidates,
            item_dense=(*_PAST_COUNTERS, "category_visits"),
            session_dense=session_columns(COUNTERS),
        )

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yields (split, request) session by session."""
        schema = self.schema
        self.report.notes.append(
            "No clock: lines of a file stand for time; splits are by session."
        )
        for path in self.paths:
            size = path.stat().st_size
            categories: dict[int, tuple[int]] = {}
            sampler = NegativeSampler(_PAST_COUNTERS)
            category_of = categories.__getitem__
            builder = RequestBuilder(
                schema, self, sampler, self.report, category_of
            )
            for line, start, text in read_lines(path, self.report):
                try:
                    events, seen = parse_session(text)
                except DataError as error:
                    self.report.tolerate(f"{path}: line {line}: {error}")
                    continue
                # The first category an item was seen in stays, so that later
                # lines cannot change earlier requests.
                for item, category in seen.items():
                    categories.setdefault(item, (category,))
                sampler.advance(line)
                session = f"{path.name}:{line}"
                history = UserHistory(schema, session)
                for number, event in enumerate(events):
                    builder.step(history, event, f"{session}:{number}", 0)
                self.report.counts["sessions"] += 1
                self.report.counts["events"] += len(events)
                split = self.split_of_share(start / size)
                for request in builder.close(history):
                    yield split, request


def parse_session(text: str) -> tuple[list[Event], dict[int, int]]:
    """Parses a line to events, from second 0, and the items' categories."""
    events: list[Event] = []
    categories: dict[int, int] = {}
    now = 0
    for number, token in enumerate(text.split()):
        fields = token.split("+")
        if len(fields) != len(_FIELDS):
            raise DataError(
                f"event {number}: {token!r} is not {'+'.join(_FIELDS)}"
            )
        try:
            numbers = whole_numbers(_FIELDS, fields)
        except DataError as error:
            raise DataError(f"event {number}: {error}") from error
        item, behavior, category, interval, dwell = numbers
        entry = behavior if behavior <= _NUM_ENTRY_SOURCES else 0
        events.append(Event(item, now, _ACTIONS[behavior], entry, dwell))
        categories.setdefault(item, category)
        now += interval
    if not events:
        raise DataError("the session is empty")
    return events, categories
