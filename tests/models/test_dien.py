"""The loss that DIEN adds for next events."""

import numpy as np
import pytest

from jd_tf.models.registry import build_model
from jd_tf.models.sequence.dien import NextEventLoss
from tests.models.test_jd_ranker import batch_of
from tests.requests import random_requests, small_schema
from tests.sequence_references import next_event_loss

LENGTHS = np.array([4, 1, 0, 3, 2], np.int32)


def test_loss_equals_a_loop_and_reads_no_padding():
    generator = np.random.default_rng(1)
    interests, tokens = generator.normal(size=(2, 5, 4, 3)).astype("float32")
    layer = NextEventLoss(rate=0.5)
    # A layer called again has the loss of that call alone.
    for _ in range(2):
        loss = layer(interests, tokens, LENGTHS)
        for row, length in enumerate(LENGTHS):
            interests[row, length:] = tokens[row, length:] = 9.0
    expected = next_event_loss(interests, tokens, LENGTHS)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert [float(one) for one in layer.losses] == pytest.approx([loss / 2])


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_training_step_adds_it_once_for_each_history(rate):
    schema = small_schema()
    config = {"auxiliary_rate": rate, "items": {"model_dim": 4}}
    model = build_model("dien", schema, config)
    batch = batch_of(random_requests(schema, 4, seed=1))
    for _ in range(2):
        model.training_outputs(batch)
        assert len(model.losses) == (len(schema.behaviors) if rate else 0)
    model(batch)
    assert not model.losses
