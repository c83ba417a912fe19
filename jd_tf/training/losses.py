"""What training minimises: one cross entropy per objective."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

# Labels of batches; the model reads every other column.
LABEL_COLUMNS = ("labels", "label_weights")


def cell_weights(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Weights of all cells, 0 where there is no candidate.

    Args:
        batch: with `label_weights` (B, N, T) and `num_candidates` (B,).

    Returns:
        (B, N, T) float32. What padding holds does not matter.
    """
    weights = batch["label_weights"]
    mask = tf.sequence_mask(batch["num_candidates"], tf.shape(weights)[1])
    return tf.where(mask[..., None], weights, tf.zeros_like(weights))


def objective_losses(
    labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean cross entropy of each objective over its own sample space.

    Args:
        labels: (B, N, T), 0 or 1.
        logits: (B, N, T), any float.
        weights: (B, N, T) >= 0; 0 is outside the sample space, and what
            labels and logits hold there does not matter.

    Returns:
        (T,) losses, 0 for an objective without samples; (T,) sums of weights.
    """
    inside = weights > 0
    # Masked before, not after: padding may hold infinity, and the gradient
    # of 0 * infinity is NaN.
    logits = tf.cast(logits, tf.float32)
    logits = tf.where(inside, logits, tf.zeros_like(logits))
    labels = tf.where(inside, labels, tf.zeros_like(labels))
    entropies = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    masses = tf.reduce_sum(weights, axis=(0, 1))
    sums = tf.reduce_sum(entropies * weights, axis=(0, 1))
    return tf.math.divide_no_nan(sums, masses), masses


@keras.saving.register_keras_serializable(package="jd_tf")
class MultiObjectiveLoss(keras.losses.Loss):
    """The weighted sum of the objectives' mean cross entropies.

    For `model.compile(loss={"logits": MultiObjectiveLoss()})`, on data sets
    of `fit_data`. Each objective is averaged over its own sample space, so
    the reduction is this loss's own and Keras' does not apply.

    Args:
        objective_weights: T floats, or () for 1 each.
        name: str.

    Call arguments:
        y_true: (B, N, T), 0 or 1.
        y_pred: (B, N, T) logits.
        sample_weight: (B, N, T) >= 0, or None for 1 each; 0 takes a cell
            out of its objective's sample space.
    """

    def __init__(
        self,
        objective_weights: Sequence[float] = (),
        name: str = "multi_objective_loss",
        **kwargs,
    ):
        kwargs.pop("reduction", None)
        super().__init__(name=name, reduction="sum", **kwargs)
        self.objective_weights = tuple(objective_weights)

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tf.Tensor:
        y_true = tf.cast(y_true, tf.float32)
        if sample_weight is None:
            sample_weight = tf.ones_like(y_true)
        sample_weight = tf.cast(sample_weight, tf.float32)
        losses, _ = objective_losses(y_true, y_pred, sample_weight)
        weights = self.objective_weights or 1.0
        return tf.reduce_sum(losses * tf.constant(weights, tf.float32))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "objective_weights": list(self.objective_weights),
        }


def fit_data(
    batch: Mapping[str, tf.Tensor],
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Splits a batch the way Keras' `fit` wants it.

    `model.fit(read_batches(...).map(fit_data))` trains as the loop does.

    Args:
        batch: a training batch.

    Returns:
        Inputs; `{"logits": labels}`; `{"logits": cell weights}`.
    """
    inputs = {k: v for k, v in batch.items() if k not in LABEL_COLUMNS}
    weights = cell_weights(batch)
    return inputs, {"logits": batch["labels"]}, {"logits": weights}
