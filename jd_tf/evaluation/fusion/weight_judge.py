"""Thousands of weight vectors judged on the same requests at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from jd_tf.evaluation.fusion.predictions import FusionPredictions

FORMS = ("log_linear", "additive")
ALL = ("all", "all")
_LEAST_PROBABILITY = 1e-30
# Bytes of the scores a block holds: a share of the second-level cache.
_BLOCK_BYTES = 4 << 20
_MAX_WEIGHTS = 256

Group = tuple[str, str]


class Judged(NamedTuple):
    """Metrics of W weight vectors, or of W rankings.

    Attributes:
        ndcg: [G, W] mean value-NDCG of each group's requests; nan where no
            request of the group has any gain.
        captured: [T, W] discounted outcomes of each objective, as a share of
            the most that any ranking gets.
    """

    ndcg: np.ndarray
    captured: np.ndarray


class WeightJudge:
    """Ranks requests by every weight vector and measures the first k places.

    Nothing is sorted. A gain counts by the number of candidates that score
    higher, so each candidate with an outcome, of which a request has few, is
    compared with its neighbours; the comparisons of a block of requests under
    hundreds of weight vectors are one vector operation a neighbour. Ties
    share the mean discount of their places, as in `group_ndcg`. Requests
    without any outcome are the same under all weights and are left out.

    Args:
        predictions: of the requests.
        form: `"log_linear"` or `"additive"`.
        k: places that count.
        segments: names of segmentations to group by, in
            `predictions.segments`; () for none.

    Attributes:
        groups: G of (segmentation, segment), the first is all requests.
        group_sizes: [G] int, requests with any gain.
        features: [R, N, T] float32, the factors of the weights.
    """

    def __init__(
        self,
        predictions: FusionPredictions,
        form: str = "log_linear",
        k: int = 10,
        segments: Sequence[str] = (),
    ):
        if form not in FORMS:
            raise ValueError(f"`form` must be one of {FORMS}. Got: {form!r}.")
        self.predictions = predictions
        self.form = form
        self.k = k
        features = np.where(
            predictions.real[..., None], predictions.probabilities, 0.5
        ).astype(np.float32)
        if form == "log_linear":
            features = np.log(np.maximum(features, _LEAST_PROBABILITY))
        self.features = features
        gains = predictions.total_gains()
        labels = np.where(
            predictions.real[..., None], predictions.labels, 0.0
        ).astype(np.float64)
        discounts = 1.0 / np.log2(np.arange(2, k + 2))
        ideal = _ideal(gains, discounts)
        self._rows = np.flatnonzero((ideal > 0) | labels.any(axis=(1, 2)))
        # Requests with as many outcomes fill a block evenly.
        outcomes = ((gains > 0) | labels.any(axis=-1)).sum(axis=1)
        self._rows = self._rows[np.argsort(outcomes[self._rows])]
        with np.errstate(divide="ignore", invalid="ignore"):
            self._shares = np.where(
                ideal[:, None] > 0, gains / ideal[:, None], 0.0
            )
        self._labels = labels
        self._gained = (gains > 0) | labels.any(axis=-1)
        self._label_ideal = _ideal(labels, discounts, axis=1).sum(axis=0)
        self._table = _tie_table(labels.shape[1], discounts)
        self.groups, self._member = _groups(predictions.segments, segments)
        self._member = self._member & (ideal > 0)
        self.group_sizes = self._member.sum(axis=1)

    @property
    def num_ranked(self) -> int:
        """Requests with any outcome: those that are ranked."""
        return len(self._rows)

    def judge(
        self,
        weights: np.ndarray,
        progress: Callable[[int], object] | None = None,
    ) -> Judged:
        """Judges weight vectors.

        Args:
            weights: [W, T]; only their direction matters.
            progress: called with the number of rankings made.
        """
        weights = np.asarray(weights, np.float32)
        width = self.features.shape[1]

        def scores(rows: np.ndarray, chosen: slice) -> np.ndarray:
            flat = self.features[rows].reshape(-1, weights.shape[1])
            fused = flat @ weights[chosen].T
            return fused.reshape(len(rows), width, -1)

        return self._judge(scores, len(weights), progress)

    def judge_scores(self, rankings: Mapping[str, np.ndarray]) -> Judged:
        """Judges rankings that come as scores; W is their order.

        Args:
            rankings: name -> [R, N], higher is better.
        """
        stacked = np.stack(list(rankings.values()), axis=-1)
        return self._judge(
            lambda rows, chosen: stacked[rows][..., chosen], len(rankings), None
        )

    def request_ndcg(self, scores: np.ndarray) -> np.ndarray:
        """[R] value-NDCG of one ranking [R, N]; nan without any gain."""
        found = np.where(self._member[0], 0.0, np.nan)
        stacked = np.asarray(scores)[..., None]
        for rows in self._blocks(1):
            owner, cell = np.nonzero(self._gained[rows])
            discount = self._discounts(rows, stacked[rows], owner, cell)
            gain = self._shares[rows][owner, cell] * discount[:, 0]
            found[rows] += np.bincount(owner, gain, minlength=len(rows))
        return found

    # Blocks ----------------------------------------------------------------

    def _blocks(self, num_weights: int) -> list[np.ndarray]:
        cells = 4 * self.features.shape[1] * min(num_weights, _MAX_WEIGHTS)
        size = max(1, _BLOCK_BYTES // cells)
        return [
            self._rows[start : start + size]
            for start in range(0, len(self._rows), size)
        ]

    def _judge(
        self,
        scores: Callable[[np.ndarray, slice], np.ndarray],
        num_weights: int,
        progress: Callable[[int], object] | None,
    ) -> Judged:
        ndcg = np.zeros((len(self.groups), num_weights))
        captured = np.zeros((self._labels.shape[-1], num_weights))
        # Two BLAS threads wait for each other longer than these products take.
        with threadpool_limits(1, user_api="blas"):
            self._add_blocks(scores, ndcg, captured, progress)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Judged(
                ndcg
                / np.where(self.group_sizes, self.group_sizes, np.nan)[:, None],
                captured
                / np.where(self._label_ideal > 0, self._label_ideal, np.nan)[
                    :, None
                ],
            )

    def _add_blocks(
        self,
        scores: Callable[[np.ndarray, slice], np.ndarray],
        ndcg: np.ndarray,
        captured: np.ndarray,
        progress: Callable[[int], object] | None,
    ) -> None:
        """Adds every request to the sums [G, W] and [T, W]."""
        num_weights = ndcg.shape[1]
        for rows in self._blocks(num_weights):
            owner, cell = np.nonzero(self._gained[rows])
            shares = self._shares[rows][owner, cell]
            shares = self._member[:, rows[owner]] * shares.astype(np.float32)
            labels = self._labels[rows][owner, cell].T.astype(np.float32)
            for start in range(0, num_weights, _MAX_WEIGHTS):
                chosen = slice(start, min(start + _MAX_WEIGHTS, num_weights))
                discount = self._discounts(
                    rows, scores(rows, chosen), owner, cell
                )
                ndcg[:, chosen] += shares @ discount
                captured[:, chosen] += labels @ discount
                if progress:
                    progress(len(rows) * (chosen.stop - chosen.start))

    def _discounts(
        self,
        rows: np.ndarray,
        scores: np.ndarray,
        owner: np.ndarray,
        cell: np.ndarray,
    ) -> np.ndarray:
        """Discounts of the candidates of a block that have an outcome.

        Args:
            rows: [r] the block's requests.
            scores: [r, N, W].
            owner: [P] index of the request in the block.
            cell: [P] index of the candidate in it.

        Returns:
            [P, W] float32.
        """
        count = self.predictions.num_candidates[rows]
        mine = scores[owner, cell]
        small = np.uint8 if len(self._table) < 256 else np.uint16
        above = np.zeros(mine.shape, small)
        through = np.zeros(mine.shape, small)
        other = np.empty_like(mine)
        better = np.empty(mine.shape, bool)
        for place in range(scores.shape[1]):
            # Padding stands behind everything.
            there = (place < count)[:, None]
            others = scores[:, place]
            if not there.all():
                others = np.where(there, others, -np.inf)
            np.take(others, owner, axis=0, out=other)
            np.greater(other, mine, out=better)
            above += better
            np.greater_equal(other, mine, out=better)
            through += better
        entry = above.astype(np.int32) * len(self._table) + through
        return np.take(self._table.reshape(-1), entry)


def _ideal(
    gains: np.ndarray, discounts: np.ndarray, axis: int = -1
) -> np.ndarray:
    """Discounted gain of the best order along an axis."""
    ordered = -np.sort(-np.moveaxis(gains, axis, -1), axis=-1)
    ordered = ordered[..., : len(discounts)]
    return ordered @ discounts[: ordered.shape[-1]]


def _tie_table(width: int, discounts: np.ndarray) -> np.ndarray:
    """[N + 1, N + 1] mean discount by (above, above or tied)."""
    total = np.zeros(width + 1)
    places = min(width, len(discounts))
    total[1 : places + 1] = np.cumsum(discounts[:places])
    total[places + 1 :] = total[places]
    above, through = np.ogrid[: width + 1, : width + 1]
    tied = np.maximum(through - above, 1)
    return ((total[None, :] - total[:, None]) / tied).astype(np.float32)


def _groups(
    ids: Mapping[str, np.ndarray], names: Sequence[str]
) -> tuple[list[Group], np.ndarray]:
    """All requests and every segment: names, and [G, R] members."""
    groups, members = [ALL], []
    for name in names:
        for segment in np.unique(ids[name]):
            groups.append((name, str(segment)))
            members.append(ids[name] == segment)
    count = len(next(iter(ids.values()))) if members else 1
    everyone = np.ones((1, count), bool)
    return groups, np.concatenate([everyone, *[m[None] for m in members]])
