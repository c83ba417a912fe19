"""One step of fine-tuning, with the backbone frozen or not."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.images.image_config import ImageTrainingConfig
from jd_tf.images.image_tower import ImageTower
from jd_tf.training.named_variables import model_variables

# Shrinking these pulls towards nothing sensible.
_NOT_DECAYED = ["bias", "gamma", "beta"]


class ImageSteps:
    """Trains head and backbone, each by its own optimizer and rate.

    Args:
        tower: the model.
        config: of the run.
        class_weights: (C,) float, what an image of each word counts.
        steps_per_epoch: batches of a pass.

    Attributes:
        head: optimizer of the head; steps always.
        backbone: optimizer of the backbone; steps when it is not frozen.
    """

    def __init__(
        self,
        tower: ImageTower,
        config: ImageTrainingConfig,
        class_weights: np.ndarray,
        steps_per_epoch: int,
    ):
        self._tower = tower
        self._config = config
        self._class_weights = tf.constant(class_weights, tf.float32)
        own = tower.backbone.trainable_variables
        self._backbone_variables = list(own)
        self._head_variables = [
            variable
            for layer in tower.head_layers
            for variable in layer.trainable_variables
        ]
        unfrozen = config.epochs * steps_per_epoch
        frozen = config.frozen_epochs * steps_per_epoch
        self.head = self._optimizer(config.learning_rate, frozen + unfrozen)
        self.backbone = self._optimizer(config.backbone_learning_rate, unfrozen)
        self.head.build(self._head_variables)
        self.backbone.build(self._backbone_variables)
        self._frozen_step = tf.function(
            functools.partial(self._step, frozen=True), autograph=False
        )
        self._full_step = tf.function(
            functools.partial(self._step, frozen=False), autograph=False
        )

    def run(
        self, images: Any, labels: Any, frozen: bool, words: Any = None
    ) -> dict[str, float]:
        """Takes one step.

        Args:
            images: (B, S, S, 3) float.
            labels: (B,) integers.
            frozen: whether the backbone stays as it is, moving statistics
                included.
            words: (B, W) float of `word_targets`, if the tower learns the
                words of titles.

        Returns:
            `loss`, `top1` of the batch, and `gradient_norm`.
        """
        step = self._frozen_step if frozen else self._full_step
        return {
            name: float(value)
            for name, value in step(images, labels, words=words).items()
        }

    def variables(self) -> dict[str, tf.Variable]:
        """Everything a step reads or writes, by name.

        The model's begin with `model/`.
        """
        named = {
            f"model/{name}": variable
            for name, variable in model_variables(self._tower).items()
        }
        for part in ("head", "backbone"):
            # By place: Keras names slots after layers it may have numbered.
            for place, variable in enumerate(getattr(self, part).variables):
                named[f"{part}_optimizer/{place}"] = variable.value
        return named

    def _step(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        frozen: bool,
        words: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        config = self._config
        variables = list(self._head_variables)
        if not frozen:
            variables += self._backbone_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            outputs = self._tower(
                images,
                training=True,
                update_statistics=config.update_statistics and not frozen,
            )
            loss = weighted_loss(
                outputs["logits"],
                labels,
                self._class_weights,
                config.label_smoothing,
            )
            if words is not None:
                of_words = word_loss(outputs["title_logits"], words)
                loss += config.title_share * (of_words - loss)
        gradients = tape.gradient(loss, [v.value for v in variables])
        norm = tf.linalg.global_norm(gradients)
        if config.max_gradient_norm:
            gradients, _ = tf.clip_by_global_norm(
                gradients, config.max_gradient_norm, norm
            )
        num_head = len(self._head_variables)
        self.head.apply(gradients[:num_head], self._head_variables)
        if not frozen:
            self.backbone.apply(gradients[num_head:], self._backbone_variables)
        right = tf.equal(tf.argmax(outputs["logits"], axis=-1), labels)
        return {
            "loss": loss,
            "top1": tf.reduce_mean(tf.cast(right, tf.float32)),
            "gradient_norm": norm,
        }

    def _optimizer(self, rate: float, num_steps: int) -> keras.Optimizer:
        config = self._config
        warmup = int(config.warmup_share * num_steps)
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else rate,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
            decay_steps=max(num_steps - warmup, 1),
            alpha=config.final_rate,
        )
        optimizer = keras.optimizers.AdamW(
            schedule, weight_decay=config.weight_decay
        )
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
        return optimizer


def weighted_loss(
    logits: tf.Tensor,
    labels: tf.Tensor,
    class_weights: tf.Tensor,
    label_smoothing: float,
) -> tf.Tensor:
    """Cross entropy in nats, averaged with the weights of the labels.

    Args:
        logits: (B, C).
        labels: (B,) integers.
        class_weights: (C,).
        label_smoothing: share of a label spread evenly over all C.

    Returns:
        ().
    """
    targets = tf.one_hot(
        labels,
        logits.shape[-1],
        on_value=1.0 - label_smoothing,
        dtype=logits.dtype,
    )
    targets += label_smoothing / logits.shape[-1]
    losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    weights = tf.gather(class_weights, labels)
    return tf.reduce_sum(weights * losses) / tf.reduce_sum(weights)


def word_loss(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Cross entropy in nats of the words of titles.

    One softmax over all words, of which a title's own share the target
    equally, as Mahajan et al. (ECCV 2018) learn from hashtags.

    Args:
        logits: (B, W).
        targets: (B, W) of `word_targets`.

    Returns:
        (), the mean over images whose title has a word; 0 if none has.
    """
    losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    titled = tf.cast(tf.reduce_any(targets > 0.0, axis=-1), losses.dtype)
    return tf.reduce_sum(losses) / tf.maximum(tf.reduce_sum(titled), 1.0)


def balanced_weights(
    labels: Sequence[int] | np.ndarray, num_classes: int, class_balance: float
) -> np.ndarray:
    """What an image of each class counts.

    Args:
        labels: of the training images.
        num_classes: C.
        class_balance: power of the inverse frequency: 0 for 1 each, 1 for the
            same total of every class.

    Returns:
        (C,) float; 1 on average over the images.
    """
    counts = np.bincount(labels, minlength=num_classes).astype("float64")
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -class_balance, 0.0)
    return weights * counts.sum() / (weights @ counts)
