"""A fine-tuning run as a process of its own, for a test that kills it.

`python -m tests.images.image_kill_target PHOTOS WORKDIR` trains and writes
what came out to `WORKDIR/outcome.npz`.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from jd_tf.images.backbones import BACKBONES, Backbone
from jd_tf.images.fine_tuning import fine_tune
from jd_tf.images.fine_tuning_config import FineTuningConfig
from jd_tf.images.image_list import read_labelled
from jd_tf.images.image_tower import ImageTower

OUTCOME = "outcome.npz"
TOWER = {"backbone": "tiny", "image_size": 16, "dropout_rate": 0.3}
CONFIG = FineTuningConfig(
    weights="made up", frozen_epochs=1, epochs=4, batch_size=5, progress=False
)


def tiny_net(image_size, alpha, weights):
    """One convolution: traced in no time."""
    images = keras.Input((image_size, image_size, 3), name="images")
    x = keras.layers.Conv2D(8, 3, 2, use_bias=False, name="conv")(images)
    x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
    return keras.Model(images, keras.layers.ReLU(name="relu")(x), name="tiny")


TINY = Backbone(tiny_net, lambda images: images / 255.0, min_image_size=8)


def make_tower(sets, config=CONFIG):
    keras.utils.set_random_seed(config.seed)
    return ImageTower(TOWER, sets["train"].label_names)


def run(photos, workdir, config=CONFIG):
    """Returns the tower and the history of a run."""
    sets = read_labelled(photos)
    tower = make_tower(sets, config)
    history = fine_tune(
        tower, config, workdir, sets["train"], sets["validation"]
    )
    return tower, history


def outcome(tower, history):
    """History and weights as arrays, without what a clock measured."""
    rows = {
        f"{number}/{name}": np.asarray(value)
        for number, row in enumerate(history)
        for name, value in row.items()
        if name != "seconds"
    }
    named = {str(n): w for n, w in enumerate(tower.get_weights())}
    return rows | named


def main():
    photos, workdir = sys.argv[1:]
    BACKBONES["tiny"] = TINY
    np.savez(Path(workdir) / OUTCOME, **outcome(*run(photos, workdir)))


if __name__ == "__main__":
    main()
