"""Requests of the schema from the log of a block of simulated users."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jd_tf.data.simulator.behavior import BehaviorParameters
from jd_tf.data.simulator.config import DAY, SimulatorConfig
from jd_tf.data.simulator.people.actions import examination
from jd_tf.data.simulator.people.event_log import BlockLog
from jd_tf.data.simulator.requests.item_counters import ItemCounters
from jd_tf.data.simulator.requests.shop_schema import TITLE
from jd_tf.data.simulator.shop.catalogue import Catalogue
from jd_tf.data.simulator.shop.logging_policy import SCENARIOS


class BlockRequests:
    """Builds request dicts out of block logs."""

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
        self._ids: dict[str, np.ndarray] = {
            "item_id": np.arange(1, config.num_items + 1),
            "category_id": catalogue.category + 1,
            "brand_id": catalogue.brand + 1,
            "shop_id": catalogue.shop + 1,
        }
        if config.titles:
            titles = [catalogue.title(i) for i in range(config.num_items)]
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
        seen = self._examination.astype(np.float32)[:, np.newaxis]
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
                tables = {
                    column: table[user[row], past][::-1]
                    for column, table in events.tables.items()
                }
                request |= self._history(name, tables, time[row])
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

    def _history(
        self, name: str, tables: dict[str, np.ndarray], time: float
    ) -> dict[str, np.ndarray]:
        items = tables["item"]
        columns = {column: ids[items] for column, ids in self._ids.items()}
        columns["age_seconds"] = (time - tables["time"]).astype(np.float32)
        if "dwell" in tables:
            columns["dwell_seconds"] = tables["dwell"]
            columns["action_counts"] = tables["counts"]
            columns["action_ids"] = tables["actions"]
        return {f"{name}_{column}": part for column, part in columns.items()}
