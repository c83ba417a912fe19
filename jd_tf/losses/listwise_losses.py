"""Losses over the list of a request's candidates, beside those of each cell.

A positive, or a unit of an amount, loses the logarithm of its share in the
softmax of the request's logits:

    - sum_i w_i y_i log(exp(s_i) / sum_j exp(s_j)) / sum of all w

What is equal for all candidates of a request, such as how active its user is,
changes nothing: cross entropies teach how many there are, these which. Other
than in `ListwiseSoftmaxLoss` a positive counts as in the cross entropy, however
many its list has: a rare objective stays as small as it is there. Amounts
with Poisson's deviance beside are thus taken twice: their total and, given the
total, their shares.

Reference:
    Joint Optimization of Ranking and Calibration with Contextualized Hybrid
    Model. Sheng et al., KDD 2023.
"""

import math
from typing import Any

import tensorflow as tf

from jd_tf.layers.masking import MASKED_SCORE


def listwise_losses(
    labels: tf.Tensor,
    logits: tf.Tensor,
    weights: tf.Tensor,
    amount_scales: Any = (),
) -> tf.Tensor:
    """Returns losses (T,), on the scale of those of `objective_losses`.

    Arguments are as of `objective_losses`: axis 1 is the request. Requests
    whose candidates are alike in an objective have no order to learn.
    """
    inside = weights > 0
    scores = tf.cast(logits, tf.float32)
    scores = tf.where(inside, scores, MASKED_SCORE)
    scales = tf.convert_to_tensor(amount_scales, tf.float32)
    units = tf.concat([tf.ones(labels.shape[-1] - scales.shape[0]), scales], 0)
    most = tf.reduce_max(tf.where(inside, labels, -math.inf), 1, keepdims=True)
    least = tf.reduce_min(tf.where(inside, labels, math.inf), 1, keepdims=True)
    counted = tf.logical_and(inside, most > least)
    gains = tf.where(counted, labels / units * weights, 0.0)
    sums = -tf.reduce_sum(gains * tf.nn.log_softmax(scores, axis=1), (0, 1))
    return tf.math.divide_no_nan(sums, tf.reduce_sum(weights, axis=(0, 1)))
