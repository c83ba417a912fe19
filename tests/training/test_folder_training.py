"""From a data folder to a trained ranker, and what can be wrong with it."""

import keras
import numpy as np
import pytest

from jd_tf.data.batches import read_batches
from jd_tf.data.dataset import MANIFEST_FILE, write_dataset
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import Behavior, DataError, IdColumn
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import train_folder
from jd_tf.training.workdir import load_trained
from tests.requests import random_requests, small_schema

SMALL = JDRankerConfig.of(model_dim=8, num_heads=2, feedforward_dim=8,
                       expert_units=(8,), tower_units=(4,))  # fmt: skip
# What is wrong with a file does not depend on its columns.
LEAN = small_schema(
    item_columns=(IdColumn("item_id", num_buckets=50),),
    behaviors=(Behavior("click", max_length=6),),
    item_dense=(),
    context_columns=(),
    session_dense=(),
    bias_columns=(),
)
CONFIG = TrainingConfig(batch_size=16, log_every=2, progress=False)


def _write(folder, schema):
    splits = {
        "train": random_requests(schema, 100, seed=1),
        "validation": random_requests(schema, 40, seed=2),
    }
    write_dataset(folder, schema, splits)
    return folder


@pytest.fixture
def data(tmp_path):
    return _write(tmp_path / "data", LEAN)


def _train(data, workdir, schema=LEAN):
    keras.utils.set_random_seed(CONFIG.seed)
    model = JDRanker(schema, SMALL)
    return train_folder(model, data, workdir, CONFIG)


def test_trained_ranker_is_loaded_as_it_was(tmp_path):
    data = _write(tmp_path / "every kind of column", small_schema())
    trainer = _train(data, tmp_path / "a run", small_schema())
    assert trainer.state.step == 7
    assert trainer.stopped_by == "epochs"
    losses = [r["loss"] for r in trainer.state.history if "loss" in r]
    assert np.isfinite(losses).all()
    loaded = load_trained(tmp_path / "a run")
    batch = next(iter(read_batches(data, "validation", 8)))
    np.testing.assert_array_equal(
        loaded(batch)["score"], trainer.step_fn.model(batch)["score"]
    )


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_truncated_shard_is_named(data, tmp_path, split):
    shard = sorted(data.glob(f"{split}-*"))[0]
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(DataError, match=shard.name):
        _train(data, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_corrupt_record_is_named(data, tmp_path, split):
    shard = sorted(data.glob(f"{split}-*"))[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    assert (data / MANIFEST_FILE).exists()
    with pytest.raises(DataError, match=rf"{shard.name}: record \d+"):
        _train(data, tmp_path / "run")


def test_a_folder_without_validation_is_refused_at_once(data, tmp_path):
    for shard in data.glob("validation-*"):
        shard.unlink()
    with pytest.raises(DataError, match="validation"):
        _train(data, tmp_path / "run")


def _statistics(model):
    layer = model.normalizations["item_dense"]
    return [weight.numpy() for weight in layer.weights]


def test_statistics_are_those_of_the_training_split(tmp_path):
    schema = small_schema()
    data = _write(tmp_path / "data", schema)
    trained = _train(data, tmp_path / "run", schema).step_fn.model
    model = JDRanker(schema, SMALL)
    model.adapt(read_batches(data, "train", 100))
    for mine, theirs in zip(
        _statistics(trained), _statistics(model), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert load_trained(tmp_path / "run").adapted


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_its_statistics(tmp_path, monkeypatch):
    schema = small_schema()
    data = _write(tmp_path / "data", schema)
    before = _statistics(_train(data, tmp_path / "run", schema).step_fn.model)

    def fail(*_):
        raise AssertionError("adapted a second time")

    monkeypatch.setattr(JDRanker, "adapt", fail)
    again = _train(data, tmp_path / "run", schema).step_fn.model
    fine_tuned = JDRanker(schema, SMALL)
    fine_tuned.set_weights(again.get_weights())
    train_folder(fine_tuned, data, tmp_path / "more", CONFIG)
    for model in (again, fine_tuned):
        for mine, theirs in zip(_statistics(model), before, strict=True):
            np.testing.assert_array_equal(mine, theirs)
