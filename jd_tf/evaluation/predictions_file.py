"""Predictions of any other system, from a file into a report."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jd_tf.evaluation.collect import Batch, to_numpy
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import DataError, Schema

_KEYS = ["request_id", "item_id"]
_DAMAGE = (OSError, EOFError, ValueError, zipfile.BadZipFile)


class PredictionsFile:
    """Scores candidates by what a file says of them.

    One row an impression, `request_id` and `item_id`, in any order; an item
    shown twice in a request has two rows, in the order of the candidates.
    Beside them columns of one of these kinds, or of several:

    - `<objective>` for every objective: probabilities;
    - `<objective>_score` for every objective: only ranking is judged then;
    - `score`: the final order; the expected value without it.

    Tables are `.csv`, or `.tsv` with tabs, gzipped or not; an `.npz` file has
    the columns as arrays, or is one that `experiments.evaluate --predictions`
    wrote for another run.

    Args:
        path: of the file.
        schema: of the requests.

    Raises:
        DataError: naming file, row and column.
    """

    def __init__(self, path: str | Path, schema: Schema):
        self.path = Path(path)
        try:
            read = _read_npz if self.path.suffix == ".npz" else _read_table
            table = read(self.path)
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file.") from error
        except _DAMAGE as error:
            raise DataError(f"{path}: not readable: {error}.") from error
        names = schema.objective_names
        kinds = {
            "probabilities": list(names),
            "objective_scores": [f"{name}_score" for name in names],
            "score": ["score"],
        }
        known = {column: kind for kind, of in kinds.items() for column in of}
        given = {known[column] for column in table if column in known}
        wanted = [*_KEYS, *(c for kind in given for c in kinds[kind])]
        missing = [column for column in wanted if column not in table]
        if missing or not given:
            raise DataError(
                f"{path}: no column {missing or 'of predictions'}; it has "
                f"{list(table)}. Besides {_KEYS}, a file needs all columns of "
                f"one of {list(kinds.values())}."
            )
        self._values = {
            kind: self._numbers(table[kinds[kind]], kind) for kind in given
        }
        is_text = schema.item_columns[0].dtype == "string"
        items = table["item_id"].astype(str if is_text else "int64")
        self._items = items.to_numpy()
        requests = table["request_id"].astype(str)
        self._rows: dict[Any, Any] = requests.groupby(requests).indices
        self._unused = set(self._rows)

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Returns what the file says of a batch with keys."""
        batch = to_numpy(batch)
        shape = batch["item_id"].shape
        found = {
            kind: np.zeros((*shape, *values.shape[1:]), np.float32)
            for kind, values in self._values.items()
        }
        for place, (key, items, size) in enumerate(
            zip(
                batch["request_id"],
                batch["item_id"],
                batch["num_candidates"],
                strict=True,
            )
        ):
            request = key.decode() if isinstance(key, bytes) else str(key)
            order = np.argsort(items[:size], kind="stable")
            rows = self._rows_of(request, items[:size][order])
            for kind, values in self._values.items():
                found[kind][place, order] = values[rows]
        return found

    def check_all_used(self) -> None:
        """Refuses requests that were never asked for."""
        if self._unused:
            raise DataError(
                f"{self.path}: {len(self._unused)} requests are of none of the "
                f"splits, e.g. {min(map(str, self._unused))!r}. Leave them "
                "out, or judge their split too (--splits)."
            )

    def _rows_of(self, request: str, items: np.ndarray) -> np.ndarray:
        """Rows of sorted items of a request."""
        rows = self._rows.get(request, np.zeros(0, np.int64))
        rows = rows[np.argsort(self._items[rows], kind="stable")]
        there = self._items[rows]
        if not np.array_equal(there, items):
            for item in [*items.tolist(), *there.tolist()]:
                have, want = (int(np.sum(a == item)) for a in (there, items))
                if have != want:
                    break
            raise DataError(
                f"{self.path}: request {request!r}, item {item}: "
                f"{have} rows, shown {want} times. A file has one row for "
                "every impression of the judged splits."
            )
        self._unused.discard(request)
        return rows

    def _numbers(self, table: pd.DataFrame, kind: str) -> np.ndarray:
        """[M] scores, or [M, T] of every objective, all checked."""
        numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(float)
        wrong = ~np.isfinite(numbers)
        if kind == "probabilities":
            wrong |= (numbers < 0) | (numbers > 1)
        if wrong.any():
            row, place = np.argwhere(wrong)[0]
            limit = " from 0 to 1" if kind == "probabilities" else ""
            raise DataError(
                f"{self.path}: row {row + 1}, column `{table.columns[place]}`: "
                f"must be a number{limit}. Got: {table.iat[row, place]!r}."
            )
        return numbers[:, 0] if kind == "score" else numbers


def _read_table(path: Path) -> pd.DataFrame:
    separator = "\t" if ".tsv" in path.suffixes else ","
    text = dict.fromkeys(_KEYS, str)
    return pd.read_csv(path, sep=separator, dtype=text, keep_default_na=False)


def _read_npz(path: Path) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as file:
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
    if "probabilities" in arrays and "item_id" in arrays:
        items, count = arrays["item_id"], arrays["num_candidates"]
        real = real_cells(count, items.shape[1])
        flat = arrays["probabilities"][real]
        return pd.DataFrame(
            {
                "request_id": np.repeat(arrays["request_id"], count),
                "item_id": items[real],
                **dict(zip(arrays["objectives"].tolist(), flat.T, strict=True)),
            }
        )
    return pd.DataFrame(arrays)
