"""One loss per objective, each over its own sample space.

Outcomes have the cross entropy. Amounts, the last objectives, have half the
deviance of Poisson's distribution, in units u of their own,

    y log(y / m) - y + m,   y = label / u,   m = exp(logit),

which is least at the mean of whatever is not negative, Poisson's or not: the
quasi-likelihood of a variance proportional to the mean, and a logarithmic link
(McCullagh and Nelder, Generalized Linear Models, 2nd edition 1989, chapter 9).
Of labels 0 and u it is close to the cross entropy of a rare outcome.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

# The label of a cell that never counts.
_NOT_COUNTED = -1.0


def cell_weights(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the label weights (B, N, T), 0 where there is no candidate."""
    weights = batch["label_weights"]
    mask = tf.sequence_mask(batch["num_candidates"], tf.shape(weights)[1])
    return tf.where(mask[..., None], weights, tf.zeros_like(weights))


def objective_losses(
    labels: tf.Tensor,
    logits: tf.Tensor,
    weights: tf.Tensor,
    amount_scales: Any = (),
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns mean losses (T,) and sums of weights (T,).

    All arguments are (B, N, T), but for the units (A,) of the amounts. Weight
    0 is outside an objective's sample space, and what labels and logits hold
    there does not matter; the loss of an objective without samples is 0.
    """
    inside = weights > 0
    # Masked before, not after: padding may hold infinity, and the gradient
    # of 0 * infinity is NaN.
    logits = tf.cast(logits, tf.float32)
    logits = tf.where(inside, logits, tf.zeros_like(logits))
    labels = tf.where(inside, labels, tf.zeros_like(labels))
    losses = _cell_losses(labels, logits, amount_scales)
    weight_sums = tf.reduce_sum(weights, axis=(0, 1))
    sums = tf.reduce_sum(losses * weights, axis=(0, 1))
    return tf.math.divide_no_nan(sums, weight_sums), weight_sums


def _cell_losses(labels: Any, logits: Any, amount_scales: Any) -> Any:
    """Returns losses (B, N, T) of cells that count."""
    amount_scales = tf.convert_to_tensor(amount_scales, tf.float32)
    num_amounts = amount_scales.shape[0]
    if not num_amounts:
        return tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    amounts = labels[..., -num_amounts:] / amount_scales
    logarithms = logits[..., -num_amounts:]
    deviances = tf.math.xlogy(amounts, amounts) - amounts * (1 + logarithms)
    entropies = tf.nn.sigmoid_cross_entropy_with_logits(
        labels[..., :-num_amounts], logits[..., :-num_amounts]
    )
    return tf.concat([entropies, deviances + tf.exp(logarithms)], axis=-1)


@keras.saving.register_keras_serializable(package="jd_tf")
class MultiObjectiveLoss(keras.losses.Loss):
    """The weighted sum of the objectives' mean losses.

    Each objective is averaged over its own sample space, the cells whose
    label is not below 0, so that padding and the size of a sample space
    (orders among clicks, for instance) do not change its share. Sample weights
    multiply the cells; `labels_and_weights` scales them to a mean of 1 over
    each sample space, and the loss is that of the trainer.

    Args:
        objective_weights: T floats, or () for 1 each.
        amount_scales: units of the A amounts, the last objectives: a model's
            own, after `adapt`. () for none.
        name, dtype: of the loss; inside it is float32.

    Call arguments:
        y_true: (B, N, T), 0 or 1, or an amount; below 0 where a cell does not
            count.
        y_pred: (B, N, T) logits; anything where a cell does not count.
        sample_weight: (B, N, T) >= 0, or None for 1 each.

    Raises:
        ValueError: `objective_weights` not as many as T.

    Example:
        >>> loss = MultiObjectiveLoss((1.0, 2.0))
        >>> labels = np.array([[[1, 0], [0, 0], [-1, -1]]])
        >>> logits = np.array([[[0, 0], [0, 0], [9, 9]]])
        >>> print(f"{float(loss(labels, logits)):.4f}")  # 3 log 2
        2.0794

        For `fit`, with `batches` of `jd_tf.data`:
        `model.compile("adam", loss={"logits": MultiObjectiveLoss()})`, then
        `model.fit(batches.map(labels_and_weights))`.
    """

    def __init__(
        self,
        objective_weights: Sequence[float] = (),
        name: str = "multi_objective_loss",
        dtype: Any = None,
        amount_scales: Sequence[float] = (),
    ):
        super().__init__(name=name, dtype=dtype)
        self.objective_weights = tuple(map(float, objective_weights))
        self.amount_scales = tuple(np.array(amount_scales, float).tolist())

    def call(self, y_true: Any, y_pred: Any) -> Any:
        weights = self.objective_weights or (1.0,) * y_pred.shape[-1]
        if len(weights) != y_pred.shape[-1]:
            raise ValueError(
                f"`objective_weights` must be {y_pred.shape[-1]} numbers, one "
                f"an objective. Got: {weights}."
            )
        inside = y_true >= 0
        # Masked before, as in `objective_losses`.
        logits = ops.where(inside, ops.cast(y_pred, "float32"), 0.0)
        labels = ops.where(inside, ops.cast(y_true, "float32"), 0.0)
        losses = _cell_losses(labels, logits, self.amount_scales)
        # Keras divides by all cells; these are divided by those that count.
        cells = ops.cast(ops.size(losses), "float32")
        count = ops.sum(ops.cast(inside, "float32"), axis=(0, 1))
        scale = ops.divide_no_nan(cells * ops.array(weights), count)
        return ops.where(inside, losses * scale, 0.0)

    def get_config(self) -> dict[str, Any]:
        config = {"name": self.name, "dtype": self.dtype}
        return {
            **config,
            "objective_weights": list(self.objective_weights),
            "amount_scales": list(self.amount_scales),
        }


def labels_and_weights(
    batch: Mapping[str, tf.Tensor], objective_values: Sequence[float] = ()
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Splits a batch into what Keras' `fit` and `evaluate` read.

    Args:
        batch: `labels` and `label_weights` (B, N, T), `num_candidates` (B,)
            and the model's inputs.
        objective_values: T business values. With them there are also gains
            of candidates to judge the output `score` by; () for none.

    Returns:
        Inputs; labels `{"logits": (B, N, T)}`, -1 where a cell does not
        count; sample weights of that shape, with a mean of 1 over each
        objective's sample space. With `objective_values` labels and weights
        have `"score"` (B, N) too: the sum of value * label * label weight, less
        the request's least where that is below 0; -1 for candidates without
        any cell that counts.

    Example:
        >>> batch = {
        ...     "item_id": tf.constant([[7, 8, 0]]),
        ...     "num_candidates": tf.constant([2]),
        ...     "labels": tf.constant([[[1.0], [0.0], [0.0]]]),
        ...     "label_weights": tf.ones((1, 3, 1)),
        ... }
        >>> x, y, weights = labels_and_weights(batch)
        >>> sorted(x)
        ['item_id', 'num_candidates']
        >>> y["logits"].numpy().ravel().tolist()
        [1.0, 0.0, -1.0]
        >>> weights["logits"].numpy().ravel().tolist()
        [1.0, 1.0, 0.0]
    """
    label_columns = ("labels", "label_weights")
    inputs = {k: v for k, v in batch.items() if k not in label_columns}
    weights = tf.cast(cell_weights(batch), tf.float32)
    inside = weights > 0
    labels = tf.cast(batch["labels"], tf.float32)
    count = tf.math.count_nonzero(inside, axis=(0, 1), dtype=tf.float32)
    mean = tf.math.divide_no_nan(tf.reduce_sum(weights, axis=(0, 1)), count)
    y = {"logits": tf.where(inside, labels, _NOT_COUNTED)}
    sample_weight = {"logits": tf.math.divide_no_nan(weights, mean)}
    if objective_values:
        values = tf.constant(objective_values, tf.float32)
        gains = tf.where(inside, labels * weights, 0.0) * values
        listed = tf.reduce_any(inside, axis=-1)
        gains = tf.reduce_sum(gains, -1)
        # Of bad outcomes: below 0 a candidate would not count.
        gains -= tf.minimum(tf.reduce_min(gains, 1, keepdims=True), 0.0)
        y["score"] = tf.where(listed, gains, _NOT_COUNTED)
        sample_weight["score"] = tf.cast(listed, tf.float32)
    return inputs, y, sample_weight
