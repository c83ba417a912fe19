"""What attention went to, event by event, over many requests."""

from collections.abc import Mapping

import numpy as np

from jd_tf.evaluation.baselines.matches import match_events
from jd_tf.metrics.cells import real_cells
from jd_tf.schema import UNKNOWN_DWELL, Behavior, Schema

# Upper ends of the buckets of a counter; above the last is a bucket too.
COUNT_BUCKETS = {"0": 0, "1": 1, "2": 2, "3 to 5": 5, "6 and more": np.inf}
DWELL_BUCKETS = {
    "unknown": UNKNOWN_DWELL,
    "under 10 s": 10,
    "10 to 30 s": 30,
    "30 s to 1 min": 60,
    "1 to 3 min": 180,
    "over 3 min": np.inf,
}


class AttentionLog:
    """Gathers one behaviour's attention, request by request.

    Histories of fewer than two events are left out: attention has no choice
    there. What is gathered is *lift*: the weight an event got times the
    number of events, so that 1 is what attention spread evenly would give,
    and users of long and short histories can be averaged.

    Axis letters: E events of all requests, H heads.

    Args:
        behavior: whose attention.
        schema: of the batches.

    Attributes:
        num_requests: requests added.
        num_read: those whose history counts.
    """

    def __init__(self, behavior: Behavior, schema: Schema):
        self.behavior = behavior
        self.schema = schema
        self.num_requests = 0
        self.num_read = 0
        self._parts: dict[str, list[np.ndarray]] = {}

    def add(self, batch: Mapping[str, np.ndarray], weights: np.ndarray) -> None:
        """Adds a batch.

        Args:
            batch: arrays as the schema says, serving columns at least.
            weights: [B, H, N, L]; over real events they sum to 1.

        Raises:
            ValueError: naming the behaviour whose weights do not fit.
        """
        name = self.behavior.name
        length = batch[self.behavior.length]
        age = batch[f"{name}_age_seconds"]
        candidates = real_cells(
            batch["num_candidates"], batch["item_id"].shape[1]
        )
        expected = (*candidates.shape, age.shape[1])
        weights = np.asarray(weights, np.float32)
        if weights.ndim != 4 or weights.shape[::2] + weights.shape[3:] != (
            expected
        ):
            raise ValueError(
                f"behaviour `{name}`: attention must be (B, H, N, L) with B, "
                f"N, L = {expected}. Got: {weights.shape}."
            )
        real = real_cells(length, age.shape[1])
        total = np.where(real[:, None, None], weights, 0.0).sum(axis=3)
        read = (candidates & (length > 0)[:, None])[:, None]
        wrong = np.abs(np.where(read, total - 1.0, 0.0)).max(initial=0.0)
        if not wrong < 0.02:
            raise ValueError(
                f"behaviour `{name}`: attention over real events must sum to "
                f"1; it is off by {wrong:.3f}."
            )
        choice = length > 1
        real &= choice[:, None]
        read &= choice[:, None, None]
        lift = weights * length.astype(np.float32)[:, None, None, None]
        share = candidates / np.maximum(candidates.sum(1, keepdims=True), 1)
        mean = np.einsum("bhnl,bn->blh", lift, share)
        request = np.arange(len(length)) + self.num_requests
        request = np.broadcast_to(request[:, None], real.shape)
        self._append("lift", mean[real])
        self._append("request", request[real])
        self._append("age", age[real])
        if self.behavior.dwell:
            self._append("dwell", batch[f"{name}_dwell_seconds"][real])
        if self.behavior.action_counters:
            self._append("counts", batch[f"{name}_action_counts"][real])
        self._add_matches(batch, lift, real, candidates)
        self._add_spread(weights, read, length)
        self.num_requests += len(length)
        self.num_read += int(choice.sum())

    def _add_matches(
        self,
        batch: Mapping[str, np.ndarray],
        lift: np.ndarray,
        real: np.ndarray,
        candidates: np.ndarray,
    ) -> None:
        """Per request: lift summed over pairs that share an id, or do not."""
        pairs = (candidates[:, :, None] & real[:, None, :]).astype(np.float32)
        for column in self.schema.item_id_columns:
            same = match_events(batch, self.behavior, column.name) * pairs
            for kind, chosen in (("same", same), ("other", pairs - same)):
                sums = np.einsum("bhnl,bnl->bh", lift, chosen)
                count = chosen.sum(axis=(1, 2))[:, None]
                both = np.concatenate([sums, count], axis=1)
                self._append(f"{kind}_{column.name}", both)

    def _add_spread(
        self, weights: np.ndarray, read: np.ndarray, length: np.ndarray
    ) -> None:
        """Per request that counts: how many of them are in effect read."""
        some = length > 1
        logs = np.log(np.where(weights > 0, weights, 1.0))
        effective = np.exp(-(weights * logs).sum(axis=3))
        count = np.maximum(read.sum(axis=2), 1)
        effective = np.where(read, effective, 0.0).sum(axis=2) / count
        self._append("effective", effective[some])
        self._append("length", length[some])

    def _append(self, name: str, values: np.ndarray) -> None:
        self._parts.setdefault(name, []).append(values)

    def get(self, name: str) -> np.ndarray:
        """All that was gathered under a name.

        `lift` [E, H], `request` [E], `age` [E] seconds, `dwell` [E] seconds,
        `counts` [E, C], `effective` [requests that count, H], `length`
        of those, `same_<column>` and `other_<column>` [requests, H + 1]:
        sums of lift and, last, number of pairs.
        """
        return np.concatenate(self._parts[name])

    @property
    def num_events(self) -> int:
        """E, events that count."""
        return sum(len(part) for part in self._parts.get("age", ()))


def bucket_means(
    lift: np.ndarray, bucket: np.ndarray, request: np.ndarray, num_buckets: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean lift a bucket, with 95 % intervals that respect requests.

    Events of one request share its unit of attention, so the spread is taken
    between requests (linearised ratio of sums; Cochran, 1977, chapter 6).

    Args:
        lift: [E, H].
        bucket: [E] int from 0.
        request: [E] int from 0.
        num_buckets: K.

    Returns:
        means [K, H], half widths [K, H], events [K]; nan where none fell.
    """
    cells, place = np.unique(
        bucket.astype(np.int64) * (request.max(initial=0) + 1) + request,
        return_inverse=True,
    )
    owner = cells // (request.max(initial=0) + 1)
    count = np.bincount(place, minlength=len(cells))
    sums = np.stack(
        [np.bincount(place, head, minlength=len(cells)) for head in lift.T], 1
    )

    def total(values: np.ndarray) -> np.ndarray:
        return np.stack(
            [np.bincount(owner, v, minlength=num_buckets) for v in values.T], 1
        )

    events = np.bincount(bucket, minlength=num_buckets)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total(sums) / events[:, None]
        rest = sums - means[owner] * count[:, None]
        half = 1.96 * np.sqrt(total(rest**2)) / events[:, None]
    return means, half, events


def to_buckets(values: np.ndarray, buckets: Mapping[str, float]) -> np.ndarray:
    """[E] number of the bucket each value falls into, by upper ends."""
    return np.searchsorted(list(buckets.values()), values, side="left")
