"""A recommender from YAML: what works, and what is refused by name."""

import keras
import numpy as np
import pytest
import scipy.sparse

from jd_tf.models.retrieval.coarse_tower import CoarseConfig, CoarseTower
from jd_tf.models.retrieval.two_tower import TwoTower
from jd_tf.models.retrieval.two_tower_config import TwoTowerConfig
from jd_tf.pipeline.building import open_recommender
from jd_tf.pipeline.export.retrieval_export import ServedRetriever
from jd_tf.pipeline.item_statistics import ItemStatistics
from jd_tf.pipeline.recall.neighbor_table import NeighborTable
from jd_tf.schema import DataError
from tests.pipeline.shop import NUM_ITEMS, SCHEMA, catalogue, request
from tests.requests import small_schema

BASE = """
schema: schema.json
catalogue: catalogue.npz
statistics: statistics.npz
deadline: 3.0
recall:
  count: 30
  seconds: 1.0
  exclude: [order]
  channels:
    popular: {kind: popular, weight: 0.5}
    new: {kind: new, quota: 5}
    swing: {kind: neighbors, file: swing.npz, behaviors: {click: 1}}
    same_brand: {kind: same_value, column: brand_id}
"""
RERANK = """
rerank:
  count: 6
  seconds: 1.0
  rules:
    method: mmr
    quotas: [{column: category_id, most: 1}]
  items: {likeness: [category_id], new_feature: age, new_at_most: 9}
"""


@pytest.fixture
def folder(tmp_path):
    SCHEMA.save(tmp_path / "schema.json")
    items = catalogue()
    items.save(tmp_path / "catalogue.npz")
    rng = np.random.default_rng(0)
    ids = items.item_id
    ItemStatistics(
        ids, rng.integers(0, 99, NUM_ITEMS), rng.integers(0, 9, NUM_ITEMS)
    ).save(tmp_path / "statistics.npz")
    weights = scipy.sparse.random(
        NUM_ITEMS, NUM_ITEMS, 0.2, "csr", np.float32, rng
    )
    NeighborTable(ids, ids, weights).save(tmp_path / "swing.npz")
    return tmp_path


def opened(folder, text):
    path = folder / "recommender.yaml"
    path.write_text(text)
    return open_recommender(path)


def test_it_answers(folder):
    with opened(folder, BASE + RERANK) as found:
        user = request(2)
        answer = found.recommender.recommend(user)
        categories = found.catalogue.columns["category_id"]
    assert len(answer.item_id) == 6
    assert answer.degraded == ()
    assert not set(user["order_item_id"]) & set(answer.item_id.tolist())
    shown = categories[answer.item_id - 1].tolist()
    assert len(set(shown)) == 6
    channels = set()
    for item in answer.explanations:
        channels |= set(item["channels"])
    assert channels <= {"popular", "new", "swing", "same_brand"}
    assert "place" in answer.table().splitlines()[1]


def test_popular_items_are_the_fallback(folder):
    with opened(folder, BASE) as found:
        users = found.statistics.users
        recommender = found.recommender
        for channel in recommender._recall.channels:
            channel.recall = None
        answer = recommender.recommend(
            {**request(2), "order_item_id": []}
            | {
                f"order_{n}": []
                for n in ("category_id", "brand_id", "tag_id", "event_time")
            }
            | {"order_item_dense": np.zeros((0, 1))}
        )
    shown = users[answer.item_id - 1]
    assert (np.diff(shown) <= 0).all()
    assert shown[0] == users.max()
    assert answer.degraded == ("recall",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BASE + "coars: {}", "`coars`: no such key; did you mean `coarse`"),
        (BASE.replace("kind: new", "kind: fresh"), "one of popular, new"),
        (BASE.replace("kind: new", "kind: new, file: x"), "has no `file`"),
        (BASE.replace(", file: swing.npz", ""), "needs a `file`"),
        (BASE.replace("swing.npz", "gone.npz"), "gone.npz"),
        (BASE.replace("column: brand_id", "column: shop_id"), "no `shop_id`"),
        (BASE.replace("{click: 1}", "{look: 1}"), "no behaviour `look`"),
        (BASE.replace("[order]", "[buy]"), "no behaviour `buy`"),
        (BASE.replace("3.0", "0.5"), "more than the deadline of 0.5 s"),
        (BASE.replace("quota: 5", "quota: 50"), "quotas keep 50 places"),
        (BASE + "fine: {}", "names one of `saved_model`"),
        (BASE + "fine: {grpc: a:1, run: x}", "Got: grpc, run"),
        (BASE + "fine: {saved_model: gone}", "gone"),
        (BASE + "coarse: {folder: gone}", "no coarse model"),
        (BASE + "coarse: {}", "`coarse` names one of .*`folder`"),
        (BASE + "coarse: {saved_model: gone}", "gone: no such folder"),
        (BASE + "rerank: {vectors: gone.npz}", "gone.npz"),
        (BASE + "rerank: {}", "re-ranking reads `shop_id`"),
        (
            BASE + RERANK.replace("age", "colour"),
            "reads the feature `colour`",
        ),
        (BASE.replace("recall:", "recal:"), "did you mean `recall`"),
        ("[1, 2]", "must hold keys"),
        ("a: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_named(folder, text, message):
    with pytest.raises(DataError, match=message):
        opened(folder, text)


def test_an_approximate_index_is_a_number_in_the_file(folder, monkeypatch):
    """Visiting all lists it answers as exact search does."""
    pytest.importorskip("faiss")
    from jd_tf.pipeline import building

    keras.utils.set_random_seed(2)
    config = TwoTowerConfig.of(
        model_dim=8, feedforward_dim=8, num_encoder_layers=1
    )
    live = ServedRetriever(TwoTower(SCHEMA, config), catalogue(), 30)
    monkeypatch.setattr(building, "resolve", lambda path: path)
    monkeypatch.setattr(building, "LoadedModel", lambda path: live)
    monkeypatch.setattr(
        building.TwoTowerChannel,
        "load",
        lambda path, name: building.TwoTowerChannel(live, name),
    )
    text = BASE[: BASE.index("    popular")].replace(
        "count: 30", "count: 30\n  per_channel: 30"
    )
    answers = []
    for probes in (0, 99):
        line = f"    near: {{kind: two_tower, file: x, num_probes: {probes}}}\n"
        with opened(folder, text + line) as found:
            answers.append(found.recommender.recommend(request(2)))
    assert answers[0].item_id.tolist() == answers[1].item_id.tolist()
    assert [answer.degraded for answer in answers] == [(), ()]


def test_a_coarse_tower_of_other_data_is_refused(folder):
    sizes = CoarseConfig.of(vector_dim=2, hidden_units=2)
    keras.utils.set_random_seed(1)
    other = CoarseTower(small_schema(session_dense=()), sizes)
    (folder / "coarse").mkdir()
    other.save(folder / "coarse" / "coarse.keras")
    with pytest.raises(DataError, match="its schema differs in `session_den"):
        opened(folder, BASE + "coarse: {folder: coarse, seconds: 1}")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        open_recommender(tmp_path / "none.yaml")


def test_statistics_come_back(tmp_path):
    ids = np.array([b"a", b"b"], object)
    path = tmp_path / "statistics.npz"
    ItemStatistics(ids, np.array([3, 4]), np.array([7, 8])).save(path)
    found = ItemStatistics.load(path)
    assert found.item_id.tolist() == [b"a", b"b"]
    assert found.users.tolist() == [3, 4]
    np.savez(path, x=1)
    with pytest.raises(DataError, match="has no array `item_id`"):
        ItemStatistics.load(path)
