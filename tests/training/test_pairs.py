"""Runs with item pairs: trained by parts, kept in the folder, resumed."""

import numpy as np
import pytest

from jd_tf.data import ItemPairs, make_item_pairs
from jd_tf.evaluation import evaluate
from jd_tf.evaluation.baselines import BASELINES
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError
from jd_tf.serving.client import RankingClient
from jd_tf.serving.export import export
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.config import TrainingConfig
from jd_tf.training.train import train
from jd_tf.training.workdir import PAIRS_FILE, load_trained
from tests.data.item_pairs.pair_logs import random_log, write_log

CONFIG = JDRankerConfig.of(
    model_dim=8,
    item_embedding_dim=4,
    feature_embedding_dim=4,
    num_heads=2,
    feedforward_dim=8,
    num_experts=2,
    expert_units=(8, 4),
    fusion="personalized",
)
TRAINING = TrainingConfig(epochs=2, batch_size=8, max_steps=8, progress=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    splits = {
        split: random_log(12, 4, 30, seed)
        for seed, split in enumerate(("train", "validation", "test"))
    }
    return write_log(tmp_path_factory.mktemp("shop") / "data", splits)


@pytest.fixture(scope="module")
def files(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    columns = ("item_id", "brand")
    for name, window in (("pairs", 20), ("others", 2)):
        pairs = make_item_pairs(data, columns, window=window)
        pairs.save(folder / f"{name}.npz")
    return folder


@pytest.fixture(scope="module")
def run(data, files, tmp_path_factory):
    """Stopped halfway and resumed, without naming the pairs again."""
    workdir = tmp_path_factory.mktemp("run") / "model"
    half = replace_training(max_steps=4)
    train(
        data,
        workdir,
        model_config=CONFIG,
        training_config=half,
        pairs=files / "pairs.npz",
    )
    trainer = train(
        data, workdir, training_config=TRAINING, model_config=stored(workdir)
    )
    assert trainer.state.step == 8
    return workdir, trainer.step_fn.model


def replace_training(**changes):
    return replace_fields(TRAINING, changes)


def stored(workdir):
    return load_trained(workdir).config


@pytest.mark.slow
def test_a_resumed_run_is_an_uninterrupted_one(run, data, files, tmp_path):
    _, model = run
    whole = train(
        data,
        tmp_path / "run",
        model_config=CONFIG,
        training_config=TRAINING,
        pairs=files / "pairs.npz",
    )
    assert whole.step_fn.model.config == model.config
    for mine, theirs in zip(
        whole.step_fn.model.weights, model.weights, strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    assert np.any(model.pairs.direct.kernel)


def test_the_folder_keeps_the_pairs_and_no_checkpoint_does(run, files):
    workdir, model = run
    kept = ItemPairs.load(workdir / PAIRS_FILE)
    assert kept.model_fields()["digest"] == model.config.pairs.digest
    loaded = load_trained(workdir)
    for name, table in loaded.pairs.tables.items():
        np.testing.assert_array_equal(table.keys, kept.columns[name].keys)
        np.testing.assert_array_equal(table.codes, kept.columns[name].codes)
    checkpoints = Checkpoints(workdir / "checkpoints")
    state = checkpoints.path(checkpoints.steps()[-1]) / "state.json"
    assert "pairs/direct/kernel" in state.read_text()
    assert "item_id_pairs" not in state.read_text()


@pytest.mark.slow
def test_evaluated_and_exported_with_their_tables(run, data, tmp_path):
    workdir, _ = run
    metrics = evaluate(data, workdir, max_tree_impressions=200)
    assert ("lightgbm" in BASELINES) == ("lightgbm_pairs" in metrics["test"])
    folder = export(workdir, data, tmp_path, split="test")
    model = load_trained(workdir)
    requests = random_log(3, 2, 30, seed=7)
    with RankingClient.from_saved_model(folder) as client:
        for request in requests:
            del request["labels"], request["label_weights"]
            ranking = client.rank(request, timeout=60.0)
            assert len(ranking.table(top=6)) > 0
    assert model.pairs.output_dim > 0


def test_other_or_missing_pairs_are_named(run, data, files, tmp_path):
    workdir, _ = run
    with pytest.raises(DataError, match=r"model\.config\.pairs\.\w+ = "):
        train(
            data,
            workdir,
            model_config=CONFIG,
            training_config=TRAINING,
            pairs=files / "others.npz",
        )
    wanted = replace_fields(CONFIG, {"use_pairs": True})
    with pytest.raises(DataError, match=r"pairs\.npz: no such file\. Make one"):
        train(data, tmp_path / "new", model_config=wanted)
    with pytest.raises(DataError, match="has no field `use_pairs`"):
        train(data, tmp_path / "new", "pooled_mmoe", pairs=files / "pairs.npz")
    assert not (tmp_path / "new").exists()
