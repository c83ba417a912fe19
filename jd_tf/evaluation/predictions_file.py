"""Predictions of any other system, from a file into a report."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jd_tf.data.files import read_npz
from jd_tf.evaluation.baselines.rates import real_rows
from jd_tf.evaluation.collect import Batch, to_numpy
from jd_tf.evaluation.fusion.predictions import plain_ids
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import DataError, Schema

_KEYS = ["request_id", "item_id"]
_LIMITS = {
    "probabilities": (" from 0 to 1", 0.0, 1.0),
    "amounts": (" of 0 or more", 0.0, np.inf),
}


class PredictionsFile:
    """Scores candidates by what a file says of them.

    One row an impression, `request_id` and `item_id`, in any order; an item
    shown twice in a request has two rows, in the order of the candidates.
    Beside them columns of one of these kinds, or of several:

    - `<objective>` for every outcome: probabilities;
    - `<objective>` for every amount: what is expected;
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
        table = _read(self.path)
        names = schema.objective_names
        kinds = {
            "probabilities": list(schema.outcome_names),
            "objective_scores": [f"{name}_score" for name in names],
            "score": ["score"],
        }
        if schema.amount_names:
            kinds["amounts"] = list(schema.amount_names)
        known = {column: kind for kind, of in kinds.items() for column in of}
        given = {known[column] for column in table if column in known}
        wanted = [*_KEYS, *(c for kind in given for c in kinds[kind])]
        missing = [column for column in wanted if column not in table]
        if missing or given <= {"amounts"}:
            raise DataError(
                f"{path}: no column {missing or 'of predictions'}; it has "
                f"{list(table)}. Besides {_KEYS}, a file needs all columns of "
                f"one of {list(kinds.values())}."
            )
        self._values = {
            kind: self._numbers(table[kinds[kind]], kind) for kind in given
        }
        self._impressions = _impressions(table)
        self._used = np.zeros(len(table), bool)

    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Returns what the file says of a batch with keys."""
        batch = to_numpy(batch)
        real = real_cells(batch["num_candidates"], batch["item_id"].shape[1])
        shown = _impressions(real_rows(batch, _KEYS))
        rows = self._impressions.get_indexer(shown)
        if (rows < 0).any():
            request, item, turn = shown[int(np.argmin(rows))]
            raise DataError(
                f"{self.path}: request {request!r}, item {item}: {turn} rows, "
                "but shown more often. A file has one row for every "
                "impression of the judged splits."
            )
        self._used[rows] = True
        found = {}
        for kind, values in self._values.items():
            found[kind] = np.zeros((*real.shape, *values.shape[1:]), np.float32)
            found[kind][real] = values[rows]
        return found

    def check_all_used(self) -> None:
        """Refuses rows that were never asked for."""
        spare = self._impressions[~self._used]
        if len(spare):
            request, item, _ = spare[0]
            raise DataError(
                f"{self.path}: {len(spare)} rows are of no impression of the "
                f"judged splits, e.g. request {request!r}, item {item}. Leave "
                "them out, or judge their split too (--splits)."
            )

    def _numbers(self, table: pd.DataFrame, kind: str) -> np.ndarray:
        """[M] scores, or [M, T] of every objective, all checked."""
        numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(float)
        wrong = ~np.isfinite(numbers)
        limit, least, most = _LIMITS.get(kind, ("", -np.inf, np.inf))
        wrong |= (numbers < least) | (numbers > most)
        if wrong.any():
            row, place = np.argwhere(wrong)[0]
            raise DataError(
                f"{self.path}: row {row + 1}, column `{table.columns[place]}`: "
                f"must be a number{limit}. Got: {table.iat[row, place]!r}."
            )
        return numbers[:, 0] if kind == "score" else numbers


def _impressions(columns: Any) -> pd.MultiIndex:
    """Request, item and the turn of an item shown several times, as texts."""
    keys = pd.DataFrame({name: plain_ids(columns[name]) for name in _KEYS})
    keys = keys.astype(str)
    keys["turn"] = keys.groupby(_KEYS).cumcount()
    return pd.MultiIndex.from_frame(keys)


def _read(path: Path) -> pd.DataFrame:
    if path.suffix != ".npz":
        separator = "\t" if ".tsv" in path.suffixes else ","
        types = dict.fromkeys(_KEYS, str)
        try:
            return pd.read_csv(
                path, sep=separator, dtype=types, keep_default_na=False
            )
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{path}: not readable: {error}.") from error
    arrays = read_npz(path, "Name a file of predictions.")
    if "objectives" not in arrays:
        return pd.DataFrame(arrays)
    columns = real_rows(arrays, (*_KEYS, "probabilities"))
    chances = columns.pop("probabilities").T
    names = arrays["objectives"].tolist()
    return pd.DataFrame(columns | dict(zip(names, chances, strict=True)))
