"""Tests of `NeighborTable`."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse

from jd_tf.data import make_item_pairs
from jd_tf.data.item_pairs.pair_features import pair_features
from jd_tf.layers.embedding.id_keys import id_keys
from jd_tf.layers.overlap.pair_match import pair_codes
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.pipeline.recall.neighbors import Neighbors
from jd_tf.pipeline.recall.swing import swing_table
from jd_tf.schema import DataError
from tests.data.item_pairs.pair_logs import SCHEMA, random_log, write_log
from tests.pipeline.recall.small_interactions import random_interactions


@pytest.mark.parametrize("texts", [False, True])
def test_a_table_survives_its_file(tmp_path, texts):
    table = swing_table(random_interactions(texts=texts))
    table.save(tmp_path / "swing.npz")
    loaded = NeighborTable.load(tmp_path / "swing.npz")
    assert loaded.item_id.tolist() == table.item_id.tolist()
    assert loaded.key_id.dtype == table.key_id.dtype
    assert (loaded.weights != table.weights).nnz == 0
    assert loaded.meta == table.meta
    assert loaded.summary() == table.summary()
    assert [p.name for p in tmp_path.iterdir()] == ["swing.npz"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda arrays: arrays.pop("starts"), "no array `starts`"),
        (lambda arrays: arrays["neighbor"].fill(99), "not a table"),
        (lambda arrays: arrays["weight"].fill(np.nan), "finite"),
        (lambda arrays: arrays["item_id"].fill(3), "ascend"),
        (lambda arrays: arrays.update(meta=np.array("{")), "not a table"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage, message):
    path = tmp_path / "swing.npz"
    swing_table(random_interactions()).save(path)
    with np.load(path) as stored:
        arrays = dict(stored)
    damage(arrays)
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message) as error:
        NeighborTable.load(path)
    assert str(path) in str(error.value)
    with pytest.raises(DataError, match=r"no such file.*make_neighbors"):
        NeighborTable.load(tmp_path / "other.npz")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "data"
    data = write_log(folder, {"train": random_log(8, 4, 20)})
    return make_item_pairs(data, kinds=("click:click", "cart:cart"))


@pytest.mark.parametrize("kind", ["", "cart:cart"])
def test_pairs_of_the_ranker_score_as_the_ranker_reads_them(pairs, kind):
    """The channel's score is the first of the features of a pair match."""
    table = NeighborTable.of_pairs(pairs, kind)
    behavior = kind.partition(":")[0] or "click"
    channel = Neighbors("pairs", table, {behavior: 1.0}, num_events=10)
    generator = np.random.default_rng(0)
    histories = generator.integers(1, 22, (6, 10))
    batch = {
        name: values
        for b in SCHEMA.behaviors
        for name, values in (
            (f"{b.name}_item_id", histories),
            (b.length, np.full(6, 10, np.int32)),
        )
    }
    batch["item_id"] = np.tile(np.arange(1, 22), (6, 1))
    number = pairs.kinds.index(kind or "click:click")
    expected = pair_features(batch, pairs, SCHEMA)[..., 4 * number]
    found = channel.recall(batch, count=50)
    for row in range(6):
        got = dict(zip(found.item_id[row], found.score[row], strict=True))
        wanted = {
            item + 1: score for item, score in enumerate(expected[row]) if score
        }
        got.pop(0, None)
        assert got == pytest.approx(wanted, rel=1e-4)


def test_hashed_pairs_are_read_by_the_ids_of_a_catalogue(pairs):
    """Pairs keep texts as hashes; a catalogue tells whose they are."""
    names = np.array([b"i%d" % n for n in range(1, 30)], object)
    hashed = id_keys(names, "string", "item_id").numpy()
    column = pairs.columns["item_id"]
    # The same table as if items had been texts.
    order = np.argsort(hashed[column.keys - 1])
    table = NeighborTable.of_pairs(pairs)
    moved = scipy.sparse.csr_matrix(table.weights[order][:, order])
    moved.sort_indices()
    rows, columns = moved.nonzero()
    codes = pair_codes(0, rows.astype(np.int64), columns.astype(np.int64))
    as_texts = dataclasses.replace(
        pairs,
        columns={
            "item_id": dataclasses.replace(
                column,
                keys=hashed[column.keys - 1][order],
                codes=codes,
                weights=np.asarray(moved[rows, columns]).ravel(),
                part_codes=codes[:0],
                part_weights=codes[:0],
            )
        },
        kinds=("click:click",),
    )
    found = NeighborTable.of_pairs(as_texts, item_id=names[::-1])
    known = [b"i%d" % key for key in column.keys]
    assert sorted(found.item_id) == sorted(known)
    at = [found.item_id.tolist().index(name) for name in known]
    np.testing.assert_array_equal(
        found.weights[at][:, at].toarray(), table.weights.toarray()
    )


def test_an_unknown_kind_is_named(pairs):
    with pytest.raises(DataError, match=r"`x:y`.*click:click, cart:cart"):
        NeighborTable.of_pairs(pairs, "x:y")
