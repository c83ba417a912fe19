"""`train`: models by name, and the inputs it refuses before any training."""

import numpy as np
import pytest

from jd_tf.data.dataset import write_dataset
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError
from jd_tf.training.config import TrainingConfig
from jd_tf.training.train import train
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
TRAINING = TrainingConfig(batch_size=4, max_steps=1, progress=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop") / "data"
    splits = {
        split: random_requests(SCHEMA, 8, seed)
        for seed, split in enumerate(("train", "validation"))
    }
    write_dataset(folder, SCHEMA, splits)
    return folder


@pytest.mark.slow
def test_item_vectors_turn_images_on_and_size_the_table(data, tmp_path):
    path = tmp_path / "vectors.npz"
    vectors = np.ones((5, 3), np.float32)
    ItemVectors(np.arange(1, 6), vectors).save(path)
    config = replace_fields(JDRankerConfig(), {"model_dim": 8})
    trainer = train(data, tmp_path / "run", "jd_ranker", config, TRAINING, path)
    images = {"use_images": "transfer", "num_image_rows": 5, "image_dim": 3}
    assert trainer.step_fn.model.config == replace_fields(config, images)
    assert trainer.state.step == 1


def test_unusable_models_configs_and_vectors_are_named(data, tmp_path):
    workdir = tmp_path / "run"
    with pytest.raises(DataError, match="jd_ranger"):
        train(data, workdir, "jd_ranger")
    with pytest.raises(DataError, match=r"trained by .*train_retrieval"):
        train(data, tmp_path / "run", model="two_tower")
    with pytest.raises(DataError, match=r"takes a JDRankerConfig.*Training"):
        train(data, workdir, model_config=TRAINING)
    images = replace_fields(JDRankerConfig(), {"use_images": "concat"})
    with pytest.raises(DataError, match="use_images=concat needs image vec"):
        train(data, workdir, model_config=images)
    path = tmp_path / "vectors.npz"
    ItemVectors(np.array(["a"]), np.ones((1, 3), np.float32)).save(path)
    with pytest.raises(DataError, match="`item_ids` are string, but"):
        train(data, workdir, item_vectors=path)
    assert not workdir.exists()
