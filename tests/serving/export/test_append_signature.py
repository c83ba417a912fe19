"""The signature of states that grow, and its verification."""

import keras
import numpy as np
import pytest

from jd_tf.models.config_fields import replace_fields
from jd_tf.models.registry import build_model, get_model
from jd_tf.schema import Behavior, IdColumn, Objective, Schema
from jd_tf.serving import batching
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export import exporting
from jd_tf.serving.export.batching_parameters import batching_parameters
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.serving.export.verification.growing import grown_states
from jd_tf.serving.export.verification.invariants import check_invariants
from jd_tf.serving.signature_names import APPEND_EVENTS, APPEND_PREFIX
from tests.models.test_jd_ranker import batch_of, moved
from tests.requests import random_requests
from tests.serving.exported import export_in_process

SCHEMA = Schema(
    name="small",
    item_columns=(IdColumn("item_id", num_buckets=50),),
    behaviors=(Behavior("click", 5), Behavior("order", 3)),
    objectives=(Objective("click"), Objective("order", given="click")),
    max_candidates=4,
)
CHANGES = {
    "model_dim": 4,
    "item_embedding_dim": 4,
    "context_embedding_dim": 2,
    "expert_units": (3,),
    "tower_units": (2,),
    "num_heads": 2,
    "num_layers": 1,
    "fusion": "personalized",
    "units": (2,),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A verified SavedModel."""
    keras.utils.set_random_seed(1)
    config = replace_fields(get_model("hstu").config_class(), CHANGES)
    model = moved(build_model("hstu", SCHEMA, config))
    sizes = (1, 2)
    with pytest.MonkeyPatch.context() as patch:
        # Fewer recorded calls: each of seven takes a second.
        patch.setattr(batching, "BATCH_SIZES", sizes)
        parameters = batching_parameters(sizes)
        patch.setattr(exporting, "batching_parameters", lambda: parameters)
        folder = export_in_process(model, tmp_path_factory.mktemp("saved"))
    return LoadedModel(folder)


@pytest.fixture(scope="module")
def batch():
    tensors = batch_of(random_requests(SCHEMA, 6, seed=2), SCHEMA)
    return {name: tensor.numpy() for name, tensor in tensors.items()}


class Forgetful:
    """A served model whose new events take the place of the older ones."""

    def __init__(self, loaded):
        self.signatures = loaded.signatures
        self.model = loaded

    def call(self, signature, inputs):
        if signature == APPEND_EVENTS:
            inputs = {
                name: np.zeros_like(array)
                if name.startswith(APPEND_PREFIX)
                else array
                for name, array in inputs.items()
            }
        return self.model.call(signature, inputs)


@pytest.mark.slow
def test_new_events_are_a_signature(loaded, batch):
    inputs = loaded.signatures[APPEND_EVENTS]["inputs"]
    kept = {name for name in inputs if name.startswith(APPEND_PREFIX)}
    assert {"append_state_layer_0_keys", "append_state_interest"} <= kept
    assert {"click_item_id", "order_event_time", "order_length"} <= set(inputs)
    assert "item_id" not in inputs
    assert check_invariants(grown_states(loaded, batch, SCHEMA), 1e-5) < 1e-4


def test_a_state_that_forgets_is_found(loaded, batch):
    forgetful = Forgetful(loaded)
    with pytest.raises(ExportError, match="in two calls, and all events"):
        check_invariants(grown_states(forgetful, batch, SCHEMA), 1e-5)
