"""Two towers learn a ring of items, stop and go on as if never stopped."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.losses import retrieval_softmax
from jd_tf.models.retrieval.two_tower import TwoTower
from jd_tf.models.retrieval.two_tower_config import TwoTowerConfig
from jd_tf.schema import DataError
from jd_tf.training.build_from_config import build_optimizer
from jd_tf.training.config import TrainingConfig
from jd_tf.training.named_variables import checkpoint_variables
from jd_tf.training.retrieval.evaluate_retrieval import evaluate_retrieval
from jd_tf.training.retrieval.retrieval_step import RetrievalStep
from jd_tf.training.retrieval.retrieval_validator import (
    RetrievalValidator,
    item_vectors,
)
from jd_tf.training.retrieval.timelines import TARGETS, Timelines
from jd_tf.training.retrieval.train_retrieval import (
    retrieval_training_config,
    train_retrieval,
)
from tests.training.retrieval.chains import (
    ITEMS,
    ring_ids,
    ring_schema,
    write_ring,
)

CATALOGUE = {"item_id": ring_ids()}
SMALL = {
    "model_dim": 16,
    "item_embedding_dim": 16,
    "feedforward_dim": 16,
    "num_encoder_layers": 1,
    "dropout_rate": 0.1,
}
SAMPLED = {**SMALL, "max_full_items": 0, "num_uniform": 8}
TRAINING = retrieval_training_config(
    epochs=12,
    batch_size=16,
    learning_rate=0.01,
    table_learning_rate=0.01,
    decay_steps=0,
    log_every=6,
    evaluate_every=72,
    progress=False,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ring") / "data"
    write_ring(path)
    return path


def trained(folder, workdir, fields, **changes):
    training = dataclasses.replace(TRAINING, **changes)
    config = TwoTowerConfig.of(**fields)
    return train_retrieval(folder, workdir, CATALOGUE, config, training)


@pytest.mark.parametrize("fields", [SMALL, SAMPLED], ids=["full", "sampled"])
def test_learns_the_next_item(folder, tmp_path, fields):
    trainer = trained(folder, tmp_path / "run", fields)
    assert trainer.state.best_value > 0.9
    table = evaluate_retrieval(
        folder, tmp_path / "run", CATALOGUE, "validation"
    )
    mean, low, high = table["two_tower"]["ndcg@10"]
    assert mean == pytest.approx(trainer.state.best_value, rel=1e-6)
    assert low <= mean <= high
    # Every item of a ring is as popular as any other.
    assert table["popularity"]["ndcg@10"][0] < 0.5


@pytest.mark.slow
def test_goes_on_as_if_it_had_not_stopped(folder, tmp_path):
    """Draws of negatives, dropout and averages included."""
    options = {"ema_decay": 0.9, "evaluate_every": 100}
    whole = trained(folder, tmp_path / "all", SAMPLED, max_steps=9, **options)
    trained(folder, tmp_path / "parts", SAMPLED, max_steps=4, **options)
    parts = trained(folder, tmp_path / "parts", SAMPLED, max_steps=9, **options)
    one, two = (checkpoint_variables(t.step_fn.model) for t in (whole, parts))
    assert one.keys() == two.keys()
    for name, variable in one.items():
        np.testing.assert_array_equal(variable, two[name], name)


def test_a_metric_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"one of recall@10.*'auc'"):
        trained(folder, tmp_path / "run", SMALL, monitor="auc")


def test_another_run_in_the_folder_is_refused(folder, tmp_path):
    trained(folder, tmp_path / "run", SMALL, max_steps=2)
    with pytest.raises(DataError, match="num_encoder_layers"):
        trained(
            folder,
            tmp_path / "run",
            {**SMALL, "num_encoder_layers": 2},
            max_steps=2,
        )
    with pytest.raises(DataError, match="on other data"):
        train_retrieval(
            folder,
            tmp_path / "run",
            {"item_id": ring_ids()[1:]},
            TwoTowerConfig.of(**SMALL),
            dataclasses.replace(TRAINING, max_steps=2),
        )


def read(model, folder, split="train", **options):
    return Timelines.read(model, folder, split, ring_ids(), **options)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_a_step_has_the_loss_of_all_places(folder, own, full):
    """Place by place, the candidates of each written down."""
    fields = {**(SMALL if full else SAMPLED), "dropout_rate": 0.0}
    model = TwoTower(
        ring_schema(), TwoTowerConfig.of(**fields, remove_own_items=own)
    )
    times = read(model, folder, last_only=True)
    frequencies = np.bincount(
        times.targets[times.targets >= 0], minlength=ITEMS
    )
    step = RetrievalStep(
        model, build_optimizer(TrainingConfig()), CATALOGUE, frequencies
    )
    batch = next(iter(times.batches(5, seed=2)))
    vectors = item_vectors(model, CATALOGUE)
    users = model.encode_timeline(batch).numpy()
    targets = batch[TARGETS].numpy()
    wanted = [int(t) for t in targets.ravel() if t >= 0]
    candidates, chance = list(range(ITEMS)), np.ones(ITEMS)
    if not full:
        rows, *_ = step._candidates(tf.constant(wanted))
        candidates = rows.numpy().tolist()
        assert set(wanted) <= set(candidates)
        assert len(candidates) == len(set(candidates))
        missed = (1 - frequencies / frequencies.sum()) ** len(wanted)
        chance = 1 - missed * (1 - 1 / ITEMS) ** 8
    losses = []
    for row in range(len(targets)):
        for place, target in enumerate(targets[row]):
            if target < 0:
                continue
            kept = [
                item
                for item in candidates
                if not own or item == target or item not in targets[row]
            ]
            loss = retrieval_softmax(
                tf.constant(users[row, place][None]),
                tf.constant(vectors[kept]),
                tf.constant([kept.index(target)]),
                log_q=tf.constant(np.log(chance[kept]), tf.float32),
            )
            losses.append(float(loss[0]))
    row = step(batch)
    assert int(row["impressions"]) == len(losses)
    np.testing.assert_allclose(float(row["loss"]), np.mean(losses), rtol=1e-4)


@pytest.mark.parametrize("repeats", [False, True])
def test_validation_counts_places_among_all_items(folder, repeats):
    config = TwoTowerConfig.of(**SMALL, repeats=repeats)
    model = TwoTower(ring_schema(), config)
    requests = read(model, folder, "validation")
    validator = RetrievalValidator(model, CATALOGUE, requests)
    above, _ = validator.places()
    vectors = item_vectors(model, CATALOGUE).astype("float64")
    expected = []
    for batch in requests.batches(7):
        users = model.encode_user(batch).numpy()[:, 0]
        for user, targets in zip(users, batch[TARGETS].numpy(), strict=True):
            scores = {item: float(user @ v) for item, v in enumerate(vectors)}
            own = scores[targets[0]]
            past = set() if repeats else set(targets[1:].tolist())
            better = [i for i, s in scores.items() if s > own + 1e-9]
            expected.append(len([i for i in better if i not in past]))
    assert np.abs(above - expected).max() <= 1
    assert np.mean(above != expected) < 0.05
    assert set(validator()) == {
        "recall@10",
        "recall@20",
        "recall@100",
        "ndcg@10",
    }
