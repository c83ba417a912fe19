"""A user's model whose state is exact only at the moment it was made."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import ops

from jd_tf.layers import IdEmbedding
from jd_tf.layers.masking import length_mask
from jd_tf.models.base import RankingModel
from jd_tf.models.ranker_config import RankerConfig
from jd_tf.schema import Behavior, IdColumn, Objective
from jd_tf.serving.client import (
    ClientOptions,
    GrpcTransport,
    ModelChoice,
    RankingClient,
    RestTransport,
)
from jd_tf.serving.client.errors import RequestError
from jd_tf.serving.export.rounding import round_ranker
from jd_tf.serving.export.signatures import ServedRanker
from tests.requests import random_requests, small_schema
from tests.serving.client.fake_transport import with_candidates
from tests.serving.exported import export_in_process, temporary_folder
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.start import model_server

SCHEMA = small_schema(
    item_columns=(IdColumn("item_id", num_buckets=50),),
    behaviors=(Behavior("click", max_length=6),),
    objectives=(Objective("click"),),
    item_dense=(),
    context_columns=(),
    session_dense=(),
    bias_columns=(),
)
# Seconds in which an event counts half.
HALF = 100.0


@dataclasses.dataclass(frozen=True)
class FadingTowerConfig(RankerConfig):
    dim: int = 4


class FadingTower(RankingModel):
    """Sums of events that fade until the request, so a state grows old."""

    registered_name = "fading_tower"
    config_class = FadingTowerConfig
    reusable = False

    def make_layers(self):
        self.items = IdEmbedding(self.config.dim, num_buckets=50, name="items")
        self.tower = keras.layers.Dense(1, name="tower")

    def build_layers(self):
        self.items.build()
        self.tower.build((None, None, self.config.dim))

    def encode_histories(self, histories, training=False):
        events = self.items(histories["click_item_id"])
        now = histories["request_time"][:, None]
        age = ops.cast(now - histories["click_event_time"], "float32")
        kept = 0.5 ** (ops.clip(age, 0, 1e4) / HALF)
        real = length_mask(histories["click_length"], ops.shape(events)[1])
        kept = ops.where(real, kept, 0.0)[..., None]
        return {"sum": ops.sum(kept * ops.cast(events, "float32"), axis=1)}

    def encode_request(self, user_state, request):
        return None

    def candidate_logits(self, user_state, context, candidates, training=False):
        items = ops.cast(self.items(candidates["item_id"]), "float32")
        read = items * user_state["sum"][:, None]
        return self.tower(read), read


def fading_tower():
    keras.utils.set_random_seed(5)
    model = FadingTower(SCHEMA)
    generator = np.random.default_rng(5)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(0, 0.5, weight.shape))
    return model


REQUESTS = random_requests(SCHEMA, 8, seed=4)
LONGEST = max(REQUESTS, key=lambda request: len(request["click_item_id"]))
REQUEST = with_candidates(LONGEST, 5, SCHEMA)


def at(passed):
    return {**REQUEST, "request_time": REQUEST["request_time"] + passed}


@pytest.fixture(scope="module", name="folder")
def _folder():
    model, output = fading_tower(), temporary_folder()
    return export_in_process(model, output, name="fading", requests=REQUESTS)


@pytest.fixture(scope="module", name="transports")
def _transports(folder):
    choice = ModelChoice("fading")
    config = model_config("fading", folder.parent, versions=(1,))
    with model_server(config, warm=False) as server:
        server.wait_until("fading", 1)
        yield {
            "grpc": lambda: GrpcTransport(server.address, choice),
            "rest": lambda: RestTransport(server.rest_url, choice),
        }


def client_of(transport, **options):
    options = ClientOptions(timeout=60.0, **options)
    return RankingClient(transport, SCHEMA, options)


@pytest.fixture(scope="module", name="fresh")
def _fresh(folder):
    """Scores of one call, in the order of the request."""
    options = ClientOptions(timeout=60.0, one_call=True, max_users=0)
    with RankingClient.from_saved_model(folder, options) as client:
        yield lambda request: in_order(client.rank(request))


def in_order(ranking):
    return ranking.scores[np.argsort(ranking.order)]


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_a_state_is_not_served_at_another_moment(kind, transports, fresh):
    assert np.abs(fresh(at(60)) - fresh(at(0))).max() > 1e-3
    with client_of(transports[kind]()) as client:
        for passed in (0, 0, 1, 60, 60):
            found = in_order(client.rank(at(passed)))
            np.testing.assert_allclose(found, fresh(at(passed)), rtol=1e-5)
        stats = client.stats()
    assert stats["calls"] == {"encode_and_rank": 3, "rank_candidates": 2}
    assert stats["cache"]["hits"] == 2


@pytest.mark.parametrize("kind", ["grpc", "rest"])
def test_within_the_tolerance_it_is(kind, transports, fresh):
    """Measured from the moment of the state, never from its last use."""
    with client_of(transports[kind](), state_tolerance=30) as client:
        found = {
            passed: in_order(client.rank(at(passed)))
            for passed in (0, 20, 30, 40, 70)
        }
        stats = client.stats()
    assert stats["calls"] == {"encode_and_rank": 2, "rank_candidates": 3}
    assert stats["cache"]["expirations"] == 1
    for passed, moment in {0: 0, 20: 0, 30: 0, 40: 40, 70: 40}.items():
        expected = fresh(at(moment))
        np.testing.assert_allclose(found[passed], expected, rtol=1e-5)


def test_a_tolerance_below_zero_is_refused(folder):
    with pytest.raises(RequestError, match="tolerance=-1"):
        RankingClient.from_saved_model(
            folder, ClientOptions(state_tolerance=-1)
        )


def test_the_card_has_the_error_by_age(folder):
    card = json.loads((folder / "model_card.json").read_text())["user_state"]
    assert not card["reusable"]
    errors = card["score_error_by_age"]
    assert list(errors) == ["1", "10", "60", "600", "3600"]
    assert 0 < errors["1"] < errors["10"] < errors["60"] < errors["600"]
    text = (folder / "model_card.md").read_text()
    assert "exact only at the moment it was computed" in text
    assert f"600 s {errors['600']:.1e}" in text


def test_a_smaller_copy_reads_the_clock_too():
    rounded = round_ranker(fading_tower(), tables="bfloat16")
    for model in (fading_tower(), rounded):
        functions = ServedRanker(model).functions()
        inputs = functions["encode_user"].structured_input_signature[1]
        assert set(inputs) == {
            "click_item_id",
            "click_event_time",
            "click_length",
            "request_time",
        }
