"""The distillation loss against a loop, and its invariants."""

import math

import numpy as np
import pytest

from jd_tf.losses.distillation import ListDistillation


def literal(target, scores, sharpness, label_weight):
    """The mean over lists, item by item."""
    losses = []
    for items, row in zip(target, scores, strict=True):
        real = [n for n, (_, _, there) in enumerate(items) if there]
        total = sum(math.exp(row[n]) for n in real)
        log_share = {n: row[n] - math.log(total) for n in real}
        weights = {n: items[n][0] ** sharpness for n in real}
        loss = -sum(
            weights[n] / sum(weights.values()) * log_share[n] for n in real
        )
        value = sum(items[n][1] for n in real)
        if value:
            loss -= label_weight * sum(
                items[n][1] / value * log_share[n] for n in real
            )
        losses.append(loss)
    return np.mean(losses)


@pytest.mark.parametrize(("sharpness", "weight"), [(1.0, 0.0), (2.5, 0.3)])
def test_it_equals_the_loop(sharpness, weight):
    rng = np.random.default_rng(0)
    target = rng.gamma(1, 1, (4, 6, 3))
    target[..., 1] *= rng.random((4, 6)) < 0.3
    target[1, :, 1] = 0
    target[..., 2] = np.arange(6) < np.array([6, 2, 1, 4])[:, None]
    scores = rng.normal(size=(4, 6))
    loss = ListDistillation(sharpness, weight)
    found = float(loss(target.astype("float32"), scores.astype("float32")))
    assert found == pytest.approx(
        literal(target, scores, sharpness, weight), rel=1e-5
    )
    # Padding may hold anything.
    hidden = target[..., 2] == 0
    target[hidden, :2], scores[hidden] = 7.0, 1e6
    again = float(loss(target.astype("float32"), scores.astype("float32")))
    assert again == pytest.approx(found, rel=1e-5)


def test_the_teachers_own_order_is_the_best():
    teacher = np.array([[5.0, 1.0, 0.2]])
    target = np.stack([teacher, 0 * teacher, 1 + 0 * teacher], axis=-1)
    loss = ListDistillation(2.0, 0.0)
    best = float(loss(target, 2 * np.log(teacher)))
    for other in (np.zeros((1, 3)), np.log(teacher), 3 * np.log(teacher)):
        assert float(loss(target, other)) > best + 1e-4


def test_settings_out_of_range():
    for wrong in ((0.0, 0.1), (1.0, -1.0)):
        with pytest.raises(ValueError, match="`sharpness` must be > 0"):
            ListDistillation(*wrong)
    config = ListDistillation(3.0, 0.2).get_config()
    assert ListDistillation.from_config(config).sharpness == 3.0
