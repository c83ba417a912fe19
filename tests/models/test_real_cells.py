"""Training leaves padding out: the same logits and gradients without it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from jd_tf.models import get_model
from jd_tf.models.blocks.real_cells import RealCells
from jd_tf.models.config_fields import replace_fields
from tests.models.test_item_content import TITLED, titled_batch, with_images
from tests.models.test_jd_ranker import moved, real
from tests.models.zoo_cases import ZOO

LENGTHS = np.array([2, 0, 3, 1])


@pytest.mark.parametrize("inner", [(), (2,), (2, 3)])
def test_packs_row_by_row_and_back(inner):
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(4, 3, *inner))
    found = RealCells(LENGTHS, 3)
    rows = [(b, i) for b in range(4) for i in range(LENGTHS[b])]
    packed = found.pack(cells)
    np.testing.assert_array_equal(packed[:, 0], [cells[row] for row in rows])
    assert packed.shape == (6, 1, *inner)
    np.testing.assert_array_equal(
        found.requests(cells[:, 0]), [cells[b, 0] for b, _ in rows]
    )
    unpacked = np.zeros_like(cells)
    for row in rows:
        unpacked[row] = cells[row]
    np.testing.assert_array_equal(found.unpack(packed), unpacked)
    if len(inner) == 1:
        means = [
            row[:count].mean(axis=0) if count else np.zeros(inner)
            for row, count in zip(cells, LENGTHS, strict=True)
        ]
        np.testing.assert_allclose(found.mean(packed), means)


def test_a_batch_of_padding_alone():
    found = RealCells(np.zeros(3, int), 2)
    packed = found.pack(np.ones((3, 2, 4)))
    assert packed.shape == (0, 1, 4)
    assert not np.any(found.unpack(packed))
    assert RealCells(np.zeros(3, int), 0).unpack(packed).shape == (3, 0, 4)


def jd_ranker():
    """With pictures and titles of events."""
    changes = {"dropout_rate": 0.0}
    return with_images("transfer", titled_batch(), changes=changes)[0]


def of_zoo(name):
    def make():
        keras.utils.set_random_seed(3)
        entry = get_model(name)
        changes = next(case.changes for case in ZOO if case.name == name)
        config = replace_fields(entry.config_class(), changes)
        config = replace_fields(config, {"dropout_rate": 0.0})
        return moved(entry.model_class(TITLED, config))

    make.__name__ = name
    return make


@pytest.mark.parametrize(
    "make",
    [jd_ranker, *map(of_zoo, ("pooled_mmoe", "dcn_v2", "din", "hstu"))],
    ids=lambda make: make.__name__,
)
def test_logits_and_gradients_are_those_with_padding(make):
    model, batch = make(), titled_batch()
    # Serving computes padding, and leaves the bias tower out.
    model.bias_tower = None
    mask = real(batch)
    assert 0 < mask.sum() < mask.size
    assert batch["click_length"].numpy().min() < batch["click_item_id"].shape[1]
    direction = np.random.default_rng(1).normal(
        size=(*mask.shape, len(TITLED.objectives))
    )
    direction = (direction * mask[..., None]).astype("float32")

    def found(training):
        with tf.GradientTape() as tape:
            logits = model(batch, training=training)["logits"]
            total = tf.reduce_sum(logits * direction)
        gradients = tape.gradient(total, model.main_variables)
        return logits.numpy()[mask], [
            None if gradient is None else tf.convert_to_tensor(gradient)
            for gradient in gradients
        ]

    logits, gradients = found(training=True)
    expected, with_padding = found(training=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    for variable, one, other in zip(
        model.main_variables, gradients, with_padding, strict=True
    ):
        assert (one is None) == (other is None), variable.path
        if one is not None:
            np.testing.assert_allclose(
                one, other, rtol=1e-3, atol=1e-4, err_msg=variable.path
            )


def test_experts_see_real_candidates_alone():
    model, batch = of_zoo("pooled_mmoe")(), titled_batch()
    shared = model.training_outputs(batch)["shared"]
    assert shared.shape[:2] == (batch["num_candidates"].numpy().sum(), 1)
