"""GAUC and NDCG, summed up batch by batch."""

import abc
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from jd_tf.layers.checks import check_int


class _Cells(NamedTuple):
    """M cells of a batch; those that do not count have label and weight 0."""

    labels: Any
    scores: Any
    weights: Any
    lists: Any  # int32, the list of each
    num_lists: Any  # G, of which some may be empty

    def sums(self, values: Any, order: Any = None) -> Any:
        """Returns (G,) sums by list of values (M,), which may be sorted."""
        lists = self.lists
        if order is not None:
            lists = ops.take(lists, order)
        return ops.segment_sum(values, lists, self.num_lists)


class _ListMean(keras.metrics.Metric, abc.ABC):
    """A weighted mean over lists of a value that every list has."""

    def __init__(self, objective: int | None, name: str, dtype: Any):
        super().__init__(name=name, dtype=dtype)
        if objective is not None:
            objective = check_int("objective", objective, 0)
        self.objective = objective
        # In double precision: a batch is a small part of a long evaluation.
        self.total = self.add_variable((), "zeros", "float64", name="total")
        self.weight = self.add_variable((), "zeros", "float64", name="weight")

    def update_state(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> None:
        """Adds a batch of requests.

        Args:
            y_true: (B, N) or (B, N, T); below 0 for a candidate that is not
                in the list.
            y_pred: scores of that shape, higher is better.
            sample_weight: (B,), (B, N) or (B, N, T) >= 0; None for 1 each. 0
                takes a candidate out of the list.
            groups: (B,) integer. Requests of one group make one list, which
                must not go on in the next batch; None: every request.

        Raises:
            ValueError: `objective` is not below T.
        """
        labels, scores = (_by_objective(y) for y in (y_true, y_pred))
        weights = ops.ones_like(labels)
        if sample_weight is not None:
            weights *= _by_objective(sample_weight)
        if self.objective is not None:
            if self.objective >= labels.shape[-1]:
                raise ValueError(
                    f"Metric {self.name!r}: there is no objective "
                    f"{self.objective} among {labels.shape[-1]}."
                )
            chosen = slice(self.objective, self.objective + 1)
            labels, scores, weights = (
                part[..., chosen] for part in (labels, scores, weights)
            )
        inside = (labels >= 0) & (weights > 0)
        labels, scores, weights = (
            ops.reshape(ops.where(inside, part, 0.0), (-1,))
            for part in (labels, scores, weights)
        )
        values, counts = self._values(
            _Cells(labels, scores, weights, *_lists_of(inside, groups))
        )
        # A score that is NaN has no place among others.
        broken = ops.any(ops.isnan(scores))
        total = ops.sum(ops.where(counts > 0, values * counts, 0.0))
        self.total.assign_add(ops.where(broken, np.nan, total))
        self.weight.assign_add(ops.sum(counts))

    @abc.abstractmethod
    def _values(self, cells: _Cells) -> tuple[Any, Any]:
        """Returns values of lists and weights, 0 for none, (G,) float64."""

    def result(self) -> Any:
        """Returns the mean; nan without a list that counts."""
        some = ops.where(self.weight > 0, self.weight, 1.0)
        mean = ops.where(self.weight > 0, self.total / some, np.nan)
        return ops.cast(mean, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "objective": self.objective}


@keras.saving.register_keras_serializable(package="jd_tf")
class GAUC(_ListMean):
    """Mean AUC within requests, or groups of them, by their weight.

    A list of one class only has no AUC and is left out. Ties count half.
    The state is a sum over lists: batches of any size give the same.

    Args:
        objective: int. Index on the last axis of the objective to judge;
            None: all of them, each with lists of its own.
        name, dtype: of the metric.

    Example:
        >>> metric = GAUC()
        >>> metric.update_state([[1.0, 0.0, -1.0]], [[2.0, 1.0, 9.0]])
        >>> metric.update_state([[0.0, 1.0, 0.0]], [[2.0, 2.0, 1.0]])
        >>> print(f"{float(metric.result()):.2f}")  # (2 * 1 + 3 * .75) / 5
        0.85

        In `compile`: `weighted_metrics={"logits": [GAUC(objective=0)]}`.

    References:
        Optimized Cost per Click in Taobao Display Advertising. Zhu, Jin,
        Tan, Pan, Zeng, Li, Gai, KDD 2017.
    """

    def __init__(
        self,
        objective: int | None = None,
        name: str = "gauc",
        dtype: Any = None,
    ):
        super().__init__(objective, name, dtype)

    def _values(self, cells: _Cells) -> tuple[Any, Any]:
        positive = ops.where(cells.labels > 0, cells.weights, 0.0)
        negative = ops.cast(cells.weights - positive, "float64")
        positive = ops.cast(positive, "float64")
        order, above, tied = _ranked(cells.scores, cells, negative)
        worse = ops.take(positive, order) * (above + 0.5 * tied)
        positives, negatives = cells.sums(positive), cells.sums(negative)
        pairs = positives * negatives
        auc = 1.0 - cells.sums(worse, order) / ops.where(pairs > 0, pairs, 1.0)
        return auc, ops.where(pairs > 0, positives + negatives, 0.0)


@keras.saving.register_keras_serializable(package="jd_tf")
class Concordance(_ListMean):
    """Mean share of a request's pairs of different labels in their order.

    GAUC where labels are amounts; of labels of 0 and 1 it is GAUC. All N * N
    pairs of a request are compared, so there are no groups of them.

    Args:
        objective: int. Index on the last axis of the objective to judge.
        name, dtype: of the metric.

    Example:
        >>> metric = Concordance(objective=0)
        >>> metric.update_state([[9.0, 0.0, 4.0]], [[3.0, 2.0, 1.0]])
        >>> print(f"{float(metric.result()):.4f}")  # 2 of 3
        0.6667
    """

    def __init__(
        self, objective: int, name: str = "concordance", dtype: Any = None
    ):
        super().__init__(objective, name, dtype)

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds a batch of requests; arguments as of `GAUC`."""
        super().update_state(y_true, y_pred, sample_weight)

    def _values(self, cells: _Cells) -> tuple[Any, Any]:
        label, score, weight = (
            ops.reshape(part, (cells.num_lists, -1))
            for part in (cells.labels, cells.scores, cells.weights)
        )
        both = weight[:, :, None] * weight[:, None, :]
        both = ops.where(label[:, :, None] > label[:, None, :], both, 0.0)
        ahead = ops.sign(score[:, :, None] - score[:, None, :])
        right, pairs = (
            ops.sum(ops.cast(part, "float64"), axis=(1, 2))
            for part in (both * (1.0 + ahead) / 2, both)
        )
        total = cells.sums(ops.cast(cells.weights, "float64"))
        share = right / ops.where(pairs > 0, pairs, 1.0)
        return share, ops.where(pairs > 0, total, 0.0)


@keras.saving.register_keras_serializable(package="jd_tf")
class NDCG(_ListMean):
    """Mean NDCG of the first k places of each request, or group of them.

    Discount 1 / log2(1 + place), gains as they are; tied candidates share
    the mean discount of their places. A list without a gain is left out.
    Sample weights multiply gains.

    Args:
        k: int. Places that count.
        objective: int or None, as of `GAUC`.
        name, dtype: of the metric; its name is `ndcg_<k>` if None.

    Example:
        >>> metric = NDCG(k=1)
        >>> metric.update_state([[3.0, 1.0, -1.0]], [[2.0, 2.0, 9.0]])
        >>> print(f"{float(metric.result()):.4f}")  # 2 of 3
        0.6667

    References:
        Cumulated Gain-Based Evaluation of IR Techniques. Järvelin,
        Kekäläinen, TOIS 2002.
        Computing Information Retrieval Performance Measures Efficiently in
        the Presence of Tied Scores. McSherry, Najork, ECIR 2008.
    """

    def __init__(
        self,
        k: int = 10,
        objective: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        self.k = check_int("k", k, 1)
        super().__init__(objective, name or f"ndcg_{k}", dtype)

    def _values(self, cells: _Cells) -> tuple[Any, Any]:
        gains = cells.labels * cells.weights
        listed = ops.cast(cells.weights > 0, "float64")
        discounts = 1.0 / np.log2(np.arange(2, self.k + 2))
        total = ops.array(np.append(0.0, np.cumsum(discounts)))

        def discounted(keys: Any) -> Any:
            order, above, tied = _ranked(keys, cells, listed)
            first, last = (
                ops.cast(ops.minimum(place, float(self.k)), "int32")
                for place in (above, above + tied)
            )
            shared = ops.take(total, last) - ops.take(total, first)
            shared /= ops.maximum(tied, 1.0)
            sorted_gains = ops.cast(ops.take(gains, order), "float64")
            return cells.sums(sorted_gains * shared, order)

        ideal = discounted(gains)
        some = ideal > 0
        ratio = discounted(cells.scores) / ops.where(some, ideal, 1.0)
        return ratio, ops.cast(some, "float64")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}


def _by_objective(values: Any) -> Any:
    """(B,), (B, N) or (B, N, T) to float32 of three axes."""
    values = ops.cast(ops.convert_to_tensor(values), "float32")
    while len(values.shape) < 3:
        values = values[..., None]
    return values


def _lists_of(inside: Any, groups: Any) -> tuple[Any, Any]:
    """List of every cell of (B, N, T), (B N T,) int32, and their number."""
    num_requests, _, num_objectives = ops.shape(inside)
    first = ops.arange(num_requests, dtype="int32")
    if groups is not None:
        groups = ops.convert_to_tensor(groups)
        same = ops.equal(groups[:, None], groups[None, :])
        # The first request of each one's group.
        first = ops.cast(ops.argmax(ops.cast(same, "int32"), -1), "int32")
    lists = first[:, None] * num_objectives
    lists = lists + ops.arange(num_objectives, dtype="int32")
    lists = ops.broadcast_to(lists[:, None, :], ops.shape(inside))
    return ops.reshape(lists, (-1,)), num_requests * num_objectives


def _ranked(keys: Any, cells: _Cells, weights: Any) -> tuple[Any, Any, Any]:
    """Sorts (M,) by list, then from the highest key.

    Returns the order and, in that order, the weight in the list of higher
    keys, and of equal ones, its own included.
    """
    order = ops.argsort(-keys)
    # Sorting keeps the order of equals.
    order = ops.take(order, ops.argsort(ops.take(cells.lists, order)))
    keys, lists, ordered = (
        ops.take(part, order) for part in (keys, cells.lists, weights)
    )
    changed = (keys[1:] != keys[:-1]) | (lists[1:] != lists[:-1])
    # Neighbours that are equal make a block.
    block = ops.cumsum(ops.cast(changed, "int32"))
    block = ops.concatenate([ops.zeros((1,), "int32"), block])
    tied = ops.segment_sum(ordered, block, ops.size(keys))
    before = ops.cumsum(tied) - tied
    per_list = cells.sums(weights)
    start = ops.cumsum(per_list) - per_list
    above = ops.take(before, block) - ops.take(start, lists)
    return order, above, ops.take(tied, block)
