"""A fine-tuning run as a process of its own, for a test that kills it.

`python -m tests.images.image_kill_target PHOTOS WORKDIR` trains and writes
what came out to `WORKDIR/outcome.npz`.
"""

import dataclasses
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from jd_tf.images.backbones import BACKBONES, Backbone
from jd_tf.images.image_config import ImageTrainingConfig
from jd_tf.images.image_list import read_labelled
from jd_tf.images.image_loop import ImageTrainer
from jd_tf.images.image_tower import ImageTower
from jd_tf.training.named_variables import model_variables

OUTCOME = "outcome.npz"
TOWER = {"backbone": "tiny", "image_size": 16, "dropout_rate": 0.3}
CONFIG = ImageTrainingConfig(
    weights="made up",
    frozen_epochs=1,
    epochs=4,
    batch_size=5,
    progress=False,
)


def tiny_net(image_size, alpha, weights):
    """One convolution: traced in no time."""
    images = keras.Input((image_size, image_size, 3), name="images")
    x = keras.layers.Conv2D(8, 3, 2, use_bias=False, name="conv")(images)
    x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
    return keras.Model(images, keras.layers.ReLU(name="relu")(x), name="tiny")


TINY = Backbone(tiny_net, min_image_size=8)


def make_trainer(photos, workdir, config=CONFIG):
    keras.utils.set_random_seed(config.seed)
    sets = read_labelled(photos)
    tower = ImageTower(TOWER, sets["train"].label_names)
    return ImageTrainer(
        tower, config, workdir, sets["train"], sets["validation"]
    )


def outcome(trainer):
    """History and weights as arrays, without what a clock measured."""
    rows = {
        f"{number}/{name}": np.asarray(value)
        for number, row in enumerate(trainer.state.history)
        for name, value in row.items()
        if "second" not in name and value is not None
    }
    named = model_variables(trainer.tower)
    return rows | {name: value.numpy() for name, value in named.items()}


def main():
    photos, workdir = sys.argv[1:]
    BACKBONES["tiny"] = TINY
    after_every_step = dataclasses.replace(CONFIG, checkpoint_minutes=1e-9)
    trainer = make_trainer(photos, workdir, after_every_step)
    trainer.train()
    np.savez(Path(workdir) / OUTCOME, **outcome(trainer))


if __name__ == "__main__":
    main()
