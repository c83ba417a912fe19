"""The softmax over items against a loop."""

import math

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses import retrieval_softmax

USERS, VECTORS, ITEMS, DIM = 5, 3, 7, 4


def looped(users, items, target, removed, log_q):
    """The loss of each user, item by item, in double precision."""
    losses = []
    for user, vectors in enumerate(users):
        scores = {}
        for item, vector in enumerate(items):
            if (user, item) in removed:
                continue
            best = max(
                sum(
                    float(a) * float(b)
                    for a, b in zip(one, vector, strict=False)
                )
                for one in vectors
            )
            scores[item] = best - (log_q[item] if log_q is not None else 0.0)
        total = sum(math.exp(score) for score in scores.values())
        losses.append(math.log(total) - scores[target[user]])
    return losses


@pytest.mark.parametrize("vectors", [1, VECTORS])
@pytest.mark.parametrize("with_removed", [False, True])
@pytest.mark.parametrize("with_log_q", [False, True])
def test_equals_a_loop(vectors, with_removed, with_log_q):
    rng = np.random.default_rng(4)
    users = rng.normal(size=(USERS, vectors, DIM)).astype("float32")
    items = rng.normal(size=(ITEMS, DIM)).astype("float32")
    target = np.array([0, 3, 6, 3, 1], "int32")
    removed, log_q = set(), None
    if with_removed:
        # One of them twice, as an item may be twice in a timeline.
        removed = [(0, 2), (0, 5), (1, 0), (3, 6), (3, 6)]
    if with_log_q:
        log_q = np.log(rng.uniform(0.05, 1.0, ITEMS)).astype("float32")
    actual = retrieval_softmax(
        tf.constant(users),
        tf.constant(items),
        tf.constant(target),
        tf.constant(removed, tf.int32) if removed else None,
        None if log_q is None else tf.constant(log_q),
    )
    expected = looped(users, items, target, set(removed), log_q)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_removed_items_get_no_gradient():
    rng = np.random.default_rng(5)
    users = tf.constant(rng.normal(size=(1, 1, DIM)), tf.float32)
    items = tf.constant(rng.normal(size=(3, DIM)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(items)
        loss = retrieval_softmax(
            users, items, tf.constant([1]), tf.constant([[0, 2]])
        )
    gradient = tape.gradient(loss, items).numpy()
    assert not np.any(gradient[2])
    assert np.all(np.abs(gradient[:2]).sum(axis=1) > 1e-4)


def test_log_q_makes_the_sampled_loss_that_of_the_catalogue():
    """Averaged over draws, as each item stands for those that were not drawn.

    The exponentials are unbiased, their logarithm is not quite: so many are
    drawn that this does not show.
    """
    rng = np.random.default_rng(6)
    count, chance = 400, rng.uniform(0.3, 0.9, 400)
    users = tf.constant(rng.normal(size=(1, 1, DIM)), tf.float32)
    items = rng.normal(size=(count, DIM)).astype("float32")
    whole = retrieval_softmax(users, tf.constant(items), tf.constant([7]))
    found = {True: [], False: []}
    for _ in range(60):
        drawn = np.flatnonzero(rng.random(count) < chance)
        drawn = np.unique([7, *drawn])
        place = tf.constant([int(np.searchsorted(drawn, 7))])
        for corrected in found:
            log_q = tf.constant(np.log(chance[drawn]), tf.float32)
            loss = retrieval_softmax(
                users,
                tf.constant(items[drawn]),
                place,
                log_q=log_q if corrected else None,
            )
            # The target is always there: its own correction is taken back.
            own = float(np.log(chance[7])) if corrected else 0.0
            found[corrected].append(float(loss[0]) - own)
    assert abs(np.mean(found[True]) - float(whole[0])) < 0.03
    assert abs(np.mean(found[False]) - float(whole[0])) > 0.2
