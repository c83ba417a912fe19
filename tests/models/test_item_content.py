"""Pictures and titles in the ranker."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import IdColumn
from tests.models.test_jd_ranker import CONFIG, SCHEMA, batch_of, moved, real
from tests.requests import random_requests, small_schema

TITLED = small_schema(
    item_columns=(
        *SCHEMA.item_columns,
        IdColumn("title", dtype="string", num_buckets=100, text=True),
    )
)
CONTENT = replace_fields(
    CONFIG,
    {
        "use_titles": True,
        "title_embedding_dim": 6,
        "num_image_rows": 40,
        "image_dim": 5,
        "num_transfer_experts": 2,
        "transfer_dim": 4,
    },
)


def titled_batch():
    requests = random_requests(TITLED, 9)
    for request in requests:
        for name in ("title", "click_title", "order_title"):
            words = [f"red shoe {i % 5}".encode() for i in range(12)]
            request[name] = np.array(words, object)[: len(request[name])]
    return batch_of(requests, TITLED)


def with_images(mode, batch, seed=0, changes=()):
    changes = {"use_images": mode, **dict(changes)}
    model = moved(JDRanker(TITLED, replace_fields(CONTENT, changes)))
    ids = np.unique(batch["item_id"].numpy())
    ids = ids[ids != 0][:40]
    vectors = np.random.default_rng(seed).normal(size=(len(ids), 5))
    model.item_encoder.images.assign(ids, vectors)
    return model, ids, vectors


@pytest.mark.parametrize("mode", ["concat", "transfer"])
def test_pictures_and_titles_move_scores(mode):
    batch = titled_batch()
    model, ids, vectors = with_images(mode, batch)
    mask = real(batch)
    before = model(batch)["logits"].numpy()
    other = {**batch, "title": tf.strings.upper(batch["title"]) + " blue"}
    assert not np.allclose(before[mask], model(other)["logits"].numpy()[mask])
    model.item_encoder.images.assign(ids, vectors[::-1])
    after = model(batch)["logits"].numpy()
    assert not np.allclose(before[mask], after[mask])


def test_pictures_of_other_items_move_nothing():
    batch = titled_batch()
    model, ids, vectors = with_images("transfer", batch)
    ids, vectors = ids[:20], vectors[:20]
    model.item_encoder.images.assign(ids, vectors)
    before = model(batch)
    new = np.concatenate([ids, [2**40, 2**41]])
    model.item_encoder.images.assign(
        new, np.concatenate([vectors, np.ones((2, 5))])
    )
    mask = real(batch)
    after = model(batch)["logits"].numpy()[mask]
    np.testing.assert_array_equal(before["logits"].numpy()[mask], after)


def test_each_behaviour_and_the_candidates_have_a_gate_of_their_own():
    batch = titled_batch()
    model, *_ = with_images("transfer", batch)
    columns = [batch[c.name] for c in TITLED.item_columns]
    tokens = [
        model.item_encoder(columns, gate_index=number).numpy()
        for number in range(1 + len(TITLED.behaviors))
    ]
    for one, other in itertools.combinations(tokens, 2):
        assert not np.allclose(one, other)


@pytest.mark.parametrize("mode", ["concat", "transfer"])
def test_gradients_reach_titles_and_experts_but_no_image(mode):
    batch = titled_batch()
    model, ids, vectors = with_images(mode, batch)
    # A learned vector stands for a picture, or a title, that is missing.
    model.item_encoder.images.assign(ids[1:], vectors[1:])
    missing = tf.cast(batch["item_id"] == ids[0], "int32")
    titles = tf.stack([batch["title"], tf.fill(missing.shape, "")], axis=-1)
    batch["title"] = tf.gather(titles, missing, batch_dims=2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch, training=True)["logits"] ** 2)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert "images/" not in variable.path
        if "item_encoder" in variable.path:
            dense = tf.convert_to_tensor(gradient).numpy()
            assert np.isfinite(dense).all(), variable.path
            assert dense.any(), variable.path


def test_images_without_vectors_are_refused():
    with pytest.raises(ValueError, match="`num_image_rows`"):
        JDRanker(TITLED, replace_fields(CONFIG, {"use_images": "transfer"}))
    with pytest.raises(ValueError, match=r"`use_images`.*'raw'"):
        JDRankerConfig.of(use_images="raw", num_image_rows=3)
