"""Loss of fusion weights: the order of candidates by what they gained."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from jd_tf.losses.multi_objective import cell_weights
from jd_tf.models.blocks.score_head import request_values
from jd_tf.schema import Schema, SchemaError
from jd_tf.training.config import FUSION_LOSSES, FUSION_REQUEST_WEIGHTS

# Far below any real score; its exponential is zero beside one.
_NOWHERE = -1e9


class FusionLosses(NamedTuple):
    """The mean loss of a batch, and numbers of its requests, int32 scalars."""

    # 0 without any request that counts.
    total: tf.Tensor
    num_used: tf.Tensor
    # Requests of one outcome only.
    num_skipped: tf.Tensor


class FusionLoss:
    """Compares the scores within a request with what each candidate gained.

    A candidate's gain is its business value, sum_t value_t * label_t *
    weight_t, or its entry in the reward column. With share_i = gain_i / sum
    of the request's gains and s the scores on a logarithmic scale:

        listwise: - sum_i share_i log softmax(s)_i
        pairwise: sum over pairs with gain_i > gain_j of (gain_i - gain_j)
                  log(1 + exp(s_j - s_i)), over the sum of the differences

    Listwise is the top-one cross entropy of ListNet (equation 5) with shares
    of value in place of a softmax of relevance: it is least where softmax(s)
    is proportional to the expected gain. Candidates without any label, all
    label weights 0, are in no list.

    A request whose candidates all gained the same has no order to learn: it
    is skipped, and counted. Gains may be negative, of rewards and of bad
    outcomes: then the list's least is taken off all of them.

    Args:
        values: T business values, not all 0; unused with a reward. Or
            a schema, whose values they are then, scenario by scenario.
        reward: bool. Whether gains are the batch's `reward` column.
        kind: `"listwise"` or `"pairwise"`.
        request_weights: `"equal"`, as value-NDCG weighs requests, or
            `"gain"`, by the sum of their gains, as captured value does.

    Raises:
        SchemaError: an argument out of range.

    Example:
    >>> loss = FusionLoss((1.0, 10.0))
    >>> batch = {
    ...     "labels": tf.constant([[[1.0, 0.0], [1.0, 1.0]]]),
    ...     "label_weights": tf.ones((1, 2, 2)),
    ...     "num_candidates": tf.constant([2]),
    ... }
    >>> gains, listed = loss.gains(batch)
    >>> gains.numpy().tolist()
    [[1.0, 11.0]]
    >>> found = loss(batch, tf.constant([[0.0, 0.0]]))
    >>> round(float(found.total), 4), int(found.num_used)
    (0.6931, 1)

    References:
        Cao et al., "Learning to Rank: From Pairwise Approach to Listwise
        Approach" (ICML 2007).
    """

    def __init__(
        self,
        values: Sequence[float] | Schema,
        reward: bool = False,
        kind: str = "listwise",
        request_weights: str = "equal",
    ):
        self.schema = values if isinstance(values, Schema) else None
        if isinstance(values, Schema):
            values = values.objective_values
        values = tuple(float(value) for value in values)
        finite = all(abs(value) < float("inf") for value in values)
        if not reward and not (finite and any(values)):
            raise SchemaError(
                "`values` must be finite numbers, not all of them 0. "
                f"Got: {values}."
            )
        for name, choice, choices in (
            ("kind", kind, FUSION_LOSSES),
            ("request_weights", request_weights, FUSION_REQUEST_WEIGHTS),
        ):
            if choice not in choices:
                raise SchemaError(
                    f"`{name}` must be one of {choices}. Got: {choice!r}."
                )
        self.values = values
        self.reward = bool(reward)
        self.kind = kind
        self.request_weights = request_weights

    def gains(
        self, batch: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the gain of each candidate, and whether it is listed.

        Args:
            batch: with `labels`, `label_weights` (B, N, T), `num_candidates`
                (B,) and, if it is read, `reward` (B, N); with the scenario
                (B,), where values depend on it.

        Returns:
            (B, N) float32 >= 0, 0 outside the list; (B, N) bool.
        """
        weights = cell_weights(batch)
        listed = tf.reduce_any(weights > 0, axis=-1)
        if self.reward:
            gains = self._rewards(batch)
        else:
            labels = batch["labels"]
            # Outside its sample space a label may hold anything.
            labels = tf.where(weights > 0, labels, tf.zeros_like(labels))
            values = tf.constant(self.values, tf.float32)
            if self.schema is not None and self.schema.scenario_values:
                values = request_values(self.schema, batch)[:, None, :]
            gains = tf.reduce_sum(values * labels * weights, axis=-1)
        least = tf.reduce_min(
            tf.where(listed, gains, 0.0), axis=1, keepdims=True
        )
        return tf.where(listed, gains - tf.minimum(least, 0.0), 0.0), listed

    def __call__(
        self, batch: Mapping[str, tf.Tensor], list_logits: Any
    ) -> FusionLosses:
        """Returns the loss of a batch as for `gains`.

        `list_logits` (B, N) are scores on a logarithmic scale, made by
        `Fusion.list_logits`; padding may hold anything.
        """
        gains, listed = self.gains(batch)
        logits = tf.cast(list_logits, tf.float32)
        logits = tf.where(listed, logits, _NOWHERE)
        top = tf.reduce_max(gains, axis=1)
        least = tf.reduce_min(tf.where(listed, gains, tf.float32.max), axis=1)
        # An empty list has a least above its top.
        used = top > least
        losses = (
            _listwise(gains, logits)
            if self.kind == "listwise"
            else _pairwise(gains, logits, listed)
        )
        weights = tf.cast(used, tf.float32)
        if self.request_weights == "gain":
            weights *= tf.reduce_sum(gains, axis=1)
        # Not losses * weights: a request that counts nothing may be NaN.
        losses = tf.where(used, losses, 0.0)
        total = tf.math.divide_no_nan(
            tf.reduce_sum(losses * weights), tf.reduce_sum(weights)
        )
        num_used = tf.math.count_nonzero(used, dtype=tf.int32)
        return FusionLosses(total, num_used, tf.size(used) - num_used)

    def _rewards(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        if "reward" not in batch:
            raise SchemaError(
                "the batch has no column `reward`: read it with "
                "`read_batches(reward=True)` from data whose schema has one, "
                "or train the fusion on business values."
            )
        return tf.cast(batch["reward"], tf.float32)


def _listwise(gains: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns (B,) cross entropies of shares of gain and softmax."""
    total = tf.reduce_sum(gains, axis=1, keepdims=True)
    shares = tf.math.divide_no_nan(gains, total)
    return -tf.reduce_sum(shares * tf.nn.log_softmax(logits), axis=1)


def _pairwise(
    gains: tf.Tensor, logits: tf.Tensor, listed: tf.Tensor
) -> tf.Tensor:
    """Returns (B,) mean logistic losses of pairs, by difference in gain."""
    both = listed[:, :, None] & listed[:, None, :]
    gaps = tf.nn.relu(gains[:, :, None] - gains[:, None, :])
    gaps = tf.where(both, gaps, 0.0)
    behind = tf.where(both, logits[:, None, :] - logits[:, :, None], 0.0)
    losses = tf.reduce_sum(gaps * tf.nn.softplus(behind), axis=(1, 2))
    return tf.math.divide_no_nan(losses, tf.reduce_sum(gaps, axis=(1, 2)))
