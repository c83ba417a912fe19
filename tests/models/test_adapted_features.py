"""Models are adapted to the real dense values of training batches."""

import keras
import numpy as np
import pytest

from jd_tf.losses import MultiObjectiveLoss, labels_and_weights
from jd_tf.models.registry import build_model
from tests.models.test_jd_ranker import batch_of
from tests.requests import random_requests, small_schema

SCHEMA = small_schema(linear_dense=("age", "carts"))
MODELS = ("jd_ranker", "pooled_mmoe")


def _statistics(model):
    return {
        (name, weight.name): weight.numpy()
        for name, layer in model.normalizations.items()
        for weight in layer.weights
    }


def _assert_equal(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("name", MODELS)
def test_padding_and_batches_do_not_matter(name):
    requests = random_requests(SCHEMA, 40)
    one, other = build_model(name, SCHEMA), build_model(name, SCHEMA)
    assert not one.adapted
    one.adapt(batch_of([request]) for request in requests)
    batches = [batch_of(requests[:30]), batch_of(requests[30:])]
    for batch in batches:
        batch["item_dense"] = batch["item_dense"].numpy()
        for row, count in enumerate(batch["num_candidates"].numpy()):
            batch["item_dense"][row, count:] = 1e9
    other.adapt(batches)
    assert one.adapted
    _assert_equal(_statistics(one), _statistics(other))
    for mine, theirs in zip(one.overlaps, other.overlaps, strict=True):
        for weight, same in zip(mine.weights, theirs.weights, strict=True):
            assert np.any(weight.numpy())
            np.testing.assert_array_equal(weight, same)
    dense = np.concatenate([r["item_dense"] for r in requests])
    layer = one.normalizations["item_dense"]
    assert layer.num_rows.numpy() == len(dense)
    # `age` is taken as it is, `price` by its logarithm.
    np.testing.assert_allclose(
        layer.quantiles.numpy()[-1, 1], dense[:, 1].max()
    )
    greatest = np.log1p(dense[:, 0].max())
    np.testing.assert_allclose(layer.quantiles.numpy()[-1, 0], greatest)
    assert one.normalizations["session_dense"].linear == (1,)


@pytest.mark.parametrize("name", MODELS)
def test_statistics_are_weights_that_training_keeps(name, tmp_path):
    batch = batch_of(random_requests(SCHEMA, 12))
    model = build_model(name, SCHEMA)
    model.adapt([batch])
    before = _statistics(model)
    loss = {"logits": MultiObjectiveLoss()}
    model.compile("adam", loss=loss, run_eagerly=True)
    model.fit(*labels_and_weights(batch)[:2], shuffle=False, verbose=0)
    _assert_equal(_statistics(model), before)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.adapted
    _assert_equal(_statistics(loaded), before)
    np.testing.assert_array_equal(loaded(batch)["score"], model(batch)["score"])


def test_fit_warns_of_a_model_that_was_never_adapted():
    batch = batch_of(random_requests(SCHEMA, 4))
    model = build_model("pooled_mmoe", SCHEMA)
    model.compile("adam", loss={"logits": MultiObjectiveLoss()})
    with pytest.warns(UserWarning, match="never adapted"):
        model.fit(*labels_and_weights(batch)[:2], shuffle=False, verbose=0)


def test_a_model_without_dense_columns_has_nothing_to_adapt():
    schema = small_schema(
        item_columns=SCHEMA.item_columns[:3], item_dense=(), session_dense=()
    )
    model = build_model("pooled_mmoe", schema)
    assert model.adapted
    model.adapt([])
