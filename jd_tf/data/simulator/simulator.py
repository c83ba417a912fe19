"""The simulated shop: users, items and the truth behind its requests."""

import dataclasses
import functools
import heapq
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.files import read_json
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
from jd_tf.data.simulator.people.list_answers import (
    AnsweringSimulation,
    ListAnswer,
    Moment,
)
from jd_tf.data.simulator.shop.catalogue import Catalogue
from jd_tf.schema import DataError, Schema

SHOP_FILE = "simulator.json"


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

    @classmethod
    def of_data(cls, folder: str | Path) -> "Simulator":
        """Returns the shop that a folder of `make_dataset` was made of."""
        path = Path(folder) / SHOP_FILE
        if not path.is_file():
            raise DataError(f"{path}: is missing; the data are of no shop.")
        stored = read_json(path)
        return cls(
            SimulatorConfig(**stored["config"]),
            BehaviorParameters(**_tuples(stored["behavior"])),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns what `SHOP_FILE` of a data folder holds."""
        return {
            "config": dataclasses.asdict(self.config),
            "behavior": dataclasses.asdict(self.behavior),
        }

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

    def answer(
        self, lists: Mapping[str, Sequence[int]], seed: int = 0
    ) -> dict[str, ListAnswer]:
        """Shows users other lists at the moments of logged requests.

        The log stays as it is. With common random numbers: at one moment an
        item is liked, read and bought alike in every list that holds it, and
        seen by its place alone, so that few requests tell two rankings apart.

        Args:
            lists: `request_id` -> ids of items, first to last; any items.
            seed: of what is drawn.

        Returns:
            `request_id` -> what the user does, how probable that was, and what
            it is worth.

        Raises:
            DataError: if a request or an item is not of this shop, or a list
                is empty or holds an item twice.
        """
        blocks: dict[int, dict[Moment, np.ndarray]] = {}
        names: dict[tuple[int, Moment], str] = {}
        for name, items in lists.items():
            user, session, step = _moment(name)
            block, row = divmod(user - 1, self.config.block_size)
            moment = (row, session, step)
            blocks.setdefault(block, {})[moment] = self._places(name, items)
            names[block, moment] = name
        found: dict[str, ListAnswer] = {}
        for block, asked in blocks.items():
            if not 0 <= block < self.config.num_blocks:
                continue
            simulation = AnsweringSimulation(
                self.config,
                self.behavior,
                self.catalogue,
                block,
                lists=asked,
                seed=seed,
            )
            simulation.run()
            for moment, answer in simulation.answers.items():
                found[names[block, moment]] = answer
        missing = [name for name in lists if name not in found]
        if missing:
            raise DataError(
                f"request `{missing[0]}`: is not of this shop. Simulate it "
                "with the configuration that made the requests."
            )
        return {name: found[name] for name in lists}

    def _places(self, name: str, items: Sequence[int]) -> np.ndarray:
        places = np.asarray(items, np.int64) - 1
        inside = (places >= 0) & (places < self.config.num_items)
        if not len(places) or not inside.all():
            raise DataError(
                f"request `{name}`: a list holds ids from 1 to "
                f"{self.config.num_items}, one at least. Got: {list(items)}."
            )
        if len(np.unique(places)) < len(places):
            raise DataError(f"request `{name}`: an item is there twice.")
        return places

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


def _tuples(value: Any) -> Any:
    """Returns JSON with tuples for lists."""
    if isinstance(value, dict):
        return {name: _tuples(one) for name, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _moment(request_id: str) -> Moment:
    """Returns user, session and step of a request of the shop."""
    parts = request_id.split("-")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise DataError(
            f"request `{request_id}`: is not of a shop; its requests are named "
            "user-session-step."
        )
    user, session, step = map(int, parts)
    return user, session, step
