"""The simulated shop: users, items and the truth behind its requests."""

import functools
import heapq
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from jd_tf.data.simulator.behavior import SESSION_WORLDS, BehaviorParameters
from jd_tf.data.simulator.block_requests import (
    BlockRequests,
    ItemCounters,
    shop_schema,
    tally,
)
from jd_tf.data.simulator.config import SimulatorConfig
from jd_tf.data.simulator.people.block_simulation import BlockSimulation
from jd_tf.data.simulator.people.event_log import BlockLog
from jd_tf.data.simulator.shop.catalogue import Catalogue
from jd_tf.schema import DataError, Schema


class Simulator:
    """Requests of a simulated shop, with the truth behind them.

    The equations are in `docs/simulator.md`. Everything follows from the
    configuration: users are drawn block by block, each block from a seed of
    its own, so the same configuration gives the same requests, whoever
    simulates which block. `make_dataset` writes them with several processes.

    Args:
        config: size, calendar and seed.
        behavior: coefficients; by default those of the documented shop, or of
            its session worlds.

    Attributes:
        catalogue: items and their true properties.

    Raises:
        DataError: if there are too few categories for the interests.

    Example:
        >>> from jd_tf.data import Simulator, SimulatorConfig
        >>> small = SimulatorConfig(
        ...     num_users=20, num_items=100, num_requests=200, num_days=5
        ... )
        >>> shop = Simulator(small)
        >>> shop.schema.objective_names[:2]
        ('click', 'long_view')
        >>> request = next(shop.requests("test"))
        >>> request["labels"].shape == (len(request["item_id"]), 6)
        True
    """

    def __init__(
        self,
        config: SimulatorConfig | None = None,
        behavior: BehaviorParameters | None = None,
    ):
        self.config = config or SimulatorConfig()
        worlds = self.config.session_worlds
        usual = SESSION_WORLDS if worlds else BehaviorParameters()
        self.behavior = behavior or usual
        if self.config.num_categories <= self.behavior.num_interests:
            raise DataError(
                "simulator: `num_categories` must exceed `num_interests`. "
                f"Got: {self.config.num_categories} and "
                f"{self.behavior.num_interests}."
            )
        self.catalogue = Catalogue(self.config, self.behavior)

    @property
    def schema(self) -> Schema:
        """The columns of the requests."""
        return shop_schema(self.config)

    def simulate_block(self, block: int) -> BlockLog:
        """Simulates one block of users; the same at every call."""
        return BlockSimulation(
            self.config, self.behavior, self.catalogue, block
        ).run()

    def requests(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the requests of a split in the order of time.

        Simulates all blocks at the first call and keeps them; `make_dataset`
        needs less memory.

        Args:
            split: "train", "validation" or "test".
        """
        config, logs = self.config, self._logs
        tallies = (tally(config, log.exposures) for log in logs)
        counters = ItemCounters.of(config, tallies)
        builder = BlockRequests(self.behavior, self.catalogue, counters)
        streams = [builder.build(log, self.rows_of(log, split)) for log in logs]
        in_time = operator.itemgetter("request_time")
        yield from heapq.merge(*streams, key=in_time)

    def rows_of(self, log: BlockLog, split: str) -> np.ndarray:
        """Returns the (M,) rows of a block's requests that are in a split."""
        splits = self.config.split_times
        if split not in splits:
            raise DataError(
                f"simulator: no split {split!r}; there are {', '.join(splits)}."
            )
        first, end = splits[split]
        time = log.requests.get("time", np.empty(0))
        return np.flatnonzero((time >= first) & (time < end))

    @functools.cached_property
    def _logs(self) -> list[BlockLog]:
        return [self.simulate_block(b) for b in range(self.config.num_blocks)]
