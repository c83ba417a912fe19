"""Trees beside a trained ranker: what they learn, and where they are kept."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from jd_tf.data.batches import read_batches
from jd_tf.data.dataset import write_dataset
from jd_tf.layers import TreeEnsemble
from jd_tf.metrics.ranking_metrics import auc
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.training import post_training_stage, tree_fit
from jd_tf.training.config import TrainingConfig
from jd_tf.training.train import train
from jd_tf.training.validator import Validator
from jd_tf.training.workdir import POST_TRAINING, load_trained
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
CONFIG = JDRankerConfig.of(
    use_sequence=False,
    model_dim=8,
    num_experts=2,
    expert_units=(8,),
    num_trees=9,
    num_leaves=4,
)
TRAINING = TrainingConfig(batch_size=16, max_steps=4, progress=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Requests whose clicks depend on a narrow band of prices alone."""
    folder = tmp_path_factory.mktemp("shop") / "data"
    splits = {}
    for seed, split in enumerate(("train", "validation", "test")):
        requests = random_requests(SCHEMA, 150, seed)
        generator = np.random.default_rng(seed + 10)
        for request in requests:
            prices = request["item_dense"][..., 0]
            prices[:] = generator.normal(size=prices.shape)
            inside = (prices > 0.2) & (prices < 0.9)
            chances = generator.random(prices.shape)
            request["labels"][:] = 0.0
            request["labels"][..., 0] = np.where(inside, 0.9, 0.1) > chances
            request["label_weights"][:] = 1.0
        splits[split] = requests
    write_dataset(folder, SCHEMA, splits)
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    train(data, workdir, "jd_ranker", CONFIG, TRAINING)
    return workdir


def _click_auc(model, data):
    labels, scores = [], []
    for batch in read_batches(data, "test", 64, SCHEMA):
        real = tf.sequence_mask(batch["num_candidates"], 7).numpy()
        real = real[:, : batch["item_id"].shape[1]]
        labels.append(batch["labels"].numpy()[..., 0][real])
        scores.append(model(batch)["logits"].numpy()[..., 0][real])
    return auc(np.concatenate(scores), np.concatenate(labels))


@pytest.mark.slow
def test_they_find_a_band_that_few_steps_do_not(data, run):
    model = load_trained(run)
    with_trees = _click_auc(model, data)
    mixing = model.trees.mixing.numpy()
    assert mixing[0, 1] > 0.5
    # Nobody orders: too thin to learn from, so the network stays as it is.
    np.testing.assert_array_equal(mixing[2], [1.0, 0.0, 0.0])
    model.trees.forget()
    assert with_trees > _click_auc(model, data) + 0.1


@pytest.mark.slow
def test_the_main_network_has_no_part_in_it(data, run, tmp_path):
    plain = replace_fields(CONFIG, {"num_trees": 0, "num_leaves": 16})
    train(data, tmp_path / "plain", "jd_ranker", plain, TRAINING)
    without = {
        weight.path.partition("/")[2]: weight.numpy()
        for weight in load_trained(tmp_path / "plain").weights
    }
    model = load_trained(run)
    assert {w.path.split("/")[1] for w in model.weights} == {
        *(path.split("/")[0] for path in without),
        "trees",
        "tree_numbers",
    }
    for weight in model.weights:
        path = weight.path.partition("/")[2]
        if not path.startswith("tree"):
            np.testing.assert_array_equal(weight.numpy(), without[path], path)


def test_both_halves_and_keras_files_have_them(data, run, tmp_path):
    model = load_trained(run)
    batch = next(iter(read_batches(data, "test", 8, SCHEMA)))
    whole = model(batch)["logits"]
    halves = model.rank(model.encode_user(batch), batch, batch)["logits"]
    np.testing.assert_allclose(whole, halves, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(batch)["logits"], whole)
    # While training the network learns alone.
    logits = model(batch, training=True)["logits"]
    model.trees.forget()
    np.testing.assert_array_equal(model(batch, training=True)["logits"], logits)


def test_runs_that_monitor_the_order_mix_by_it(data, run, monkeypatch):
    model, asked = load_trained(run), []

    def mix(network, trees, labels, weights, request=None):
        asked.append(request is not None)
        return 1.0, 0.0, 0.0

    monkeypatch.setattr(tree_fit, "_mix", mix)
    train_batches, validation = (
        read_batches(data, split, 64, SCHEMA)
        for split in ("train", "validation")
    )
    validator = Validator(model, lambda: validation)
    for monitor in ("loss", "value_ndcg@10"):
        config = dataclasses.replace(TRAINING, monitor=monitor)
        tree_fit.fit_trees(model, train_batches, validator, config)
        assert asked
        assert set(asked) == {monitor != "loss"}
        asked.clear()


