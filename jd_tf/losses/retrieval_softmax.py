"""Softmax losses of vectors of users among vectors of items."""

import tensorflow as tf

from jd_tf.layers.masking import MASKED_SCORE


def retrieval_softmax(
    users: tf.Tensor,
    items: tf.Tensor,
    target: tf.Tensor,
    removed: tf.Tensor | None = None,
    log_q: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the cross-entropy of each user's target among items, (M,).

    The score of an item is its largest inner product with one of the user's
    vectors. Where the items are drawn, often drawn ones are negatives too
    often: `log_q` is taken from the scores, the target's as well, so that the
    loss estimates that over the whole catalogue.

    Args:
        users: (M, K, D) float32. K vectors of a user.
        items: (C, D) float32. Each item once, so that no target is among its
            own negatives.
        target: (M,) int32. Place of the target among the items.
        removed: (R, 2) int32, pairs of user and item: this item is no negative
            of this user. Never the target. None for none.
        log_q: (C,) float32. Logarithm of the probability that an item is
            among the items. None if that is 1.

    References:
        Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
        Recommendations. Yi et al., RecSys 2019.
        Mixed Negative Sampling for Learning Two-tower Neural Networks in
        Recommendations. Yang et al., WWW 2020.

    Example:
        >>> users, items = tf.zeros((1, 1, 3)), tf.eye(3)
        >>> loss = retrieval_softmax(users, items, tf.constant([1]))
        >>> print(round(float(np.exp(loss[0])), 4))  # One of three.
        3.0
    """
    num_vectors, dim = users.shape[1:]
    scores = tf.matmul(tf.reshape(users, (-1, dim)), items, transpose_b=True)
    if num_vectors > 1:
        shape = (-1, num_vectors, tf.shape(items)[0])
        scores = tf.reduce_max(tf.reshape(scores, shape), axis=1)
    if log_q is not None:
        scores -= log_q
    if removed is not None:
        # The pairs are few: a mask of all scores would cost as much as they.
        hidden = tf.fill(tf.shape(removed)[:1], MASKED_SCORE)
        scores = tf.tensor_scatter_nd_add(scores, removed, hidden)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(target, scores)
