"""TwoTower: what its vectors know, and what they must not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.models.registry import build_model
from jd_tf.models.retrieval.two_tower import TwoTower
from jd_tf.models.retrieval.two_tower_config import TwoTowerConfig
from jd_tf.schema import SchemaError
from tests.models.test_jd_ranker import batch_of, moved
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
CONFIG = TwoTowerConfig.of(
    model_dim=8,
    item_embedding_dim=4,
    feature_embedding_dim=3,
    feedforward_dim=12,
    num_interests=2,
    temperature=0.5,
)
CHANGES = {
    "plain": {},
    "cosine": {"normalize": True},
    "means": {"use_sequence": False, "num_interests": 1},
    "ids": {"use_features": False, "use_context": False},
}


@pytest.fixture(scope="module")
def batch():
    requests = random_requests(SCHEMA, 9)
    lengths = [len(request["click_item_id"]) for request in requests]
    assert max(lengths) == SCHEMA.behaviors[0].max_length
    return batch_of(requests)


@pytest.fixture(scope="module", params=CHANGES)
def model(request, batch):
    keras.utils.set_random_seed(3)
    config = TwoTowerConfig.of(
        **{
            "model_dim": 8,
            "item_embedding_dim": 4,
            "feature_embedding_dim": 3,
            "feedforward_dim": 12,
            "num_interests": 2,
            "temperature": 0.5,
            **CHANGES[request.param],
        }
    )
    built = moved(TwoTower(SCHEMA, config))
    built.adapt([batch])
    return built


def history(batch):
    """Columns of clicks, by name, with an axis of events."""
    return [
        n for n, t in batch.items() if n.startswith("click_") and t.ndim > 1
    ]


def test_a_place_is_a_user_whose_history_begins_there(model, batch):
    """Context and the time of the request are of place 0 alone."""
    whole = model.encode_timeline(batch).numpy()
    length = batch["click_length"].numpy()
    kept = {}
    if model.context_map is not None:
        for weight in model.context_map.weights:
            kept[weight.path] = weight, weight.numpy()
            weight.assign(weight * 0)
    for place in range(1, 5):
        later = {**batch, "click_length": tf.maximum(length - place, 0)}
        for name in history(batch):
            later[name] = batch[name][:, place:]
        users = model.encode_user(later).numpy()
        some = length >= place
        np.testing.assert_allclose(
            whole[some, place], users[some], rtol=1e-4, atol=1e-5
        )
    assert some.any()
    assert not some.all()


def test_older_places_do_not_see_the_newest_event(model, batch):
    whole = model.encode_timeline(batch).numpy()
    other = dict(batch)
    for name in history(batch):
        values = batch[name].numpy()
        values[:, 0] = b"other" if values.dtype == object else values[:, 0] + 1
        other[name] = tf.constant(values)
    changed = model.encode_timeline(other).numpy()
    some = batch["click_length"].numpy() > 1
    np.testing.assert_allclose(
        whole[some, 1:], changed[some, 1:], rtol=1e-5, atol=1e-6
    )
    assert np.abs(whole[some, 0] - changed[some, 0]).max() > 1e-3


def test_padding_changes_nothing(model, batch):
    wide = dict(batch)
    for column in SCHEMA.columns():
        if column.ragged:
            values = batch[column.name].numpy()
            shape = (len(values), 3, *values.shape[2:])
            # As a server pads: with the first element.
            more = np.full(shape, values.flat[0], values.dtype)
            joined = np.concatenate([values, more], axis=1)
            length = batch[column.length].numpy()
            beyond = np.arange(joined.shape[1]) >= length[:, None]
            joined[beyond] = values.flat[0]
            wide[column.name] = tf.constant(joined)
    np.testing.assert_allclose(
        model.encode_user(batch), model.encode_user(wide), rtol=1e-4, atol=1e-5
    )
    real = tf.sequence_mask(batch["num_candidates"]).numpy()
    few, many = model(batch).numpy(), model(wide).numpy()
    few, many = few[real], many[:, : real.shape[1]][real]
    np.testing.assert_allclose(few, many, rtol=1e-4, atol=1e-5)


def test_an_empty_history_has_a_vector_of_its_own(model, batch):
    none = {**batch, "click_length": tf.zeros_like(batch["click_length"])}
    users = model.encode_user(none).numpy()
    assert np.isfinite(users).all()
    assert np.abs(users).max() > 1e-3


def test_scores_are_inner_products_of_the_nearest_interest(model, batch):
    users, items = model.encode_user(batch), model.encode_items(batch)
    scores = model(batch).numpy()
    for row, vectors in enumerate(users.numpy().astype(float)):
        for place, item in enumerate(items[row].numpy().astype(float)):
            best = max(sum(vector * item) for vector in vectors)
            np.testing.assert_allclose(scores[row, place], best, rtol=1e-4)
    if model.config.items.normalize:
        norms = np.linalg.norm(items, axis=-1)
        np.testing.assert_allclose(norms, 1.0, rtol=1e-3)


def test_vectors_depend_on_the_columns_named_alone(model, batch):
    user = {name: batch[name] for name in model.user_columns}
    items = {name: batch[name] for name in model.item_columns}
    np.testing.assert_array_equal(
        model.encode_user(user), model.encode_user(batch)
    )
    np.testing.assert_array_equal(
        model.encode_items(items), model.encode_items(batch)
    )


def test_survives_keras_files(model, batch, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(batch), model(batch))


def test_every_weight_learns(batch):
    model = moved(build_model("two_tower", SCHEMA, CONFIG))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cos(model(batch, training=True)))
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(
        model.trainable_variables, gradients, strict=True
    ):
        assert gradient is not None, variable.path


def test_a_behavior_that_is_not_there_is_named():
    with pytest.raises(SchemaError, match=r"one of click, order.*'cart'"):
        TwoTower(SCHEMA, {"timeline": {"behavior": "cart"}})
