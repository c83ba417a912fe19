"""Arithmetic on gradients that keeps the sparse ones sparse."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import tensorflow as tf

# A tf.Tensor or tf.IndexedSlices.
Gradient: TypeAlias = Any


class UniqueSlices(tf.IndexedSlices):
    """A sparse gradient without repeated indices."""


def sum_duplicates(gradient: tf.IndexedSlices) -> UniqueSlices:
    """Adds up slices of equal index; returns `UniqueSlices` as they are.

    A row that a batch reads twice has two slices; squaring, clipping or
    applying them one by one would not be what the dense gradient gives.
    """
    if isinstance(gradient, UniqueSlices):
        return gradient
    indices, position = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(
        gradient.values, position, tf.shape(indices)[0]
    )
    return UniqueSlices(values, indices, gradient.dense_shape)


def values_of(gradient: Gradient) -> tf.Tensor:
    """Returns the numbers of a gradient: touched rows, or all of it."""
    if isinstance(gradient, tf.IndexedSlices):
        return gradient.values
    return gradient


def gradient_norms(gradients: Sequence[Gradient | None]) -> tf.Tensor:
    """Returns the norms of V gradients without duplicates, (V,); None is 0."""
    halves = [
        tf.constant(0.0)
        if gradient is None
        else tf.cast(tf.nn.l2_loss(values_of(gradient)), tf.float32)
        for gradient in gradients
    ]
    return tf.sqrt(2.0 * tf.stack(halves))


def clip_by_global_norm(
    gradients: Sequence[Gradient], max_norm: float
) -> list[Gradient]:
    """Scales all gradients down together if their joint norm is too large.

    NaN or infinity stays visible: the result of a joint norm that is not
    finite is NaN everywhere.
    """
    norm = tf.norm(gradient_norms(gradients))
    # `norm - norm` is 0, or NaN where the norm is infinite.
    scale = max_norm / tf.maximum(norm, max_norm) + (norm - norm)
    return [scaled(g, tf.cast(scale, g.dtype)) for g in gradients]


def scaled(gradient: Gradient, scale: tf.Tensor) -> Gradient:
    """Multiplies a gradient, sparse or not, by a scalar."""
    if isinstance(gradient, tf.IndexedSlices):
        kind, values = type(gradient), gradient.values * scale
        return kind(values, gradient.indices, gradient.dense_shape)
    return gradient * scale


def shared_norms(
    tape: tf.GradientTape, losses: Sequence[tf.Tensor], shared: tf.Tensor
) -> tf.Tensor:
    """Returns norms (T,) of each loss' gradient by what all objectives read.

    By the activation that enters the mixture of experts' towers, or the
    experts, T backward passes through the towers alone are needed: cheaper by
    far than T through tables and histories, and of the same meaning. The tape
    is persistent, and read outside of a `tf.function` only.
    """
    if tf.executing_eagerly():
        gradients = [tape.gradient(loss, shared) for loss in losses]
    else:
        # A tape would trace all the way back to the tables for each, only to
        # have most of it pruned.
        gradients = [tf.gradients(loss, [shared])[0] for loss in losses]
    return tf.stack(
        [
            tf.zeros(())
            if gradient is None
            # In half precision a square soon is 0 or infinite.
            else tf.norm(tf.cast(gradient, tf.float32))
            for gradient in gradients
        ]
    )
