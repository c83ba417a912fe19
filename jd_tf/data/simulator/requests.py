"""Turns a block's log into requests of the schema."""

from collections.abc import Iterator

import numpy as np

from jd_tf.data.simulator.actions import examination
from jd_tf.data.simulator.behavior import BehaviorParameters
from jd_tf.data.simulator.block_log import BlockLog
from jd_tf.data.simulator.catalogue import Catalogue
from jd_tf.data.simulator.config import DAY, SimulatorConfig
from jd_tf.data.simulator.counters import ItemCounters
from jd_tf.data.simulator.events import EventLog
from jd_tf.data.simulator.policy import SCENARIOS
from jd_tf.data.simulator.shop_schema import TITLE


class RequestBuilder:
    """Builds request dicts out of block logs.

    Args:
        config: lengths of histories and calendar.
        behavior: for the examination of positions.
        catalogue: categories, brands, shops and prices.
        counters: what had been counted when.
    """

    def __init__(
        self,
        config: SimulatorConfig,
        behavior: BehaviorParameters,
        catalogue: Catalogue,
        counters: ItemCounters,
    ):
        self.config, self.catalogue = config, catalogue
        self.counters = counters
        self._examination = examination(behavior, config.num_candidates)
        # Ids start at 1, as 0 pads.
        self._ids = {
            "item_id": np.arange(1, config.num_items + 1),
            "category_id": catalogue.category + 1,
            "brand_id": catalogue.brand + 1,
            "shop_id": catalogue.shop + 1,
        }
        if config.titles:
            titles = [catalogue.title(i) for i in range(config.num_items)]
            self._ids[TITLE] = np.array([t.encode() for t in titles], object)

    def build(self, log: BlockLog, rows: np.ndarray) -> Iterator[dict]:
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
        seen = self._examination.astype(np.float32)[:, np.newaxis]
        columns["oracle_relevance"] = logged["relevance"]
        columns["oracle_probabilities"] = logged["relevance"] * seen
        position = np.arange(items.shape[1], dtype=np.int32)

        user = logged["user"]
        user_id = log.first_user + user + 1
        hour = (time // 3600).astype(np.int64) % 24 + 1
        level = log.level[user]
        histories = [
            (
                log.clicks,
                "click",
                logged["click_end"],
                self.config.click_length,
            ),
            (log.carts, "cart", logged["cart_end"], self.config.cart_length),
            (
                log.orders,
                "order",
                logged["order_end"],
                self.config.order_length,
            ),
        ]
        for row in range(len(rows)):
            shown = logged["num_shown"][row]
            request = {
                "request_id": (
                    f"{user_id[row]}-{logged['session'][row]}"
                    f"-{logged['step'][row]}"
                ),
                "user_id": int(user_id[row]),
                "request_time": int(time[row]),
                "scenario": SCENARIOS[logged["scenario"][row]],
                "hour": hour[row],
                "user_level": level[row],
                "session_dense": logged["session_dense"][row],
                "position": position[:shown],
                "oracle_intent": logged["intent"][row],
            }
            for name, column in columns.items():
                request[name] = column[row, :shown]
            for events, name, ends, length in histories:
                end = ends[row]
                first = max(end - length, 0)
                self._add_history(
                    request, events, name, user[row], first, end, time[row]
                )
            yield request

    def _item_dense(self, items: np.ndarray, time: np.ndarray) -> np.ndarray:
        catalogue = self.catalogue
        exposures, click_rate = self.counters.read(items, time)
        age = time[:, np.newaxis] - catalogue.arrival_time[items]
        parts = (
            catalogue.log_price[items],
            catalogue.price_level[items],
            np.log1p(exposures),
            click_rate,
            np.log1p(np.maximum(age, 0.0) / DAY),
        )
        return np.stack(parts, axis=-1).astype(np.float32)

    def _add_history(
        self,
        request: dict,
        events: EventLog,
        name: str,
        user: int,
        first: int,
        end: int,
        time: float,
    ) -> None:
        """Adds events `first` to `end` of a user, newest first."""
        tables = {n: t[user, first:end][::-1] for n, t in events.tables.items()}
        items = tables["item"]
        for column, ids in self._ids.items():
            request[f"{name}_{column}"] = ids[items]
        age = (time - tables["time"]).astype(np.float32)
        request[f"{name}_age_seconds"] = age
        if "dwell" in tables:
            request[f"{name}_dwell_seconds"] = tables["dwell"]
            request[f"{name}_action_counts"] = tables["counts"]
            request[f"{name}_action_ids"] = tables["actions"]
