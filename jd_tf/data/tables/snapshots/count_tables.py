"""The counts of all keys as of one moment, found by the values of a key."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet

from jd_tf.data.tables.statistics import Key, Statistics, key_columns


def counts_file(number: int) -> str:
    """Returns the name of the counts of the key of that number."""
    return f"counts-{number:02d}"


class CountTables:
    """Counts of keys, read when they are first asked for.

    Args:
        folder: of a snapshot.
        statistics: of its configuration.
    """

    def __init__(self, folder: Path, statistics: Statistics):
        self._folder, self._statistics = folder, statistics
        self._known: dict[Key, tuple[Any, dict[str, np.ndarray]]] = {}

    def find(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns all counts of R rows, 0 where a key was never met.

        Args:
            values: column of keys -> (R,). The counts of keys with other
                columns are 0, as of a user without a past.
        """
        rows = len(next(iter(values.values())))
        found: dict[str, np.ndarray] = {}
        for number, key in enumerate(self._statistics.windows):
            names, columns = self._statistics.count_names(key), key_columns(key)
            if not set(columns) <= values.keys():
                found |= dict.fromkeys(names, np.zeros(rows, np.int64))
                continue
            if key not in self._known:
                self._known[key] = self._read(number, columns)
            index, counts = self._known[key]
            at = np.zeros(rows, int)
            if columns:
                at = index.get_indexer(_index([values[c] for c in columns]))
            # The last row, of place -1, is that of what was never met.
            found |= {name: counts[name][at] for name in names}
        return found

    def _read(
        self, number: int, columns: list[str]
    ) -> tuple[Any, dict[str, np.ndarray]]:
        table = pyarrow.parquet.read_table(self._folder / counts_file(number))
        counts = {
            name: np.append(table[name].to_numpy(), 0)
            for name in table.column_names
            if name not in columns
        }
        index = None
        if columns:
            index = _index([table[name].to_numpy() for name in columns])
        return index, counts


def _index(columns: list[np.ndarray]) -> pd.Index:
    if len(columns) == 1:
        return pd.Index(columns[0])
    return pd.MultiIndex.from_arrays(columns)
