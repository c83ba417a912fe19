"""Thousands of weight vectors judged on the same requests at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.objective_metrics import request_ndcg
from jd_tf.metrics.cells import Cells

FORMS = ("log_linear", "additive")
ALL = ("all", "all")
_LEAST_PROBABILITY = 1e-30
# Bytes of the scores a block holds: a share of the second-level cache.
_BLOCK_BYTES = 4 << 20
_MAX_WEIGHTS = 256

Group = tuple[str, str]
Progress = Callable[[int], object]


class Judged(NamedTuple):
    """Metrics of W weight vectors, or of W rankings."""

    ndcg: np.ndarray  # [G, W] means of value-NDCG, nan without any gain
    captured: np.ndarray  # [T, W] discounted outcomes over the most possible


class WeightJudge:
    """Ranks requests by every weight vector and measures the first k places.

    Nothing is sorted. A gain counts by the number of candidates that score
    higher, so each candidate with an outcome, of which a request has few, is
    compared with its neighbours; the comparisons of a block of requests under
    hundreds of weight vectors are one vector operation a neighbour. Ties
    share the mean discount of their places, as in `group_ndcg`. Requests
    without any outcome are the same under all weights and are left out:
    `num_ranked` remain. `groups` are (segmentation, segment), all requests
    first, `group_sizes` [G] their requests with gain; `features` [R, N, T].
    Requests count alike, or with `request_weights` "gain" by the most that
    could be gained in them, as captured value counts them.
    """

    def __init__(
        self,
        predictions: FusionPredictions,
        form: str = "log_linear",
        k: int = 10,
        segments: Sequence[str] = (),
        request_weights: str = "equal",
    ):
        if form not in FORMS:
            raise ValueError(f"`form` must be one of {FORMS}. Got: {form!r}.")
        self.predictions = predictions
        self.form = form
        self.k = k
        real = predictions.real[..., None]
        features = np.where(real, predictions.probabilities, 0.5)
        # Of bad outcomes weights count that they do not happen, as in `Fusion`.
        bad = np.array(predictions.values) < 0
        features = np.where(bad, 1.0 - features, features)
        self.features = features.astype(np.float32)
        if form == "log_linear":
            self.features = np.log(
                np.maximum(self.features, _LEAST_PROBABILITY)
            )
        gains = predictions.total_gains()
        # As `group_ndcg` counts them.
        least = np.minimum(gains.min(axis=1, initial=0.0), 0.0)[:, None]
        gains = np.where(predictions.real, gains - least, 0.0)
        labels = np.where(real, predictions.labels, 0.0).astype(np.float64)
        discounts = 1.0 / np.log2(np.arange(2, k + 2))
        ideal = _ideal(gains, discounts)
        self._labels = labels
        self._label_ideal = _ideal(labels, discounts, axis=1).sum(axis=0)
        self._gained = (gains > 0) | labels.any(axis=-1)
        # Requests with as many outcomes fill a block evenly.
        outcomes = self._gained.sum(axis=1)
        self._rows = np.flatnonzero(outcomes)
        self._rows = self._rows[np.argsort(outcomes[self._rows])]
        self.num_ranked = len(self._rows)
        counts = ideal if request_weights == "gain" else 1.0 * (ideal > 0)
        self._shares = _ratio(gains, ideal[:, None], 0.0) * counts[:, None]
        self._table = _tie_table(labels.shape[1], discounts)
        self.groups, members = [ALL], [np.ones(len(gains), bool)]
        for name in segments:
            ids = predictions.segments[name]
            for segment in np.unique(ids):
                self.groups.append((name, str(segment)))
                members.append(ids == segment)
        self._member = np.stack(members) & (ideal > 0)
        self.group_sizes = self._member.sum(axis=1)
        self._group_counts = self._member @ counts

    def judge(
        self, weights: np.ndarray, progress: Progress | None = None
    ) -> Judged:
        """Judges weight vectors [W, T]; `progress` gets numbers of rankings."""
        weights = np.asarray(weights, np.float32)

        def scores(rows: np.ndarray, chosen: slice) -> np.ndarray:
            block = self.features[rows]
            flat = block.reshape(-1, block.shape[2]) @ weights[chosen].T
            return flat.reshape(*block.shape[:2], -1)

        return self._judge(scores, len(weights), progress)

    def judge_scores(self, rankings: Mapping[str, np.ndarray]) -> Judged:
        """Judges rankings, name -> scores [R, N]; W is their order."""
        stacked = np.stack(list(rankings.values()), axis=-1)
        return self._judge(
            lambda rows, chosen: stacked[rows][..., chosen], len(rankings)
        )

    def request_ndcg(self, scores: np.ndarray) -> np.ndarray:
        """[R] value-NDCG of one ranking [R, N]; nan without any gain."""
        gains = self.predictions.total_gains()
        cells = Cells.of(gains, self.predictions.num_candidates)
        return request_ndcg(cells, np.asarray(scores), self.k)

    def _judge(
        self,
        scores: Callable[[np.ndarray, slice], np.ndarray],
        num_weights: int,
        progress: Progress | None = None,
    ) -> Judged:
        """Judges `scores(requests [r], which of W)` [r, N, w], in blocks."""
        ndcg = np.zeros((len(self.groups), num_weights))
        captured = np.zeros((self._labels.shape[-1], num_weights))
        cells = 4 * self.features.shape[1] * min(num_weights, _MAX_WEIGHTS)
        size = max(1, _BLOCK_BYTES // cells)
        # Two BLAS threads wait for each other longer than these products take.
        with threadpool_limits(1, user_api="blas"):
            for begin in range(0, len(self._rows), size):
                rows = self._rows[begin : begin + size]
                owner, cell = np.nonzero(self._gained[rows])
                shares = self._shares[rows][owner, cell]
                shares = self._member[:, rows[owner]] * shares.astype("float32")
                labels = self._labels[rows][owner, cell].T.astype(np.float32)
                for start in range(0, num_weights, _MAX_WEIGHTS):
                    stop = min(start + _MAX_WEIGHTS, num_weights)
                    chosen = slice(start, stop)
                    block = scores(rows, chosen)
                    discount = self._discounts(rows, block, owner, cell)
                    ndcg[:, chosen] += shares @ discount
                    captured[:, chosen] += labels @ discount
                    if progress:
                        progress(len(rows) * (stop - start))
        return Judged(
            _ratio(ndcg, self._group_counts[:, None]),
            _ratio(captured, self._label_ideal[:, None]),
        )

    def _discounts(
        self,
        rows: np.ndarray,
        scores: np.ndarray,
        owner: np.ndarray,
        cell: np.ndarray,
    ) -> np.ndarray:
        """[P, W] discounts of candidates `cell` [P] of requests `owner` [P]."""
        count = self.predictions.num_candidates[rows]
        mine = scores[owner, cell]
        small = np.uint8 if len(self._table) < 256 else np.uint16
        above, through = np.zeros((2, *mine.shape), small)
        other = np.empty_like(mine)
        better = np.empty(mine.shape, bool)
        for place in range(scores.shape[1]):
            # Padding stands behind everything.
            there = (place < count)[:, None]
            others = scores[:, place]
            if not there.all():
                others = np.where(there, others, -np.inf)
            np.take(others, owner, axis=0, out=other)
            above += np.greater(other, mine, out=better)
            through += np.greater_equal(other, mine, out=better)
        entry = above.astype(np.int32) * len(self._table) + through
        return np.take(self._table.reshape(-1), entry)


def _ratio(
    part: np.ndarray, whole: np.ndarray, undefined: float = np.nan
) -> np.ndarray:
    """The quotient, `undefined` where the whole is 0."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), undefined)


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
