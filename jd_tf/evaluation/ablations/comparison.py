"""Paired comparison of the rows of an ablation, over seeds and users."""

from collections.abc import Iterable, Sequence

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
DIFFERENCE = ["difference", "standard_error", "resampling_error", "seed_error"]
DIFFERENCE += ["standard_errors", "p_value", "low", "high"]
_RUN_COLUMNS = ["row", "seed", *PLACE, "value"]
_RUN_COLUMNS += ["num_impressions", "num_positives", "replicates"]
_COLUMNS = ["row", "against", *PLACE, "seeds", "mean", "spread"]
_COLUMNS += ["num_impressions", "num_positives", *DIFFERENCE]


def paired_difference(
    values: np.ndarray,
    others: np.ndarray,
    replicates: np.ndarray | None = None,
    other_replicates: np.ndarray | None = None,
) -> dict[str, float]:
    """Compares two models trained with the same S seeds on the same requests.

    The users could have been others: the mean difference over the seeds is
    recomputed in every resample of users, the same for both models and all
    seeds (paired bootstrap by cluster). So could the training: the spread of
    the S differences, over the root of S, is the standard error of their mean.

    The squares of both add up; what users and seeds have in common is counted
    twice, which is conservative. Few seeds make a poor estimate of the second
    part, so the sum is judged by Student's t with the degrees of freedom of
    Welch and Satterthwaite. With one seed only the users are judged.

    Returns the columns `DIFFERENCE` of [S] values and [S, replicates]
    resamples: `resampling_error` (users), `seed_error` (nan with one seed),
    their sum `standard_error`, the difference in `standard_errors`, two-sided
    `p_value`, 95 % interval `low` to `high`; nan where undefined.
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
        distance, reach = np.nan, 0.0
    else:
        distance = difference / error
        p_value = float(2 * stats.t.sf(abs(distance), degrees))
        reach = error * stats.t.ppf(0.5 + CONFIDENCE / 2, degrees)
    low, high = float(difference - reach), float(difference + reach)
    errors = (error, by_users, by_seeds)
    found = (difference, *errors, distance, p_value, low, high)
    return dict(zip(DIFFERENCE, found, strict=True))


def runs_table(
    rows: Sequence[Row], seeds: Sequence[int], results: Results
) -> pd.DataFrame:
    """Returns one line for each finished run, kind, objective and metric."""
    if not results:
        raise ValueError("there is no finished run to report on.")
    (first_row, first_seed), first = next(iter(results.items()))
    for (other, other_seed), found in results.items():
        if found["fingerprint"] != first["fingerprint"]:
            raise DataError(
                f"row `{first_row}`, seed {first_seed}, and row `{other}`, "
                f"seed {other_seed}, were not judged on the same requests and "
                "resamples. Name another --workdir, or delete their "
                "result.json to judge them again."
            )
    lines = [
        (
            *(row.name, seed, kind, objective, metric, found[metric]),
            *(found["num_impressions"], found["num_positives"]),
            result["replicates"][kind][objective].get(metric),
        )
        for row in rows
        for seed in seeds
        if (result := results.get((row.name, seed)))
        for kind, objectives in result["metrics"].items()
        for objective, found in objectives.items()
        for metric in METRICS
    ]
    table = pd.DataFrame(lines, columns=_RUN_COLUMNS)
    return table.astype({"value": float})


def compare(
    runs: pd.DataFrame, pairs: Iterable[tuple[str, str]]
) -> pd.DataFrame:
    """Returns one line for each pair of rows, kind, objective and metric."""
    lines = []
    for row, against in pairs:
        mine, other = (runs[runs["row"] == name] for name in (row, against))
        both = mine.merge(other, on=["seed", *PLACE], suffixes=("", "_other"))
        paired = dict(list(both.groupby(PLACE)))
        for place, part in mine.groupby(PLACE, sort=False):
            line = {**part.iloc[0], "row": row, "against": against}
            line["seeds"] = " ".join(map(str, part["seed"]))
            line["mean"] = part["value"].mean(skipna=False)
            line["spread"] = part["value"].std(skipna=False)
            if place in paired:
                line |= paired_difference(
                    paired[place]["value"].to_numpy(),
                    paired[place]["value_other"].to_numpy(),
                    _stack(paired[place]["replicates"]),
                    _stack(paired[place]["replicates_other"]),
                )
            lines.append(line)
    return pd.DataFrame(lines, columns=_COLUMNS).astype(
        dict.fromkeys(["mean", "spread", *DIFFERENCE], float)
    )


def table_pairs(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Returns every row with the one it is compared with, "" for the first."""
    pairs = [(row.name, row.against or rows[0].name) for row in rows]
    return [(one, "" if one == other else other) for one, other in pairs]


def add_significance(table: pd.DataFrame) -> pd.DataFrame:
    """Adds `significant`: "*" for p < 0.05, "**" if so after Bonferroni."""
    p_values = table["p_value"]
    strict = SIGNIFICANT / max(p_values.notna().sum(), 1)
    stars = (p_values < SIGNIFICANT).astype(int) + (p_values < strict)
    return table.assign(significant=stars.map("*".__mul__))


def _stack(replicates: pd.Series) -> np.ndarray | None:
    lists = list(replicates)
    return None if None in lists else np.array(lists, float)
