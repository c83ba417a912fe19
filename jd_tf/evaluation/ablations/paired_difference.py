"""Is one model better than another, or were its seeds and users luckier?"""

import dataclasses

import numpy as np
from scipy import special

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """A difference of two models' metrics with what it may be off by.

    Both models were trained with the same S seeds and judged on the same
    requests. Two things could have come out otherwise:

    - which users were asked. All seeds share them, so the mean difference
      over the seeds is recomputed in every resample of users, the same
      resample for both models and all seeds (bootstrap by cluster, paired);
    - how training went. The spread of the S differences, over the root of S,
      says how far their mean would move with other seeds.

    The squares of both add up; what users and seeds have in common is counted
    twice, which errs on the side of doubt. Few seeds make a poor estimate of
    the second part, so the sum is judged by Student's t with the degrees of
    freedom of Welch and Satterthwaite instead of the normal distribution.
    One seed says nothing of training: then only users are judged.

    Attributes:
        difference: mean over seeds; nan where undefined.
        resampling_error: standard error from users; 0 without resamples.
        seed_error: standard error from seeds; nan with one seed.
        degrees: of freedom of t; inf where seeds play no part.
        num_seeds: S.
    """

    difference: float
    resampling_error: float
    seed_error: float
    degrees: float
    num_seeds: int

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        others: np.ndarray,
        replicates: np.ndarray | None = None,
        other_replicates: np.ndarray | None = None,
    ) -> "PairedDifference":
        """The difference of two models, first minus second.

        Args:
            values: [S] metric of the first model, per seed.
            others: [S] of the second, same seeds in the same order.
            replicates: [S, replicates] resamples of `values`, nan where
                undefined; None for none.
            other_replicates: the same resamples of `others`.
        """
        differences = np.asarray(values, float) - np.asarray(others, float)
        size = len(differences)
        by_users = 0.0
        if replicates is not None and np.size(replicates):
            drawn = np.mean(replicates - other_replicates, axis=0)
            drawn = drawn[~np.isnan(drawn)]
            # As for intervals: leaving out many would hide how little there is.
            enough = max(2, 0.9 * np.shape(replicates)[1])
            by_users = (
                float(drawn.std(ddof=1)) if len(drawn) >= enough else np.nan
            )
        by_seeds, degrees = float("nan"), float("inf")
        if size > 1:
            by_seeds = float(differences.std(ddof=1) / np.sqrt(size))
            if by_seeds > 0:
                share = by_seeds**2 / (by_seeds**2 + by_users**2)
                degrees = (size - 1) / share**2
        mean = float(differences.mean()) if size else float("nan")
        return cls(mean, by_users, by_seeds, degrees, size)

    @property
    def standard_error(self) -> float:
        """Of the mean difference, users and seeds together."""
        by_seeds = 0.0 if np.isnan(self.seed_error) else self.seed_error
        return float(np.hypot(self.resampling_error, by_seeds))

    @property
    def standard_errors(self) -> float:
        """The difference counted in standard errors; nan where they are 0."""
        error = self.standard_error
        return self.difference / error if error > 0 else float("nan")

    @property
    def p_value(self) -> float:
        """How often no true difference would show one as large, two-sided."""
        if self.standard_error == 0:
            # The very same predictions; anything else would have spread.
            return 1.0 if self.difference == 0 else float("nan")
        distance = abs(self.standard_errors)
        degrees = min(self.degrees, 1e9)
        return float(2.0 * special.stdtr(degrees, -distance))

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 % confidence."""
        if np.isnan(self.standard_error):
            return float("nan"), float("nan")
        degrees = min(self.degrees, 1e9)
        reach = special.stdtrit(degrees, 0.5 + CONFIDENCE / 2)
        reach = float(reach) * self.standard_error
        return self.difference - reach, self.difference + reach
