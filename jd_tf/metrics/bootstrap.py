"""Intervals of metrics by a bootstrap over whole users."""

import numpy as np

from jd_tf.metrics.ranking_metrics import auc_from_ranks
from jd_tf.metrics.ranks import RankedScores


class Bootstrap:
    """Resamples whole requests or users, never single impressions.

    Impressions of a request, and requests of a user, resemble each other:
    intervals that resample impressions come out too narrow. The same
    resamples serve every system, so that differences between systems are
    paired.

    Args:
        clusters: [R] int from 0, the cluster (user) of each request; every
            request is its own cluster if None.
        num_requests: R.
        num_replicates: resamples.
        seed: of the resamples.

    Attributes:
        clusters: [R] int.
        counts: [replicates, G] uint8, draws of each cluster.

    Example:
        >>> import numpy as np
        >>> bootstrap = Bootstrap(4, num_replicates=100)
        >>> values = np.array([0.5, 0.7, 0.6, 0.8])
        >>> low, high = interval(bootstrap.means(values, np.ones(4)))
        >>> bool(low < values.mean() < high)
        True

    References:
        Bradley Efron and Robert Tibshirani, "An Introduction to the
        Bootstrap", Chapman & Hall, 1993, chapters 6 and 13.
    """

    def __init__(
        self,
        num_requests: int,
        clusters: np.ndarray | None = None,
        num_replicates: int = 200,
        seed: int = 0,
    ):
        if clusters is None:
            clusters = np.arange(num_requests)
        if len(clusters) != num_requests:
            raise ValueError(
                f"{num_requests} requests but {len(clusters)} clusters."
            )
        self.clusters = np.asarray(clusters)
        self.num_clusters = int(clusters.max()) + 1 if num_requests else 0
        rng = np.random.default_rng(seed)
        size = self.num_clusters
        # A count above 255 needs 256 draws of the same cluster out of G: with
        # G <= 255 impossible, beyond it less likely than 1 in 10^500.
        self.counts = np.empty((num_replicates, size), np.uint8)
        for row in self.counts:
            row[:] = np.bincount(rng.integers(0, size, size), minlength=size)

    def means(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[replicates] weighted means of values per request ([R] each).

        What is nan does not weigh; nan where nothing defined was drawn.
        """
        return self.ratios(*_defined(values, weights))

    def ratios(
        self, numerators: np.ndarray, denominators: np.ndarray
    ) -> np.ndarray:
        """[replicates] ratios of sums over requests ([R] each).

        nan where the denominators drawn add up to 0.
        """
        parts = [
            np.bincount(self.clusters, part, minlength=self.num_clusters)
            for part in (numerators, denominators)
        ]
        return self._ratios_of_clusters(*parts)

    def cluster_means(
        self, values: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """As `means`, of values per cluster ([G] each) instead of request."""
        return self._ratios_of_clusters(*_defined(values, weights))

    def _ratios_of_clusters(
        self, numerators: np.ndarray, denominators: np.ndarray
    ) -> np.ndarray:
        parts = np.stack([numerators, denominators], axis=1)
        sums = np.stack([row.astype(np.float64) @ parts for row in self.counts])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)

    def aucs(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        request: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> np.ndarray:
        """[replicates] AUC; scores are sorted once; nan for one class only.

        Args:
            scores: [M].
            labels: [M] of 0 and 1.
            request: [M] int, the request of each impression.
            weights: [M] > 0; 1 each if None.
        """
        chosen = np.flatnonzero(labels)
        ranking = RankedScores(scores, chosen, keep_order=True)
        cluster = self.clusters[request][ranking.order]
        mine = self.clusters[request[chosen]]
        if weights is not None:
            own, weights = weights[chosen], weights[ranking.order]
        replicates = np.empty(len(self.counts))
        for i, counts in enumerate(self.counts):
            drawn, positive = counts[cluster], counts[mine].astype(np.float64)
            if weights is not None:
                drawn, positive = drawn * weights, positive * own
            above, through = ranking.ranks(drawn)
            replicates[i] = auc_from_ranks(
                positive @ (0.5 * (above + through)),
                positive.sum(),
                drawn.sum(dtype=np.float64),
            )
        return replicates


def _defined(
    values: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted values and weights, 0 where a value is nan."""
    weights = np.where(np.isnan(values), 0.0, weights)
    return np.nan_to_num(values) * weights, weights


def interval(
    replicates: np.ndarray, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of replicates.

    Args:
        replicates: [replicates], nan where undefined.
        confidence: share of the replicates inside.

    Returns:
        Lower and upper end; both nan where over a tenth is undefined.

    Example:
        >>> import numpy as np
        >>> interval(np.arange(5.0), confidence=1.0)
        (0.0, 4.0)
    """
    defined = replicates[~np.isnan(replicates)]
    # Leaving out many undefined replicates would hide how little there is.
    if len(defined) < 2 or len(defined) < 0.9 * len(replicates):
        return float("nan"), float("nan")
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(defined, [tail, 100.0 - tail])
    return float(low), float(high)
