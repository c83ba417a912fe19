"""Channel weights are fitted on users apart, and only where they find more."""

import numpy as np
import pytest
import scipy.sparse

from jd_tf.data.dataset import write_dataset
from jd_tf.pipeline.building import open_recommender
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.channel_tuning import tune_channels, tuning_text
from jd_tf.pipeline.item_statistics import ItemStatistics
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.schema import DataError
from tests.serving.tiny_ranker import SCHEMA

NUM_ITEMS, COUNT = 40, 12
IDS = np.arange(1, NUM_ITEMS + 1)
CONFIG = """
schema: schema.json
catalogue: catalogue.npz
statistics: statistics.npz
deadline: 30.0
recall:
  count: 12
  per_channel: 20
  seconds: 20.0
  channels:
    popular: {kind: popular, weight: 0.5}
    ring: {kind: neighbors, file: ring.npz, weight: 0.1}
    noise: {kind: neighbors, file: noise.npz, weight: 3.0}
    new: {kind: new, quota: 2, weight: 2.0}
"""


def next_of(item):
    """The item that a user goes on to from an item."""
    return item % NUM_ITEMS + 1


def logged(number):
    rng = np.random.default_rng(number)
    click = rng.choice(IDS, 3, replace=False)
    other = rng.choice(np.setdiff1d(IDS, next_of(click[:1])))
    shown = np.array([other, next_of(click[0])])
    labels = np.array([[0.0, 0.0], [1.0, 0.0]])
    return {
        "request_id": number,
        "user_id": f"u{number % 60}",
        "request_time": 1000 + number,
        "click_item_id": click,
        "click_event_time": 990 + number - np.arange(3),
        "item_id": shown,
        "labels": labels,
        "label_weights": np.ones((2, 2)),
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log") / "data"
    requests = [logged(number) for number in range(130)]
    splits = {"train": requests[:1], "validation": requests[1:]}
    write_dataset(folder, SCHEMA, splits)
    return folder


@pytest.fixture
def path(tmp_path):
    SCHEMA.save(tmp_path / "schema.json")
    Catalogue({"item_id": IDS}).save(tmp_path / "catalogue.npz")
    rng = np.random.default_rng(0)
    users = rng.permutation(NUM_ITEMS)
    ItemStatistics(IDS, users, users).save(tmp_path / "statistics.npz")
    ring = scipy.sparse.csr_matrix(
        (np.ones(NUM_ITEMS), (IDS - 1, next_of(IDS) - 1)), dtype=np.float32
    )
    NeighborTable(IDS, IDS, ring).save(tmp_path / "ring.npz")
    noise = scipy.sparse.random(
        NUM_ITEMS, NUM_ITEMS, 0.5, "csr", np.float32, rng
    )
    NeighborTable(IDS, IDS, noise).save(tmp_path / "noise.npz")
    path = tmp_path / "recommender.yaml"
    path.write_text(CONFIG)
    return path


def test_what_finds_nothing_loses_its_weight(data, path):
    found = tune_channels(path, data, 60, progress=False)
    assert found["changed"]
    # Catalogue of 40, 12 passed on.
    assert found["places"] == [1, 4, 12]
    assert found["users"] == 30
    # The next item of the newest click is always the one that is wanted.
    assert found["hits"]["ring"] == [1.0, 1.0, 1.0]
    assert found["hits"]["tuned"][0] == 1.0 > found["hits"]["before"][0]
    assert found["hits"]["tuned without ring"][0] < 0.5
    assert found["weights"]["noise"] == 0 < found["weights"]["ring"]
    assert "noise" in tuning_text(found)
    with open_recommender(path) as opened:
        channels = opened.config.recall.channels
        # Without weight, but with places kept; noise has neither.
        assert set(channels) == {"popular", "ring", "new"}
        assert channels["new"].quota == 2
        assert opened.config.recall.merge().weights == {
            name: found["weights"][name] for name in channels
        }
        user = {k: v for k, v in logged(500).items() if "click" in k}
        answer = opened.recommender.recommend({**user, "request_time": 2000})
        assert answer.item_id[0] == next_of(user["click_item_id"][0])
        # Who has no history gets popular items, not two new ones alone.
        nobody = {name: [] for name in user}
        answer = opened.recommender.recommend({**nobody, "request_time": 2000})
        assert len(answer.item_id) == COUNT
        assert answer.degraded == ()


def test_the_same_again_and_never_a_loss(data, path):
    first = tune_channels(path, data, 60, progress=False)
    text = path.read_text()
    again = tune_channels(path, data, 60, progress=False)
    assert not again["changed"]
    assert again["hits"]["before"] == again["hits"]["tuned"]
    assert "left as before" in tuning_text(again)
    assert path.read_text() == text
    path.write_text(CONFIG)
    assert tune_channels(path, data, 60, progress=False) == first


def test_too_few_users_are_refused(data, path, tmp_path):
    with pytest.raises(DataError, match=r"has 1 users who want.*tune_users=0"):
        tune_channels(path, data, 60, split="train", progress=False)
    path.write_text(CONFIG.replace("count: 12", "count: 12\n  by: place"))
    with pytest.raises(DataError, match='`by` must be "rank" or "score"'):
        tune_channels(path, data, progress=False)
