"""Rankers that read several values of an id column of each item."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.models.ranking.pooled_mmoe import PooledMMoE, PooledMMoEConfig
from jd_tf.schema import IdColumn
from tests import references
from tests.models.test_jd_ranker import CONFIG, TOLERANCE, batch_of, moved
from tests.requests import random_requests, small_schema

TAG = IdColumn("tag_id", num_buckets=40, max_values=4)
KIND = IdColumn(
    "kind",
    dtype="string",
    vocabulary=("b1", "b2", "b3", "b4"),
    max_values=3,
    pooling="sum",
)
SMALL = {
    JDRanker: CONFIG,
    PooledMMoE: PooledMMoEConfig.of(model_dim=16, num_experts=2),
}


def schema_of(*columns):
    plain = small_schema().item_columns[:2]
    return small_schema(item_columns=(*plain, *columns))


SCHEMA = schema_of(TAG, KIND)


@pytest.fixture(scope="module", params=SMALL, ids=lambda kind: kind.__name__)
def model(request):
    keras.utils.set_random_seed(3)
    return moved(request.param(SCHEMA, SMALL[request.param]))


@pytest.fixture(scope="module")
def requests():
    return random_requests(SCHEMA, 9)


def assert_scores(model, requests, expected, schema=SCHEMA):
    batch = batch_of(requests, schema)
    scores = model(batch)["score"].numpy()
    real = np.arange(scores.shape[1]) < batch["num_candidates"].numpy()[:, None]
    np.testing.assert_allclose(scores[real], expected[real], **TOLERANCE)


def changed(requests, change):
    names = [c.name for c in SCHEMA.columns() if c.multi_valued]
    assert len(names) == 6
    return [
        {**one, **{name: [change(i) for i in one[name]] for name in names}}
        for one in requests
    ]


def test_order_repetition_and_padding_of_values_change_nothing(model, requests):
    expected = model(batch_of(requests, SCHEMA))["score"].numpy()
    for change in (
        lambda item: item[::-1],
        lambda item: item + item[:1],
        lambda item: ["" if "b" in str(item) else 0, *item],
    ):
        assert_scores(model, changed(requests, change), expected)
    none = model(batch_of(changed(requests, lambda item: []), SCHEMA))
    assert not np.allclose(none["score"].numpy(), expected, **TOLERANCE)


def test_room_for_more_values_changes_nothing(model, requests):
    expected = model(batch_of(requests, SCHEMA))["score"].numpy()
    wider = schema_of(
        *(dataclasses.replace(c, max_values=7) for c in (TAG, KIND))
    )
    kind = type(model)
    copy = kind(wider, SMALL[kind])
    copy.set_weights(model.get_weights())
    assert batch_of(requests, wider)["kind"].shape[2] == 7
    assert_scores(copy, requests, expected, wider)


def test_ids_of_an_item_are_pooled(model, requests):
    batch, encoder = batch_of(requests, SCHEMA), model.item_encoder
    columns = [batch[column.name] for column in SCHEMA.item_columns]
    found = encoder.embed(columns).numpy()
    start = 0
    for column, ids in zip(SCHEMA.item_columns, columns, strict=True):
        table = encoder.tables[column.name]
        stop = start + table.embedding_dim
        rows, vectors = table.rows(ids).numpy(), table.table.numpy()
        for place in np.ndindex(rows.shape[:2]):
            expected = references.pooled(
                vectors, np.ravel(rows[place]), column.pooling
            )
            np.testing.assert_allclose(
                found[place][start:stop], expected, rtol=1e-5, atol=1e-6
            )
        start = stop


def test_a_step_moves_the_rows_of_its_values_alone(model, requests):
    batch = batch_of(requests, SCHEMA)
    table = model.item_encoder.tables["tag_id"]
    with tf.GradientTape() as tape:
        logits = model(batch, training=True)["logits"]
        loss = tf.reduce_sum(tf.where(tf.math.is_finite(logits), logits, 0.0))
    gradient = tape.gradient(loss, table.table.value)
    assert isinstance(gradient, tf.IndexedSlices)
    moved_rows = tf.convert_to_tensor(gradient).numpy().any(axis=1)
    there = [batch["tag_id"], batch["click_tag_id"], batch["order_tag_id"]]
    rows = {row for ids in there for row in table.rows(ids).numpy().ravel()}
    assert set(np.flatnonzero(moved_rows)) <= rows - {0}
    assert moved_rows.sum() > 3
