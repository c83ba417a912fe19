"""The image tower: preprocessing, batch statistics, construction."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments import finetune_images
from jd_tf.images.backbones import BACKBONES
from jd_tf.images.image_tower import (
    ImageTower,
    ImageTowerConfig,
    load_tower,
    save_tower,
)
from jd_tf.schema import DataError, SchemaError

WORDS = ("hat", "shoe", "skirt")
SMALL = ImageTowerConfig("small_cnn", image_size=16, alpha=0.25)
# Where keras.applications keeps the preprocessing of each network.
MODULES = {
    "resnet101": "resnet",
    "resnet50": "resnet",
    "mobilenet_v2": "mobilenet_v2",
}


def _images(batch=4, size=16):
    generator = np.random.default_rng(5)
    return generator.uniform(0, 255, (batch, size, size, 3)).astype("float32")


def _statistics(tower):
    return [w.numpy() for w in tower.weights if "moving" in w.path]


@pytest.mark.parametrize("name", MODULES)
def test_preprocesses_as_the_published_weights_were_trained(name):
    module = importlib.import_module(f"keras.applications.{MODULES[name]}")
    images = _images()
    found = BACKBONES[name].preprocess(tf.constant(images))
    expected = module.preprocess_input(images.copy())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_the_program_offers_every_backbone():
    assert tuple(BACKBONES) == finetune_images._BACKBONES


def test_answers_with_normalised_vectors_and_logits():
    answer = ImageTower(SMALL, WORDS)(_images())
    assert answer["logits"].shape == (4, 3)
    embedding = answer["embedding"].numpy()
    assert embedding.shape == (4, 64)
    np.testing.assert_allclose(embedding.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(embedding, axis=1), 8.0, rtol=1e-2
    )


def test_an_image_alone_is_what_it_is_in_a_batch():
    tower = ImageTower(SMALL, WORDS)
    images = _images()
    together = tower(images, training=False)["embedding"]
    alone = tower(images[2:3], training=False)["embedding"]
    np.testing.assert_allclose(together[2:3], alone, atol=1e-4)


@pytest.mark.parametrize(
    ("trainable", "updated", "moves"),
    [(True, True, True), (False, True, False), (True, False, False)],
)
def test_statistics_move_only_where_the_backbone_learns(
    trainable, updated, moves
):
    tower = ImageTower(SMALL, WORDS)
    tower.backbone.trainable = trainable
    tower.update_statistics = updated
    before = _statistics(tower)
    assert len(before) > 10
    tower(_images(), training=True)
    changed = [
        not np.array_equal(one, two)
        for one, two in zip(before, _statistics(tower), strict=True)
    ]
    assert all(changed) if moves else not any(changed)


def test_kept_statistics_make_a_batch_of_one_safe():
    """With batch statistics, an image would depend on its neighbours."""
    tower = ImageTower({**vars(SMALL), "dropout_rate": 0.0}, WORDS)
    tower.update_statistics = False
    images = _images()
    kept = tower(images[:1], training=True)
    served = tower(images[:1], training=False)
    np.testing.assert_allclose(
        kept["embedding"], served["embedding"], atol=1e-5
    )


def test_survives_its_config_and_a_keras_file(tmp_path):
    tower = ImageTower(SMALL, WORDS)
    again = ImageTower.from_config(tower.get_config())
    assert (again.config, again.label_names) == (SMALL, WORDS)
    save_tower(tower, tmp_path, "best")
    loaded = load_tower(tmp_path)
    images = _images()
    np.testing.assert_allclose(
        loaded(images)["embedding"], tower(images)["embedding"], atol=1e-5
    )


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite0"])
def test_other_backbones_are_built_and_learn(name):
    config = ImageTowerConfig(name, image_size=32)
    tower = ImageTower(config, WORDS)
    images = _images(2, 32)
    with tf.GradientTape() as tape:
        answer = tower(images, training=True)
        loss = tf.reduce_sum(answer["logits"] ** 2)
    gradients = tape.gradient(loss, tower.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    assert answer["embedding"].shape == (2, 64)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "vgg"}, "`backbone` must be one of resnet101.*'vgg'"),
        ({"image_size": 16}, "at least 32 for resnet101"),
        ({"alpha": 0.5}, "`alpha` must be 1 for resnet101"),
        ({"embedding_dim": 1}, "at least 2"),
        ({"dropout_rate": 1.0}, "`dropout_rate` must be in"),
    ],
)
def test_refuses_what_cannot_be_built(fields, message):
    with pytest.raises(SchemaError, match=message):
        ImageTowerConfig(**fields)


def test_learns_title_words_beside_product_words():
    tower = ImageTower(SMALL, WORDS, ("blue", "red"))
    answer = tower(_images())
    assert answer["title_logits"].shape[-1] == 2
    again = ImageTower.from_config(tower.get_config())
    assert again.title_words == ("blue", "red")
    assert "title_logits" not in ImageTower(SMALL, WORDS)(_images())


def test_refuses_a_single_product_word():
    with pytest.raises(ValueError, match="at least two product words"):
        ImageTower(SMALL, ("hat",))


def test_names_what_holds_no_tower(tmp_path):
    with pytest.raises(DataError, match="holds no training run"):
        load_tower(tmp_path)
    (tmp_path / "best.keras").write_bytes(b"no such thing")
    with pytest.raises(DataError, match=r"best\.keras: cannot be loaded"):
        load_tower(tmp_path)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save(
        tmp_path / "last.keras"
    )
    with pytest.raises(DataError, match="holds a Sequential, no tower"):
        load_tower(tmp_path, "last")
