"""A shop with known truth."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.simulator.behavior import BehaviorParameters
from jd_tf.data.simulator.block_log import BlockLog
from jd_tf.data.simulator.catalogue import Catalogue
from jd_tf.data.simulator.config import SimulatorConfig
from jd_tf.data.simulator.counters import ItemCounters, tally
from jd_tf.data.simulator.images import draw_product
from jd_tf.data.simulator.requests import RequestBuilder
from jd_tf.data.simulator.sessions import BlockSimulation
from jd_tf.data.simulator.shop_schema import shop_schema
from jd_tf.data.simulator.words import CATEGORY_WORDS
from jd_tf.schema import DataError, Schema

_PHOTO_STREAM = 3


class Simulator:
    """Requests of a simulated shop, with the truth behind them.

    The equations are in `docs/simulator.md`. Everything follows from the
    configuration: users are drawn block by block, each block from a seed of
    its own, so the same configuration gives the same requests, whoever
    simulates which block.

    Args:
        config: size, calendar and seed.
        behavior: coefficients; the default ones are the documented shop.

    Attributes:
        catalogue: items and what is true of them.
        product_words: category words; `category_id` `c` is word `c - 1`.
    """

    def __init__(
        self,
        config: SimulatorConfig | None = None,
        behavior: BehaviorParameters | None = None,
    ):
        self.config = config or SimulatorConfig()
        self.behavior = behavior or BehaviorParameters()
        if self.config.num_categories <= self.behavior.num_interests:
            raise DataError(
                "simulator: `num_categories` must exceed `num_interests`. "
                f"Got: {self.config.num_categories} and "
                f"{self.behavior.num_interests}."
            )
        self.catalogue = Catalogue(self.config, self.behavior)
        self.product_words = CATEGORY_WORDS[: self.config.num_categories]
        self._logs: list[BlockLog] = []

    def schema(self) -> Schema:
        """The columns of the requests."""
        return shop_schema(self.config)

    def simulate_block(self, block: int) -> BlockLog:
        """Lets one block of users live; the same at every call."""
        simulation = BlockSimulation(
            self.config, self.behavior, self.catalogue, block
        )
        return simulation.run()

    def builder(self, counters: ItemCounters) -> RequestBuilder:
        """What turns block logs into requests."""
        return RequestBuilder(
            self.config, self.behavior, self.catalogue, counters
        )

    def requests(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the requests of a split in the order of time.

        Simulates all blocks at the first call and keeps them; `write` needs
        less memory and uses several processes.

        Args:
            split: "train", "validation" or "test".
        """
        self._check_split(split)
        logs = self._all_logs()
        counters = ItemCounters.of(
            self.config, (tally(self.config, log.exposures) for log in logs)
        )
        builder = self.builder(counters)
        streams, times, order = [], [], []
        for number, log in enumerate(logs):
            rows = self.rows_of(log, split)
            streams.append(builder.build(log, rows))
            times.append(log.requests["time"][rows] if len(rows) else rows)
            order.append(np.full(len(rows), number))
        in_time = np.argsort(np.concatenate(times), kind="stable")
        for block in np.concatenate(order)[in_time]:
            yield next(streams[block])

    def rows_of(self, log: BlockLog, split: str) -> np.ndarray:
        """(M,) rows of a block's requests that belong to a split."""
        self._check_split(split)
        first, end = self.config.split_times[split]
        time = log.requests.get("time", np.empty(0))
        return np.flatnonzero((time >= first) & (time < end))

    def truth(self, split: str) -> dict[str, np.ndarray]:
        """What nobody can see of a split's requests, in the order of time.

        Returns:
            `request_id`, `intent` (0 browsing, 1 buying), `focus_category`
            (category id) and `focus_need`, one entry a request.
        """
        self._check_split(split)
        parts: dict[str, list] = {}
        for log in self._all_logs():
            rows = self.rows_of(log, split)
            if not len(rows):
                continue
            hidden = {name: part[rows] for name, part in log.requests.items()}
            user_id = log.first_user + hidden["user"] + 1
            names = zip(user_id, hidden["session"], hidden["step"], strict=True)
            row = {
                "request_id": np.array([f"{u}-{s}-{n}" for u, s, n in names]),
                "time": hidden["time"],
                "intent": hidden["intent"],
                "focus_category": hidden["focus_category"] + 1,
                "focus_need": hidden["focus_need"],
            }
            for name, part in row.items():
                parts.setdefault(name, []).append(part)
        whole = {name: np.concatenate(part) for name, part in parts.items()}
        in_time = np.argsort(whole.pop("time"), kind="stable")
        return {name: part[in_time] for name, part in whole.items()}

    def draw_image(self, item_id: int) -> np.ndarray:
        """Draws the photo of an item.

        Args:
            item_id: 1 to `num_items`.

        Returns:
            (64, 64, 3) uint8.
        """
        item = self._item(item_id)
        return draw_product(
            int(self.catalogue.category[item]),
            self.catalogue.style[item],
            np.random.default_rng([self.config.seed, _PHOTO_STREAM, item]),
        )

    def title(self, item_id: int) -> str:
        """The item's title: brand, style words and product word."""
        return self.catalogue.title(self._item(item_id))

    def _item(self, item_id: int) -> int:
        if not 1 <= item_id <= self.config.num_items:
            raise DataError(
                f"simulator: `item_id` must be 1 to {self.config.num_items}. "
                f"Got: {item_id}."
            )
        return int(item_id) - 1

    def write(self, output_dir: str | Path, **options: Any) -> dict[str, int]:
        """Writes all splits as a data set folder, whole or not at all.

        Args:
            output_dir: the new folder.
            **options: of `writing.write_simulated`: `num_processes`,
                `num_shards`, `progress`, `overwrite`, `summary`.

        Returns:
            Requests per split.
        """
        # TensorFlow is needed for writing only.
        from jd_tf.data.simulator.writing import write_simulated

        return write_simulated(self, output_dir, **options)

    def _check_split(self, split: str) -> None:
        if split not in self.config.split_times:
            raise DataError(
                f"simulator: no split {split!r}; there are "
                f"{', '.join(self.config.split_times)}."
            )

    def _all_logs(self) -> list[BlockLog]:
        if not self._logs:
            self._logs = [
                self.simulate_block(block)
                for block in range(self.config.num_blocks)
            ]
        return self._logs
