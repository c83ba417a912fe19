"""Aligned vectors of items, item by item."""

import types

import numpy as np
import pytest

from jd_tf.evaluation.similarity.aligned_items import aligned_items
from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.schema import DataError
from tests.models.test_item_content import (
    TITLED,
    titled_batch,
    with_images,
)


def test_every_candidate_once_and_as_the_ranker_reads_it(tmp_path):
    batch = titled_batch()
    model, *_ = with_images("transfer", batch)
    vectors, gates = aligned_items(model, [batch, batch])
    real = batch["item_id"].numpy() != 0
    expected = np.unique(batch["item_id"].numpy()[real])
    np.testing.assert_array_equal(vectors.item_ids, expected)
    # One item by hand, with the columns it first stands with.
    item = expected[1]
    row, column = np.argwhere(batch["item_id"].numpy() == item)[0]
    one = [
        batch[c.name][row : row + 1, column : column + 1]
        for c in TITLED.item_columns
    ]
    encoder = model.item_encoder
    alone = encoder.transfer(
        *zip(*encoder.content_embeddings(one), strict=True), encoder.embed(one)
    )
    np.testing.assert_allclose(
        vectors.vectors[1], alone[0, 0], rtol=1e-4, atol=1e-5
    )
    assert gates.consumers == ("candidate", "click", "order")
    assert gates.experts == ("image 0", "image 1", "title 0", "title 1")
    gates.save(tmp_path / "gates.npz")
    loaded = GateUse.load(tmp_path / "gates.npz")
    np.testing.assert_allclose(loaded.gates, gates.gates, rtol=1e-6)
    assert loaded.experts == gates.experts


def test_a_ranker_without_transfer_is_refused():
    encoder = types.SimpleNamespace(transfer=None)
    for model in (object(), types.SimpleNamespace(item_encoder=encoder)):
        with pytest.raises(DataError, match="has no transfer layer"):
            aligned_items(model, [])
