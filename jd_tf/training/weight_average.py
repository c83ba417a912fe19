"""Exponential moving averages of weights, at the cost of what is touched."""

import contextlib
import re
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf

from jd_tf.training.gradients import Gradient
from jd_tf.training.named_variables import model_variables, trained_variables
from jd_tf.training.sparse_dense_optimizer import TABLE_PATTERN


class WeightAverage:
    """An exponential moving average of a main network's weights.

        average_t = d_t average_(t - 1) + (1 - d_t) weights_t
        d_t = min(decay, (1 + t) / (10 + t))

    Early steps get a shorter memory, a ninth of the steps so far, so that the
    initial weights do not linger. The average of a table is exact and costs
    the rows a step touches: while nothing touches a row, its weights w stay,
    and its average goes on as w + d_(s + 1) ... d_t (average_s - w). So it is
    brought up only when the row is about to change, and when it is read.

    Args:
        model: a built `RankingModel`.
        decay: float in (0, 1).

    Example:
    >>> from jd_tf.models import PooledMMoE
    >>> from jd_tf.schema import Behavior, IdColumn, Objective, Schema
    >>> schema = Schema(
    ...     "shop",
    ...     (IdColumn("item_id", num_buckets=9),),
    ...     (Behavior("click", max_length=3),),
    ...     (Objective("click"),),
    ...     max_candidates=4,
    ... )
    >>> average = WeightAverage(PooledMMoE(schema), 0.99)
    >>> "average/decay" in average.named_variables()
    True

    References:
        Polyak and Juditsky, "Acceleration of Stochastic Approximation by
        Averaging" (SIAM J. Control and Optimization 1992).
    """

    def __init__(self, model: keras.Model, decay: float):
        self.decay = decay
        names = {id(v): n for n, v in model_variables(model).items()}
        self.weights = [v.value for v in trained_variables(model)]
        self._names = [names[id(weight)] for weight in self.weights]
        self._averages = [
            tf.Variable(weight, trainable=False) for weight in self.weights
        ]
        # Logarithm of the product of all decays so far; at the step before;
        # and, of each row of a table, when its average was brought up.
        self._total, self._before = _zeros(()), _zeros(())
        self._reached = [
            _zeros(weight.shape[:1]) if re.search(TABLE_PATTERN, name) else None
            for name, weight in zip(self._names, self.weights, strict=True)
        ]

    def follow(
        self, gradients: Sequence[Gradient | None], iterations: tf.Tensor
    ) -> None:
        """Brings up the averages of what a step is about to change.

        Args:
            gradients: of `weights`, sparse ones without repeated rows.
            iterations: steps taken before this one.
        """
        now = tf.identity(self._total)
        recent = tf.exp(now - self._before)
        for gradient, weight, average, reached in zip(
            gradients, self.weights, self._averages, self._reached, strict=True
        ):
            if gradient is None:
                continue
            if reached is None:
                average.assign(_mix(average, weight, recent))
                continue
            sparse = isinstance(gradient, tf.IndexedSlices)
            rows = gradient.indices if sparse else tf.range(weight.shape[0])
            # Gathered from the resources: reading a table would copy it.
            share = tf.exp(now - tf.gather(reached, rows))
            old, new = tf.gather(average, rows), tf.gather(weight, rows)
            mixed = tf.IndexedSlices(_mix(old, new, share), rows)
            average.scatter_update(mixed)
            times = tf.fill(tf.shape(rows), now)
            reached.scatter_update(tf.IndexedSlices(times, rows))
        step = tf.cast(iterations, tf.float64) + 1.0
        decay = tf.minimum(
            tf.constant(self.decay, tf.float64), (1.0 + step) / (10.0 + step)
        )
        self._before.assign(now)
        self._total.assign(now + tf.math.log(decay))

    def apply(self) -> None:
        """Sets the weights to their averages; the averages stay as they are."""
        for weight, average, reached in zip(
            self.weights, self._averages, self._reached, strict=True
        ):
            since = self._before if reached is None else reached
            weight.assign(_mix(average, weight, tf.exp(self._total - since)))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Sets the weights to their averages, and back at the end."""
        kept = [tf.identity(weight) for weight in self.weights]
        try:
            self.apply()
            yield
        finally:
            for weight, value in zip(self.weights, kept, strict=True):
                weight.assign(value)

    def named_variables(self) -> dict[str, tf.Variable]:
        """Returns all its variables by name, `average/...`."""
        named = {"decay": self._total, "decay_before": self._before}
        for name, average, reached in zip(
            self._names, self._averages, self._reached, strict=True
        ):
            named[f"model/{name}"] = average
            if reached is not None:
                named[f"reached/{name}"] = reached
        return {f"average/{name}": variable for name, variable in named.items()}


def _zeros(shape: Sequence[int]) -> tf.Variable:
    # Double precision: logarithms of a million steps add up.
    return tf.Variable(tf.zeros(shape, tf.float64), trainable=False)


def _mix(average: tf.Tensor, weight: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Returns share * average + (1 - share) * weight, a share a row or one."""
    share = tf.cast(share, weight.dtype)
    while 0 < len(share.shape) < len(weight.shape):
        share = share[..., tf.newaxis]
    return weight + share * (average - weight)
