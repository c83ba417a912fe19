"""Paired comparison of the rows of an ablation, over seeds and users."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from jd_tf.evaluation.ablations.judge import METRICS
from jd_tf.evaluation.ablations.rows import Row
from jd_tf.evaluation.ablations.runs import Results
from jd_tf.schema import DataError

CONFIDENCE = 0.95
SIGNIFICANT = 0.05
PLACE = ["kind", "objective", "metric"]
COLUMNS = ["row", "against", *PLACE, "seeds", "mean", "spread"]
COLUMNS += ["num_impressions", "num_positives"]
DIFFERENCE = ["difference", "standard_error", "resampling_error", "seed_error"]
DIFFERENCE += ["standard_errors", "p_value", "low", "high"]


def paired_difference(
    values: np.ndarray,
    others: np.ndarray,
    replicates: np.ndarray | None = None,
    other_replicates: np.ndarray | None = None,
) -> dict[str, float]:
    """Compares two models trained with the same S seeds on the same requests.

    Two things could have come out otherwise:

    - the users. All seeds share them, so the mean difference over the seeds
      is recomputed in every resample of users, the same resample for both
      models and all seeds (paired bootstrap by cluster);
    - the training. The spread of the S differences, over the root of S, is
      the standard error of their mean.

    The squares of both add up; what users and seeds have in common is counted
    twice, which is conservative. Few seeds make a poor estimate of the second
    part, so the sum is judged by Student's t with the degrees of freedom of
    Welch and Satterthwaite. With one seed only the users are judged.

    Args:
        values: [S] metric of the first model, per seed.
        others: [S] of the second, same seeds in the same order.
        replicates: [S, replicates] resamples of `values`, nan where
            undefined; None for none.
        other_replicates: the same resamples of `others`.

    Returns:
        `difference`, mean over seeds; `standard_error`, and its parts
        `resampling_error` (users; 0 without resamples) and `seed_error` (nan
        with one seed); `standard_errors`, the difference in standard errors;
        two-sided `p_value`; `low` and `high` of the 95 % interval. nan where
        undefined.
    """
    differences = np.asarray(values, float) - np.asarray(others, float)
    difference = float(differences.mean())
    by_users, by_seeds, degrees = 0.0, np.nan, np.inf
    if replicates is not None and other_replicates is not None:
        drawn = np.mean(replicates - other_replicates, axis=0)
        defined = drawn[~np.isnan(drawn)]
        # As for intervals: leaving out many would hide how little there is.
        enough = len(defined) >= max(2, 0.9 * len(drawn))
        by_users = float(defined.std(ddof=1)) if enough else np.nan
    if len(differences) > 1:
        by_seeds = float(stats.sem(differences))
        if by_seeds > 0:
            degrees = len(differences) - 1
            degrees *= (1 + (by_users / by_seeds) ** 2) ** 2
    error = float(np.hypot(by_users, 0 if np.isnan(by_seeds) else by_seeds))
    if error == 0:
        # The very same predictions; anything else would have spread.
        p_value = 1.0 if difference == 0 else np.nan
        distance, low, high = np.nan, difference, difference
    else:
        distance = difference / error
        p_value = float(2 * stats.t.sf(abs(distance), degrees))
        reach = error * stats.t.ppf(0.5 + CONFIDENCE / 2, degrees)
        low, high = float(difference - reach), float(difference + reach)
    return {
        "difference": difference,
        "standard_error": error,
        "resampling_error": by_users,
        "seed_error": by_seeds,
        "standard_errors": distance,
        "p_value": p_value,
        "low": low,
        "high": high,
    }


def runs_table(
    rows: Sequence[Row], seeds: Sequence[int], results: Results
) -> pd.DataFrame:
    """Returns one line for each finished run, kind, objective and metric.

    Columns: row, seed, kind, objective, metric, value, num_impressions,
    num_positives and replicates (an array or None).

    Raises:
        DataError: if the runs were not judged on the same requests.
    """
    _check_comparable(results)
    lines = [
        {
            "row": row.name,
            "seed": seed,
            "kind": kind,
            "objective": objective,
            "metric": metric,
            "value": found[metric],
            "num_impressions": found["num_impressions"],
            "num_positives": found["num_positives"],
            "replicates": result["replicates"][kind][objective].get(metric),
        }
        for row in rows
        for seed in seeds
        if (result := results.get((row.name, seed)))
        for kind, objectives in result["metrics"].items()
        for objective, found in objectives.items()
        for metric in METRICS
    ]
    return pd.DataFrame(lines).astype({"value": float})


def compare(
    runs: pd.DataFrame, pairs: Iterable[tuple[str, str]]
) -> pd.DataFrame:
    """Returns one line for each pair of rows, kind, objective and metric.

    Args:
        runs: made by `runs_table`.
        pairs: a row and the one it is compared with, over the seeds both
            have; rows without a run are left out.

    Returns:
        `COLUMNS`, where spread is the standard deviation over seeds, and
        `DIFFERENCE`, see `paired_difference`.
    """
    lines = []
    for row, against in pairs:
        mine = runs[runs["row"] == row]
        other = runs[runs["row"] == against]
        both = mine.merge(other, on=["seed", *PLACE], suffixes=("", "_other"))
        paired = {
            place: paired_difference(
                part["value"].to_numpy(),
                part["value_other"].to_numpy(),
                _stack(part["replicates"]),
                _stack(part["replicates_other"]),
            )
            for place, part in both.groupby(PLACE)
        }
        for place, part in mine.groupby(PLACE, sort=False):
            seeds = " ".join(map(str, part["seed"]))
            mean = part["value"].mean(skipna=False)
            spread = part["value"].std(skipna=False)
            counts = part[["num_impressions", "num_positives"]].iloc[0]
            line = (row, against, *place, seeds, mean, spread, *counts)
            found = paired.get(place, {}).get
            lines.append((*line, *(found(name) for name in DIFFERENCE)))
    return pd.DataFrame(lines, columns=[*COLUMNS, *DIFFERENCE]).astype(
        dict.fromkeys(["mean", "spread", *DIFFERENCE], float)
    )


def table_pairs(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Returns every row with the one it is compared with, "" for the first."""
    pairs = [(row.name, row.against or rows[0].name) for row in rows]
    return [(one, "" if one == other else other) for one, other in pairs]


def add_significance(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table with a column `significant` of "**", "*" or "".

    One star: p below 0.05. Two: below 0.05 over the number of comparisons in
    the table (Bonferroni).
    """
    p_values = table["p_value"]
    strict = SIGNIFICANT / max(p_values.notna().sum(), 1)
    stars = (p_values < SIGNIFICANT).astype(int) + (p_values < strict)
    return table.assign(significant=stars.map("*".__mul__))


def _stack(replicates: pd.Series) -> np.ndarray | None:
    lists = list(replicates)
    return None if None in lists else np.array(lists, float)


def _check_comparable(results: Mapping[tuple[str, int], Any]) -> None:
    """Refuses runs that were not judged on the same requests."""
    if not results:
        raise ValueError("there is no finished run to report on.")
    (row, seed), first = next(iter(results.items()))
    for (other, other_seed), found in results.items():
        if found["fingerprint"] != first["fingerprint"]:
            raise DataError(
                f"row `{row}`, seed {seed}, and row `{other}`, seed "
                f"{other_seed}, were not judged on the same requests and "
                "resamples. Name another --workdir, or delete their "
                "result.json to judge them again."
            )