@pytest.mark.slow
def test_a_finished_run_fits_them_once_and_the_same(data, run, monkeypatch):
    before = load_trained(run).trees.thresholds.numpy()
    shutil.rmtree(run / POST_TRAINING)
    train(data, run, "jd_ranker", CONFIG, TRAINING)
    fitted = load_trained(run).trees.thresholds.numpy()
    np.testing.assert_array_equal(fitted, before)
    monkeypatch.setattr(post_training_stage, "fit_trees", lambda *_: 1 / 0)
    trainer = train(data, run, "jd_ranker", CONFIG, TRAINING)
    fitted = trainer.step_fn.model.trees.thresholds.numpy()
    np.testing.assert_array_equal(fitted, before)


@pytest.mark.parametrize("num_leaves", [2, 8])
def test_equals_the_model_of_scikit_learn(num_leaves, monkeypatch):
    generator = np.random.default_rng(2)
    numbers = TreeEnsemble.rounded(generator.normal(size=(500, 6))).numpy()
    labels = generator.random((500, 1)) < np.where(numbers[:, :1] > 0, 0.8, 0.3)
    layer = TreeEnsemble((-1,), num_trees=12, num_leaves=num_leaves)
    layer.build()
    seen = []
    fit = HistGradientBoostingClassifier.fit

    def kept(model, *arguments):
        seen.append(model)
        return fit(model, *arguments)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", kept)
    cells = numbers, labels * 1.0, np.ones((500, 1))
    with threadpool_limits(1, "openmp"):
        trees, losses = tree_fit._fit(layer, cells, cells, 0, TRAINING)
    layer.assign([trees], [[0.0, 1.0, 0.0]])
    other = generator.normal(size=(300, 6)).astype(np.float32)
    found = layer(other[None], np.zeros((1, 300, 1)))[0, :, 0]
    expected = seen[0].decision_function(layer.rounded(other).numpy())
    assert len(np.unique(expected)) > 10
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Losses are of 0 to 12 trees; without, that of the mean label.
    logits = layer(numbers[None], np.zeros((1, 500, 1)))[0, :, 0].numpy()
    rate = labels.mean()
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    loss = np.sum(np.log1p(np.exp(np.where(labels[:, 0], -logits, logits))))
    np.testing.assert_allclose(losses[[0, 12]], [500 * entropy, loss], 1e-5)
    assert losses.shape == (13,)


def test_trees_go_where_they_lower_the_loss_most():
    generator = np.random.default_rng(5)
    for room in (1, 4, 9, 30):
        # Each next tree of an objective brings less than the one before.
        gains = -np.sort(-generator.random((3, 8)))
        losses = [1 - np.cumsum([0, *gain]) for gain in gains]
        counts = tree_fit.share_trees(losses, room)
        kept = sum(
            gain[:n].sum() for gain, n in zip(gains, counts, strict=True)
        )
        best = -np.sort(-gains.ravel())[:room].sum()
        assert kept == pytest.approx(best)
        assert sum(counts) == min(room, 24)


def test_trees_that_raise_the_loss_are_not_kept():
    rising, dip = np.array([1, 1.1, 1.2]), np.array([1, 1.1, 0.8, 0.9])
    assert tree_fit.share_trees([rising, dip, np.ones(1)], 9) == [0, 2, 0]
    # There is no room for the dip.
    assert tree_fit.share_trees([rising, dip], 1) == [0, 0]


def test_mixing_finds_the_better_of_two():
    generator = np.random.default_rng(1)
    truth = generator.normal(size=20_000)
    labels = generator.random(20_000) < 1 / (1 + np.exp(-truth))
    noise = generator.normal(size=20_000)
    ones = np.ones(20_000)
    scale, weight, offset = tree_fit._mix(noise, truth / 2, labels, ones)
    assert scale < 0.05
    np.testing.assert_allclose([weight, offset], [2.0, 0.0], atol=0.1)
    # Never below nothing.
    assert tree_fit._mix(-truth, noise, labels, ones)[0] == 0.0
    assert tree_fit._mix(truth, truth, labels * 0, ones) == (1.0, 0.0, 0.0)


def test_mixing_by_order_finds_the_better_within_requests():
    generator = np.random.default_rng(2)
    request = np.repeat(np.arange(2_000), 10)
    level = np.repeat(generator.normal(size=2_000) * 2, 10)
    within = generator.normal(size=20_000)
    rate = 1 / (1 + np.exp(-level - within))
    labels = generator.random(20_000) < rate
    # One of them knows the requests alone, the other their candidates.
    level = level + generator.normal(size=20_000)
    ones = np.ones(20_000)
    scale, weight, _ = tree_fit._mix(within, level, labels, ones)
    assert weight > 0.7 * scale
    # Padding is in no request.
    ones[::7] = 0
    scale, weight, offset = tree_fit._mix(within, level, labels, ones, request)
    assert weight < 0.2 * scale
    mean = 1 / (1 + np.exp(-scale * within - weight * level - offset))
    inside = ones > 0
    np.testing.assert_allclose(
        mean[inside].mean(), labels[inside].mean(), atol=1e-3
    )
    # The other way round, what orders against them stays smaller.
    scale, weight, _ = tree_fit._mix(-within, within, labels, ones, request)
    assert weight > scale
