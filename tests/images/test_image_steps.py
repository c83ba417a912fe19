"""One step of fine-tuning: what it changes, and what it must not touch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.images.image_config import (
    ImageTrainingConfig,
    default_image_training,
)
from jd_tf.images.image_steps import (
    ImageSteps,
    balanced_weights,
    weighted_loss,
    word_loss,
)
from jd_tf.images.image_tower import ImageTower
from jd_tf.schema import SchemaError
from jd_tf.training.named_variables import model_variables

CONFIG = {"backbone": "small_cnn", "image_size": 16, "alpha": 0.25}
WORDS = ("hat", "shoe", "skirt")


def _batch(seed=1):
    generator = np.random.default_rng(seed)
    images = generator.uniform(0, 255, (6, 16, 16, 3)).astype("float32")
    return images, np.array([0, 1, 2, 0, 1, 2])


def _values(tower):
    named = model_variables(tower)
    return {name: value.numpy() for name, value in named.items()}


def _changed(before, after):
    return {
        name for name in before if not np.array_equal(before[name], after[name])
    }


def _steps(**fields):
    tower = ImageTower(CONFIG, WORDS)
    config = ImageTrainingConfig(warmup_share=0.0, **fields)
    return tower, ImageSteps(tower, config, np.ones(3), steps_per_epoch=10)


def test_the_loss_is_a_weighted_cross_entropy():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(5, 3)).astype("float32")
    labels = np.array([0, 2, 1, 1, 0])
    weights = np.array([1.0, 0.5, 3.0], "float32")
    total = mass = 0.0
    for row, label in zip(logits.astype("float64"), labels, strict=True):
        logs = row - np.log(np.exp(row).sum())
        target = np.full(3, 0.2 / 3)
        target[label] += 0.8
        total -= weights[label] * (target @ logs)
        mass += weights[label]
    found = weighted_loss(logits, labels, tf.constant(weights), 0.2)
    assert float(found) == pytest.approx(total / mass, rel=1e-5)


def test_the_loss_of_words_is_a_mean_over_titled_photos():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3, 4)).astype("float32")
    targets = np.array(
        [[0.5, 0, 0.5, 0], [0, 0, 0, 0], [0, 1, 0, 0]], "float32"
    )
    total = 0.0
    for row, target in zip(logits.astype("float64"), targets, strict=True):
        total -= target @ (row - np.log(np.exp(row).sum()))
    assert float(word_loss(logits, targets)) == pytest.approx(total / 2)
    assert float(word_loss(logits[1:2], targets[1:2])) == 0.0


def test_titles_take_their_share_of_the_loss():
    words = np.tile(np.array([[0.5, 0.5, 0]], "float32"), (6, 1))
    images, labels = _batch()
    losses = []
    for share in (0.0, 0.25, 1.0):
        keras.utils.set_random_seed(5)
        tower = ImageTower({**CONFIG, "dropout_rate": 0.0}, WORDS, WORDS)
        config = ImageTrainingConfig(warmup_share=0.0, title_share=share)
        steps = ImageSteps(tower, config, np.ones(3), steps_per_epoch=10)
        found = steps.run(images, labels, frozen=False, words=words)
        losses.append(found["loss"])
    plain, some, full = losses
    assert some == pytest.approx(0.75 * plain + 0.25 * full, rel=1e-5)


def test_balance_counts_images_or_words():
    labels = [0] * 8 + [1] * 2
    np.testing.assert_allclose(balanced_weights(labels, 2, 0.0), [1, 1])
    even = balanced_weights(labels, 2, 1.0)
    assert even[0] * 8 == pytest.approx(even[1] * 2)
    between = balanced_weights(labels, 2, 0.5)
    assert 1 < between[1] / between[0] < even[1] / even[0]
    for weights in (even, between):
        assert np.bincount(labels) @ weights == pytest.approx(10)
    assert balanced_weights(labels, 3, 1.0)[2] == 0


def test_a_frozen_step_leaves_the_backbone_bit_identical():
    tower, steps = _steps(weights="some", frozen_epochs=1)
    before = _values(tower)
    steps.run(*_batch(), frozen=True)
    changed = _changed(before, _values(tower))
    heads = {n for n in before if "embedding_head" in n or "classifier" in n}
    assert heads <= changed
    # What dropout drew from is all that may have moved beside the head.
    assert changed - heads <= {"seed_generator/seed_generator_state"}
    assert int(steps.backbone.iterations) == 0


@pytest.mark.parametrize("update_statistics", [True, False])
def test_a_full_step_moves_everything_it_should(update_statistics):
    tower, steps = _steps(weights="some", update_statistics=update_statistics)
    before = _values(tower)
    steps.run(*_batch(), frozen=False)
    changed = _changed(before, _values(tower))
    moving = {name for name in before if "moving" in name}
    assert set(before) - moving <= changed
    assert moving <= changed if update_statistics else not moving & changed


def test_steps_learn_their_batch():
    _, steps = _steps(learning_rate=3e-3, backbone_learning_rate=3e-3)
    records = [steps.run(*_batch(), frozen=False) for _ in range(25)]
    assert records[-1]["loss"] < records[0]["loss"] - 0.2
    assert records[-1]["top1"] == 1.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frozen_epochs": 1}, "`frozen_epochs` must be 0 without published"),
        ({"update_statistics": False}, "true without published weights"),
        ({"batch_size": 1}, "`batch_size` must be at least 2"),
        ({"monitor": "auc"}, "one of top1, top5"),
        ({"min_area": 0.0}, "`min_area` must be positive"),
        ({"class_balance": 2.0}, "`class_balance` must be at most 1"),
        ({"learning_rate": float("nan")}, "finite and not negative"),
    ],
)
def test_refuses_a_config_that_makes_no_sense(fields, message):
    with pytest.raises(SchemaError, match=message):
        ImageTrainingConfig(**fields)


def test_nothing_is_frozen_from_scratch():
    assert default_image_training("").frozen_epochs == 0
    assert default_image_training("").update_statistics
    published = default_image_training("resnet101_notop.h5")
    assert published.frozen_epochs > 0
    assert published.backbone_learning_rate < published.learning_rate
    assert not published.update_statistics
