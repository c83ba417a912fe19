"""Metrics of expected amounts, summed up batch by batch."""

from typing import Any

import keras
import numpy as np
from keras import ops

from jd_tf.layers.checks import check_int

_KINDS = ("mean_absolute_error", "calibration_ratio", "relative_deviance")


@keras.saving.register_keras_serializable(package="jd_tf")
class AmountMetric(keras.metrics.Metric):
    """Error, calibration or deviance of one amount, from its logit.

    The state is made of sums: batches of any size give the same. Definitions
    are those of `jd_tf.metrics`, where the ratio is called `amount_ratio`.

    Args:
        kind: "mean_absolute_error", "calibration_ratio", "relative_deviance".
        objective: int. Index of the amount on the last axis.
        scale: float. Its unit: of a model's `amount_scales`, after `adapt`.
        name, dtype: of the metric; its name is `kind` if None.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> metric = AmountMetric("mean_absolute_error", objective=1, scale=2.0)
        >>> labels, logits = [[[0.0, 5.0], [1.0, -1.0]]], np.zeros((1, 2, 2))
        >>> metric.update_state(labels, logits)
        >>> float(metric.result())
        3.0
    """

    def __init__(
        self,
        kind: str,
        objective: int,
        scale: float,
        name: str | None = None,
        dtype: Any = None,
    ):
        if kind not in _KINDS:
            raise ValueError(f"`kind` must be one of {_KINDS}. Got: {kind!r}.")
        super().__init__(name=name or kind, dtype=dtype)
        self.kind = kind
        self.objective = check_int("objective", objective, 0)
        self.scale = float(scale)
        if not 0 < self.scale < np.inf:
            raise ValueError(f"`scale` must be above 0. Got: {scale}.")
        self.sums = self.add_variable((6,), "zeros", "float64", name="sums")

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds a batch of requests.

        Args:
            y_true: (B, N, T) labels; below 0 where a cell does not count.
            y_pred: (B, N, T) logits.
            sample_weight: (B, N, T) >= 0; None for 1 each.
        """
        weight = (
            ops.ones_like(y_true) if sample_weight is None else sample_weight
        )
        label, logit, weight = (
            ops.cast(
                ops.convert_to_tensor(part)[..., self.objective], "float64"
            )
            for part in (y_true, y_pred, weight)
        )
        inside = (label >= 0) & (weight > 0)
        label, logit, weight = (
            ops.where(inside, part, 0.0) for part in (label, logit, weight)
        )
        label = label / self.scale
        amount = ops.exp(logit)
        entropy = label * ops.log(ops.where(label > 0, label, 1.0))
        error = entropy - label * logit - label + amount
        parts = [ops.ones_like(label), label, amount]
        parts += [ops.abs(amount - label), error, entropy]
        self.sums.assign_add(
            ops.stack([ops.sum(part * weight) for part in parts])
        )

    def result(self) -> Any:
        """Returns the metric; nan where it is undefined."""
        weight, label, amount, apart, error, entropy = ops.unstack(
            ops.convert_to_tensor(self.sums), 6
        )
        # Half the deviance of the mean label.
        constant = entropy - label * ops.log(
            ops.where(label > 0, label / weight, 1.0)
        )
        top, bottom = dict(
            zip(
                _KINDS,
                (
                    (apart * self.scale, weight),
                    (amount, label),
                    (error, constant),
                ),
                strict=True,
            )
        )[self.kind]
        found = top / ops.where(bottom > 0, bottom, 1.0)
        return ops.cast(ops.where(bottom > 0, found, np.nan), "float32")

    def get_config(self) -> dict[str, Any]:
        config = {"kind": self.kind, "objective": self.objective}
        return {**super().get_config(), **config, "scale": self.scale}
