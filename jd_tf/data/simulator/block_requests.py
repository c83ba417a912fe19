"""Requests of the simulated shop from its users' logs, and their schema."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from jd_tf.data.simulator.behavior import (
    COUNTERS,
    OBJECTIVES,
    BehaviorParameters,
)
from jd_tf.data.simulator.config import DAY, SimulatorConfig
from jd_tf.data.simulator.people.actions import examination
from jd_tf.data.simulator.people.block_simulation import (
    ACTION_SLOTS,
    NUM_ACTION_IDS,
    SESSION_DENSE,
)
from jd_tf.data.simulator.people.event_log import BlockLog
from jd_tf.data.simulator.people.users import NUM_LEVELS
from jd_tf.data.simulator.shop.catalogue import Catalogue
from jd_tf.data.simulator.shop.logging_policy import SCENARIOS
from jd_tf.schema import Behavior, BiasColumn, IdColumn, Schema

ITEM_DENSE = (
    "log_price",
    "price_position",
    "log_exposures",
    "click_rate",
    "log_age_days",
)
# What histories know of an item; prices do not change here.
PAST_DENSE = ITEM_DENSE[:2]
# Enough table rows per item to keep most apart when ids are hashed.
_ROWS_AN_ITEM = 8
# Far more than there are words.
_TITLE_ROWS = 4096
TITLE = "title"
# A new item is taken to be as good as so many average exposures.
_PRIOR_EXPOSURES = 20.0
_PRIOR_CLICK_RATE = 0.1

Tally = tuple[np.ndarray, np.ndarray, np.ndarray]


def shop_schema(config: SimulatorConfig) -> Schema:
    """Returns the schema of a shop of that size."""

    def known(name: str, count: int) -> IdColumn:
        return IdColumn(name, vocabulary=tuple(range(1, count + 1)))

    titles = (IdColumn(TITLE, "string", _TITLE_ROWS, text=True),)
    return Schema(
        name="simulator",
        item_columns=(
            IdColumn("item_id", num_buckets=_ROWS_AN_ITEM * config.num_items),
            known("category_id", config.num_categories),
            known("brand_id", config.num_brands),
            known("shop_id", config.num_shops),
            *(titles if config.titles else ()),
        ),
        behaviors=(
            Behavior(
                "click",
                config.click_length,
                dwell=True,
                action_counters=COUNTERS,
                action_slots=ACTION_SLOTS,
                num_action_ids=NUM_ACTION_IDS,
                item_dense=PAST_DENSE,
            ),
            Behavior("cart", config.cart_length, item_dense=PAST_DENSE),
            Behavior("order", config.order_length, item_dense=PAST_DENSE),
        ),
        item_dense=ITEM_DENSE,
        context_columns=(
            IdColumn("scenario", dtype="string", vocabulary=SCENARIOS),
            # 1 to 24, as 0 pads.
            known("hour", 24),
            known("user_level", NUM_LEVELS),
        ),
        session_dense=SESSION_DENSE,
        bias_columns=(BiasColumn("position", config.num_candidates),),
        objectives=OBJECTIVES,
        max_candidates=config.num_candidates,
        reward=True,
        oracle=True,
        scenario_column="scenario",
        # 0 browses, 1 buys.
        oracle_names=("intent",),
        # Prices, counters and seconds come as logarithms.
        linear_dense=(*ITEM_DENSE, *SESSION_DENSE),
    )


class ItemCounters:
    """Exposures and clicks of every item, as a batch job would update them.

    A counter holds what was over at the last update, never this request.
    `totals` (2, periods + 1, items): exposures and clicks before each.
    """

    def __init__(self, config: SimulatorConfig, totals: np.ndarray):
        self.config, self.totals = config, totals

    @classmethod
    def of(
        cls, config: SimulatorConfig, tallies: Iterable[Tally]
    ) -> "ItemCounters":
        """Builds counters from the tallies of all blocks."""
        shape = (2, _num_periods(config) + 1, config.num_items)
        totals = np.zeros(shape, np.int32)
        # Events of one period are known from the next one on.
        shown, clicked = (part[1:].reshape(-1) for part in totals)
        for cells, num_shown, num_clicked in tallies:
            shown[cells] += num_shown
            clicked[cells] += num_clicked
        np.cumsum(totals, axis=1, out=totals)
        return cls(config, totals)

    def read(
        self, items: np.ndarray, time: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns (R, N) exposures and smoothed click rates at (R,) times."""
        row = _period(self.config, time)[:, None]
        shown, clicked = self.totals[:, row, items].astype(np.float64)
        expected = _PRIOR_EXPOSURES * _PRIOR_CLICK_RATE
        return shown, (clicked + expected) / (shown + _PRIOR_EXPOSURES)


