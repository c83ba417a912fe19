"""New pairs make the ranker that training would have given them to."""

import dataclasses

import numpy as np
import pytest

from jd_tf.data.dataset import write_dataset
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker import JDRanker
from jd_tf.schema import DataError
from jd_tf.serving.export import refresh_images
from jd_tf.serving.export.refresh_images import compare, refresh, with_tables
from tests.models.test_item_pairs import random_tables, ranker_of
from tests.models.test_jd_ranker import (
    CONFIG,
    SCHEMA,
    assert_same,
    batch_of,
    real,
)
from tests.requests import random_requests


@pytest.fixture(scope="module")
def batch():
    return batch_of(random_requests(SCHEMA, 9))


@pytest.fixture(scope="module")
def model(batch):
    return ranker_of(random_tables(1, batch))


@pytest.mark.slow
def test_the_same_pairs_move_nothing(model, batch):
    after = with_tables(model, None, random_tables(1, batch))
    report = compare(model, after, [batch])
    assert report.moved == report.wrongly_moved == report.touched == 0


@pytest.mark.slow
def test_new_pairs_are_a_new_model_with_the_old_weights(model, batch):
    other = random_tables(2, batch)
    after = with_tables(model, None, other)
    assert_same(after(batch), ranker_of(other)(batch), real(batch))
    assert after.config.pairs.digest == other.model_fields()["digest"]
    before = model.config
    kept = {"digest": "", "num_rows": (), "num_pairs": ()}
    assert replace_fields(after.config, kept) == replace_fields(before, kept)
    report = compare(model, after, [batch])
    assert 0 < report.moved <= report.touched
    assert report.wrongly_moved == 0
    fewer = with_tables(model, None, random_tables(1, batch))
    weight = fewer.towers.weights[-1]
    weight.assign(weight + 0.1)
    assert compare(model, fewer, [batch]).wrongly_moved > 0


def test_pairs_that_do_not_fit_are_refused(model, batch):
    pairs = random_tables(2, batch)
    others = dataclasses.replace(pairs, kinds=("order:order", "click:click"))
    with pytest.raises(DataError, match="--kinds=click:click,order:order"):
        with_tables(model, None, others)
    plain = JDRanker(SCHEMA, CONFIG)
    with pytest.raises(DataError, match="reads no pairs"):
        with_tables(plain, None, pairs)
    with pytest.raises(DataError, match="give --item_vectors, --pairs"):
        refresh("run", "data")


def test_a_refresh_exports_the_new_pairs(model, batch, tmp_path, monkeypatch):
    pairs = random_tables(2, batch)
    pairs.save(tmp_path / "pairs.npz")
    data, exported, lines = tmp_path / "data", [], []
    write_dataset(data, SCHEMA, {"test": random_requests(SCHEMA, 6)})
    monkeypatch.setattr(refresh_images, "load_trained", lambda _: model)
    monkeypatch.setattr(
        refresh_images, "export", lambda *_, **kw: exported.append(kw["model"])
    )
    refresh("run", data, None, tmp_path / "pairs.npz", log=lines.append)
    (after,) = exported
    codes = pairs.columns["item_id"].codes
    table = after.pairs.tables["item_id"]
    np.testing.assert_array_equal(table.codes[: len(codes)], codes)
    assert "item_id: " in lines[0]
