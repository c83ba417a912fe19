"""Rankers of the zoo with objectives that are amounts."""

import keras
import numpy as np
import pytest

from jd_tf.layers import EntireSpaceLogits
from jd_tf.losses import MultiObjectiveLoss, labels_and_weights
from jd_tf.models import PooledMMoE
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.registry import get_model
from jd_tf.schema import SchemaError
from jd_tf.training.build_from_config import build_main_step
from jd_tf.training.config import TrainingConfig
from tests.models.test_jd_ranker import CONFIG, batch_of, moved
from tests.models.zoo_cases import ZOO
from tests.requests import AMOUNTS, random_requests, small_schema

SCHEMA = small_schema(objectives=AMOUNTS, scenario_column="scenario")
CASES = {case.name: case.changes for case in ZOO}
TREES = {"num_trees": 4, "num_leaves": 4}
MODELS = [
    ("jd_ranker", TREES),
    *((name, CASES[name]) for name in ("esmm", "din")),
    *(
        pytest.param((name, CASES[name]), marks=pytest.mark.slow, id=name)
        for name in ("deep_fm", "ple", "star", "hstu")
    ),
]


@pytest.fixture(scope="module")
def batch():
    return batch_of(random_requests(SCHEMA, 12), SCHEMA)


@pytest.fixture(params=MODELS, ids=lambda case: case[0])
def model(request):
    name, changes = request.param
    keras.utils.set_random_seed(3)
    entry = get_model(name)
    config = CONFIG if name == "jd_ranker" else entry.config_class()
    return entry.model_class(SCHEMA, replace_fields(config, changes))


def test_a_model_learns_amounts_and_survives_a_file(model, batch, tmp_path):
    assert not model.adapted
    model.adapt([batch])
    assert model.adapted
    outputs = model(batch)
    shape = batch["item_id"].shape
    assert outputs["logits"].shape == (*shape, 4)
    assert outputs["probabilities"].shape == (*shape, 2)
    assert outputs["amounts"].shape == (*shape, 2)
    spec = model.compute_output_spec(batch)
    assert {n: s.shape for n, s in spec.items()} == {
        n: tuple(o.shape) for n, o in outputs.items()
    }
    step = build_main_step(TrainingConfig(learning_rate=0.02), model)
    losses = np.array([step(batch)["losses"] for _ in range(6)])
    assert (losses[-1] < losses[0]).all()
    file = tmp_path / "model.keras"
    model.save(file)
    again = keras.models.load_model(file)
    before, after = model(batch), again(batch)
    for name in ("amounts", "score"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5)


def test_an_amount_is_the_chance_times_the_conditional_amount(batch):
    model = moved(PooledMMoE(SCHEMA))
    model.adapt([batch])
    layer, seen = model.entire_space, []
    model.entire_space = lambda x: seen.append(np.array(x)) or layer(x)
    found = model(batch)
    conditional = 16 * np.tanh(seen[0].astype(float) / 16)
    scales = np.array(model.amount_scales, float)
    for place, parent in enumerate((0, 1)):
        chance = found["probabilities"].numpy()[..., parent]
        wanted = chance * np.exp(conditional[..., 2 + place]) * scales[place]
        amounts = found["amounts"].numpy()[..., place]
        np.testing.assert_allclose(amounts, wanted, rtol=1e-3)


def test_a_chain_that_knows_no_amounts_is_refused():
    class Wrong(PooledMMoE):
        def make_head(self, *sizes):
            super().make_head(*sizes)
            self.entire_space = EntireSpaceLogits(self.schema.given_indices)

    Wrong(small_schema())
    with pytest.raises(SchemaError, match="for outcomes: dwell, paid"):
        Wrong(SCHEMA)


def test_half_precision_keeps_amounts_finite(batch):
    model = PooledMMoE(SCHEMA, dtype="mixed_float16")
    model.adapt([batch])
    amounts = model(batch)["amounts"]
    assert amounts.dtype == "float32"
    assert np.isfinite(amounts).all()


def test_fit_of_keras_learns_amounts(batch):
    model = PooledMMoE(SCHEMA)
    model.adapt([batch])
    loss = MultiObjectiveLoss(amount_scales=model.amount_scales)
    model.compile(keras.optimizers.Adam(0.02), loss={"logits": loss})
    x, y, weights = labels_and_weights(batch)
    history = model.fit(x, y, 12, 6, 0, sample_weight=weights).history
    assert history["loss"][-1] < history["loss"][0]
