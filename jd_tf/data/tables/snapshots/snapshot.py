"""A snapshot fills the requests of a served ranker."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet

from jd_tf.data.files import read_json
from jd_tf.data.tables.column_reader import MISSING
from jd_tf.data.tables.config import VIEWER
from jd_tf.data.tables.config_reading import read_config
from jd_tf.data.tables.snapshots.count_tables import CountTables
from jd_tf.data.tables.statistics import Statistics
from jd_tf.data.tables.times import clock_columns
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import DataError, Role, Schema

SNAPSHOT_FILE, CONFIG_FILE = "snapshot.json", "config.json"
ITEM_FILE, USER_FILE = "item_statistics.parquet", "user_profile.parquet"


class Snapshot:
    """Items, users and counts as of a moment, in the columns of requests.

    Its folder is made by `refresh_snapshot`. `item_statistics.parquet` has a
    row an item, `user_profile.parquet` one a user, a column for each feature;
    features that depend on user and item are those of a user without a past
    there, and exact in `request`. It needs no TensorFlow.

    Args:
        folder: of the snapshot.

    Attributes:
        as_of: the time it is for, in milliseconds.
        schema: of the requests.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        if not (folder / SNAPSHOT_FILE).exists():
            raise DataError(
                f"{folder}: is no snapshot. Make one with "
                "`python -m experiments.refresh_statistics`."
            )
        stored = read_json(folder / SNAPSHOT_FILE)
        self.as_of = int(stored["as_of"])
        self.schema = Schema.from_json(stored["schema"])
        self._config = read_config(folder / CONFIG_FILE)
        self._statistics = Statistics(self._config)
        self._counts = CountTables(folder, self._statistics)
        self._items = pyarrow.parquet.read_table(folder / ITEM_FILE)
        self._users = pyarrow.parquet.read_table(folder / USER_FILE)
        self._item_rows = pd.Index(self._items["item_id"].to_numpy())
        self._user_rows = pd.Index(self._users["user_id"].to_numpy())

    def item_columns(self) -> dict[str, np.ndarray]:
        """Returns the candidate columns of all items, as batches have them.

        Each is (I, ...), in the order of the ids: item columns and
        `item_dense`, (I, F), as a request without a user would have them.
        """
        columns = {
            column.name: self._items[column.name].to_pylist()
            for column in self.schema.item_columns
        }
        if self.schema.item_dense:
            names = self.schema.item_dense
            blocks = [self._items[name].to_numpy() for name in names]
            columns["item_dense"] = np.stack(blocks, axis=1)
        validator = RequestValidator(self.schema, (Role.CANDIDATE,))
        checked = validator.check(columns)
        del checked["num_candidates"]
        return checked

    def request(
        self,
        user_id: int | str,
        item_id: Sequence[int | str],
        time: float | None = None,
        **given: Any,
    ) -> dict[str, Any]:
        """Returns a request as `RankingClient.rank` takes it.

        Args:
            user_id: who asks; unknown users have no histories.
            item_id: N candidates.
            time: seconds since 1970; the snapshot's by default.
            **given: what is known only now: the scenario and other context of
                impressions, and their numbers, each (N,).

        Raises:
            DataError: if an item is not in the snapshot, or context missing.
        """
        rows = self._item_rows.get_indexer(list(item_id))
        if (rows < 0).any():
            unknown = item_id[int(np.argmin(rows))]
            raise DataError(f"item {unknown!r}: is not in the snapshot.")
        items = self._items.take(rows)
        now = self.as_of if time is None else round(1000 * time)
        request = self._user_side(user_id, now, given)
        count = len(rows)
        alike = {"user": user_id}
        for context in self.schema.context_columns:
            alike[context.name] = request[context.name]
        values = {name: np.repeat(one, count) for name, one in alike.items()}
        values["item"] = self._item_rows.to_numpy()[rows]
        for column in self.schema.item_columns:
            request[column.name] = items[column.name].to_pylist()
            if not column.multi_valued:
                values[column.name] = items[column.name].to_numpy()
        listed, shown, mine = (
            self._config.table_numbers(table)
            for table in ("items", "impressions", "users")
        )
        numbers = [items[name].to_numpy() for name in listed]
        zeros = np.zeros(count)
        numbers += [np.asarray(given.get(name, zeros)) for name in shown]
        if self.schema.item_dense:
            request["item_dense"] = self._dense(numbers, values, False)
        if self.schema.session_dense:
            numbers = [np.array([request.pop(name)]) for name in mine]
            values = {name: np.array([one]) for name, one in alike.items()}
            request["session_dense"] = self._dense(numbers, values, True)[0]
        return request

    def _dense(
        self,
        numbers: list[np.ndarray],
        values: dict[str, np.ndarray],
        of_request: bool,
    ) -> np.ndarray:
        """Returns numbers and statistics, (R, F), of rows of key columns."""
        blocks = [number[:, np.newaxis] for number in numbers]
        features = self._statistics.features(of_request)
        if features:
            counts = self._counts.find(values)
            blocks.append(self._statistics.values(features, counts))
        return np.concatenate(blocks, axis=1, dtype=np.float32)

    def _user_side(
        self, user_id: int | str, now: int, given: dict[str, Any]
    ) -> dict[str, Any]:
        """Returns histories, context and numbers of a user."""
        schema, config = self.schema, self._config
        request: dict[str, Any] = {"request_time": now // 1000}
        place = self._user_rows.get_indexer([user_id])[0]
        known = self._users.slice(place, 1).to_pylist()[0] if place >= 0 else {}
        clock = clock_columns(np.array([now]), config.zone)
        for column in schema.context_columns:
            name = column.name
            if name in clock:
                request[name] = int(clock[name][0])
            elif name == VIEWER:
                request[name] = user_id
            elif name in config.table_ids("users"):
                request[name] = known.get(name, MISSING[column.dtype])
            elif name in given:
                request[name] = given[name]
            else:
                raise DataError(f"`{name}`: give it with the request.")
        for name in config.table_numbers("users"):
            request[name] = known.get(name, 0.0)
        for event in schema.columns(Role.HISTORY):
            if event.ragged:
                request[event.name] = known.get(event.name, [])
        return request