def tally(config: SimulatorConfig, exposures: dict[str, np.ndarray]) -> Tally:
    """Counts exposures and clicks by cell: period times items plus item."""
    if not exposures:
        return (np.empty(0, np.int64),) * 3
    period = _period(config, exposures["time"])
    # Sessions that outlast the log end in the last period.
    period = np.minimum(period, _num_periods(config) - 1)
    cells, place = np.unique(
        period * config.num_items + exposures["item"], return_inverse=True
    )
    clicked = np.bincount(place[exposures["clicked"]], minlength=len(cells))
    return cells, np.bincount(place, minlength=len(cells)), clicked


def _num_periods(config: SimulatorConfig) -> int:
    """Periods between updates in the whole simulated time."""
    hours = 24 * (config.num_warm_up_days + config.num_days)
    return -(-hours // config.counter_hours)


def _period(config: SimulatorConfig, time: np.ndarray) -> np.ndarray:
    since = np.maximum(time - config.warm_up_time, 0.0)
    return (since // (3600.0 * config.counter_hours)).astype(np.int64)


class BlockRequests:
    """Builds request dicts out of block logs."""

    def __init__(
        self,
        behavior: BehaviorParameters,
        catalogue: Catalogue,
        counters: ItemCounters,
    ):
        self.catalogue, self.counters = catalogue, counters
        self.config = config = counters.config
        self._examination = examination(behavior, config.num_candidates)
        # Ids start at 1, as 0 pads.
        self._ids: dict[str, np.ndarray] = {
            "item_id": np.arange(1, config.num_items + 1),
            "category_id": catalogue.category + 1,
            "brand_id": catalogue.brand + 1,
            "shop_id": catalogue.shop + 1,
        }
        self._prices = np.stack(
            [catalogue.log_price, catalogue.price_level], axis=1
        ).astype(np.float32)
        if config.titles:
            titles = map(catalogue.title, range(config.num_items))
            self._ids[TITLE] = np.array([t.encode() for t in titles], object)

    def build(
        self, log: BlockLog, rows: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        """Yields the block's requests at the given (M,) rows, in that order."""
        if not len(rows):
            return
        logged = {name: part[rows] for name, part in log.requests.items()}
        items, time = logged["item"], logged["time"]
        columns = {name: ids[items] for name, ids in self._ids.items()}
        columns["item_dense"] = self._item_dense(items, time)
        columns["labels"] = logged["labels"].astype(np.float32)
        columns["label_weights"] = np.ones_like(columns["labels"])
        columns["reward"] = logged["reward"]
        seen = self._examination.astype(np.float32)[:, None]
        columns["oracle_relevance"] = logged["relevance"]
        columns["oracle_probabilities"] = logged["relevance"] * seen
        position = np.arange(items.shape[1], dtype=np.int32)

        user = logged["user"]
        user_id = log.first_user + user + 1
        hour = (time // 3600).astype(np.int64) % 24 + 1
        histories = (
            ("click", log.clicks, self.config.click_length),
            ("cart", log.carts, self.config.cart_length),
            ("order", log.orders, self.config.order_length),
        )
        for row in range(len(rows)):
            shown = logged["num_shown"][row]
            session, step = logged["session"][row], logged["step"][row]
            request = {
                "request_id": f"{user_id[row]}-{session}-{step}",
                "user_id": int(user_id[row]),
                "request_time": int(time[row]),
                "scenario": SCENARIOS[logged["scenario"][row]],
                "hour": hour[row],
                "user_level": log.level[user[row]],
                "session_dense": logged["session_dense"][row],
                "position": position[:shown],
                "oracle_intent": logged["intent"][row],
            }
            for name, column in columns.items():
                request[name] = column[row, :shown]
            for name, events, length in histories:
                end = logged[f"{name}_end"][row]
                past = slice(max(end - length, 0), end)
                # Newest first.
                history = {
                    column: table[user[row], past][::-1]
                    for column, table in events.tables.items()
                }
                happened = np.floor(history.pop("time"))
                history["event_time"] = happened.astype(np.int64)
                before = history.pop("item")
                history["item_dense"] = self._prices[before]
                history |= {c: ids[before] for c, ids in self._ids.items()}
                request |= {f"{name}_{c}": h for c, h in history.items()}
            yield request

    def _item_dense(self, items: np.ndarray, time: np.ndarray) -> np.ndarray:
        catalogue = self.catalogue
        exposures, click_rate = self.counters.read(items, time)
        age = time[:, None] - catalogue.arrival_time[items]
        parts = (
            *np.moveaxis(self._prices[items], -1, 0),
            np.log1p(exposures),
            click_rate,
            np.log1p(np.maximum(age, 0.0) / DAY),
        )
        return np.stack(parts, axis=-1).astype(np.float32)
