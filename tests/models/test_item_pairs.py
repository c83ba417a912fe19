"""Rankers with item pairs: the direct path, parts and refreshed tables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.data.item_pairs.item_pairs import ColumnPairs, ItemPairs
from jd_tf.data.item_pairs.training_parts import PART, TrainingParts
from jd_tf.layers.overlap.pair_match import pair_codes
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import HISTORY_ROLES, SchemaError
from tests.case_inputs import random_pairs
from tests.models.test_jd_ranker import (
    CONFIG,
    SCHEMA,
    TOLERANCE,
    assert_same,
    batch_of,
    moved,
    real,
)
from tests.requests import random_requests

KINDS = ("click:click", "order:order")


def random_tables(seed, batch, num_parts=2):
    """Pairs of what a batch holds, as the job would write them."""
    generator = np.random.default_rng(seed)
    reader = ranker_of(None).pairs
    columns = {}
    for name, table in reader.tables.items():
        keys = np.unique(table.keys_of(tf.reshape(batch[name], [-1])))[1:]
        found = [
            random_pairs(generator, keys, len(KINDS))
            for _ in range(num_parts + 1)
        ]
        of_parts = [
            (codes + pair_codes(part * len(KINDS), 0, 0), weights)
            for part, (codes, weights) in enumerate(found[1:])
        ]
        columns[name] = ColumnPairs(
            keys, *found[0], *map(np.concatenate, zip(*of_parts, strict=True))
        )
    parts = TrainingParts("user", num_parts)
    return ItemPairs(columns, KINDS, parts)


def ranker_of(pairs, **changes):
    fields = {
        "use_pairs": True,
        "columns": ("item_id", "brand_id"),
        "kinds": KINDS,
        "num_rows": (200, 50),
        "num_pairs": (40_000, 5_000),
        "num_events": 4,
        **changes,
    }
    keras.utils.set_random_seed(3)
    model = moved(JDRanker(SCHEMA, replace_fields(CONFIG, fields)))
    if pairs is not None:
        model.pairs.assign(pairs.columns, parts=True)
    return model


@pytest.fixture(scope="module")
def batch():
    return batch_of(random_requests(SCHEMA, 9))


@pytest.fixture(scope="module")
def pairs(batch):
    return random_tables(1, batch)


@pytest.fixture(scope="module")
def model(pairs):
    return ranker_of(pairs)


def test_halves_are_the_whole_and_candidates_move_alone(model, batch):
    whole = model(batch)
    state = model.encode_user(batch)
    assert_same(whole, model.rank(state, batch, batch), real(batch))
    empty = ranker_of(None)(batch)
    assert np.any(np.abs(whole["score"] - empty["score"])[real(batch)] > 1e-4)
    turned = {
        column.name: tf.reverse(batch[column.name], [1])
        for column in SCHEMA.columns()
        if column.length == "num_candidates"
    }
    full = batch["num_candidates"].numpy() == batch["item_id"].shape[1]
    assert full.any()
    again = model.rank(state, batch, {**batch, **turned})
    np.testing.assert_allclose(
        again["score"].numpy()[full, ::-1],
        whole["score"].numpy()[full],
        **TOLERANCE,
    )


def test_events_beyond_the_length_or_the_newest_do_not_count(model, batch):
    generator = np.random.default_rng(3)
    expected = model.pairs.read(model.encode_histories(batch), batch)
    other = dict(batch)
    for behavior in ("click", "order"):
        length = batch[f"{behavior}_length"].numpy()[:, None]
        for column in ("item_id", "brand_id"):
            ids = batch[f"{behavior}_{column}"].numpy()
            place = np.arange(ids.shape[1])
            hidden = (place >= length) | (place >= 4)
            drawn = generator.choice(batch[column].numpy().ravel(), ids.shape)
            other[f"{behavior}_{column}"] = np.where(hidden, drawn, ids)
    # Events that are not read as pairs still make tokens and weights.
    weights = {name: None for name in ("click", "order")}
    plain = ranker_of(None, num_event_weights=0)
    plain.pairs.assign(random_tables(1, batch).columns)
    found, same = (
        plain.pairs.read(plain.pairs.encode(one, weights), batch)
        for one in (other, batch)
    )
    np.testing.assert_array_equal(found, same)
    assert np.any(found)
    assert expected.shape[-1] == model.pairs.output_dim == 32


def test_what_a_server_pads_states_with_does_not_count(model, batch):
    """It pads to a common width with whatever comes first, not with 0."""
    short = dict(batch)
    for column in SCHEMA.columns(*HISTORY_ROLES):
        value = batch[column.name]
        short[column.name] = (
            value[:, :2] if column.ragged else tf.minimum(value, 2)
        )
    state = dict(model.encode_histories(short))
    expected = model.pairs.read(state, batch)
    assert np.any(expected)
    for name in state:
        if name.startswith("pair_"):
            filler = state[name][:, :1]
            first = tf.reduce_max(filler, axis=0, keepdims=True)
            more = tf.broadcast_to(first, tf.shape(filler))
            state[name] = tf.concat([state[name], more, more], axis=1)
    found = model.pairs.read(state, batch)
    np.testing.assert_allclose(found, expected, **TOLERANCE)


def test_logits_have_a_linear_path(model, batch):
    features = model.pairs.read(model.encode_histories(batch), batch)
    kernel = model.pairs.direct.kernel.numpy()
    np.testing.assert_allclose(
        model.pairs.logits(features), features.numpy() @ kernel, **TOLERANCE
    )
    before = model(batch)["logits"].numpy()[..., 0]
    try:
        model.pairs.direct.kernel.assign(kernel + 0.5)
        moves = model(batch)["logits"].numpy()[..., 0] - before
    finally:
        model.pairs.direct.kernel.assign(kernel)
    np.testing.assert_allclose(
        moves, 0.5 * features.numpy().sum(axis=-1), rtol=1e-3, atol=1e-4
    )
    fresh = JDRanker(SCHEMA, model.config)
    assert not fresh.pairs.direct.kernel.numpy().any()


def test_a_state_of_old_tables_is_a_state_of_new_ones(batch, pairs):
    model = ranker_of(pairs)
    state = model.encode_user(batch)
    model.pairs.assign(random_tables(2, batch).columns)
    assert_same(model(batch), model.rank(state, batch, batch), real(batch))


def test_training_reads_the_table_of_its_part(model, batch, pairs):
    with pytest.raises(ValueError, match="needs `pair_part`, or its requests"):
        model(batch, training=True)
    parts = np.arange(9, dtype=np.int32) % 2
    marked = {**batch, PART: tf.constant(parts)}
    model(marked, training=True)
    found = model.pairs.read(model.encode_histories(marked), batch).numpy()
    for part in (0, 1):
        one = {
            name: ColumnPairs(
                column.keys,
                column.part_codes[column.part_codes >> 53 == part] % 2**53,
                column.part_weights[column.part_codes >> 53 == part],
                column.part_codes[:0],
                column.part_weights[:0],
            )
            for name, column in pairs.columns.items()
        }
        alone = ranker_of(None)
        alone.pairs.assign(one)
        state = alone.encode_histories(batch)
        expected = alone.pairs.read(state, batch).numpy()
        mine = parts == part
        np.testing.assert_allclose(found[mine], expected[mine], **TOLERANCE)
    served = model.pairs.read(model.encode_histories(batch), batch)
    assert np.any(np.abs(found - served)[real(batch)] > 1e-3)


def test_keras_file_has_the_tables(model, batch, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(model(batch), loaded(batch), real(batch))


def test_pairs_without_tables_are_refused():
    with pytest.raises(SchemaError, match="train with --pairs, a file made"):
        JDRanker(SCHEMA, replace_fields(CONFIG, {"use_pairs": True}))
