"""A ranker of amounts, exported and asked by a client."""

import json

import numpy as np
import pytest

from jd_tf.data.validation import RequestValidator
from jd_tf.models import PooledMMoE
from jd_tf.serving.client import RankingClient, SavedModelTransport
from tests.experiments.programs import tiny_schema
from tests.models.test_jd_ranker import batch_of, moved
from tests.requests import AMOUNTS, random_requests
from tests.serving.exported import export_in_process

SCHEMA = tiny_schema(*AMOUNTS)
METRICS = {"test": {"pooled_mmoe": {"paid": {"relative_deviance": 0.8125}}}}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    requests = random_requests(SCHEMA, 6, seed=9)
    model = moved(PooledMMoE(SCHEMA))
    model.adapt([batch_of(requests, SCHEMA)])
    folder = tmp_path_factory.mktemp("served")
    return model, export_in_process(
        model, folder, requests=requests, metrics=METRICS
    )


def test_a_client_gets_amounts_by_name(served):
    model, folder = served
    request = random_requests(SCHEMA, 1, seed=4)[0]
    client = RankingClient(SavedModelTransport(folder), SCHEMA)
    ranking = client.rank(request)
    checked = RequestValidator(SCHEMA).check(request)
    batch = {name: np.asarray(value)[None] for name, value in checked.items()}
    live = {name: out.numpy()[0] for name, out in model(batch).items()}
    for name in ("amounts", "probabilities"):
        found = getattr(ranking, name)
        assert found.shape == (len(request["item_id"]), 2)
        np.testing.assert_allclose(found, live[name][ranking.order], 1e-5)
    item = ranking.to_json()["items"][0]
    assert list(item["probabilities"]) == ["click", "order"]
    assert item["amounts"]["paid"] == pytest.approx(ranking.amounts[0, 1])
    assert "dwell" in ranking.table()
    nothing = {n: v for n, v in request.items() if "label" not in n}
    nothing["item_id"] = nothing["item_id"][:0]
    assert client.rank(nothing).amounts.shape == (0, 2)
    with pytest.raises(Exception, match=r"no amounts|shape"):
        RankingClient(
            SavedModelTransport(folder), tiny_schema(*AMOUNTS[:2])
        ).rank(request)


def test_the_model_card_names_amounts(served):
    _, folder = served
    card = (folder / "model_card.md").read_text("utf-8")
    assert "paid (0.1 a unit of this amount)" in card
    assert "| relative_deviance |" in card
    assert "| paid | 0.8125 |" in card
    schema = json.loads((folder / "assets.extra" / "schema.json").read_text())
    assert schema["objectives"][3]["kind"] == "amount"
