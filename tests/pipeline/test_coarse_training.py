"""The coarse tower learns a teacher's order, and the stage uses it."""

import dataclasses

import numpy as np
import pytest

from jd_tf.data.dataset import write_dataset
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.coarse_training import (
    CoarseConfig,
    CoarseTraining,
    distil,
    train_coarse,
)
from jd_tf.pipeline.stages.coarse_stage import CoarseStage
from jd_tf.pipeline.stages.stage import ScoredItems, UserRequest
from jd_tf.schema import Behavior, DataError, IdColumn, Objective, Schema
from jd_tf.serving.client.ranking import make_ranking

NUM_ITEMS, NUM_CATEGORIES = 60, 6
SCHEMA = Schema(
    name="taste",
    item_columns=(
        IdColumn("item_id", num_buckets=200),
        IdColumn("category_id", vocabulary=tuple(range(1, 7))),
    ),
    behaviors=(Behavior("click", max_length=5),),
    objectives=(Objective("click"), Objective("order", value=9.0)),
    max_candidates=4,
    context_columns=(IdColumn("scenario", dtype="string", num_buckets=9),),
)
IDS = np.arange(1, NUM_ITEMS + 1)


def category(item_id):
    return 1 + np.asarray(item_id) % NUM_CATEGORIES


def teacher_score(request, item_id):
    """Items of clicked categories, and small ids among equals."""
    match = np.isin(category(item_id), request["click_category_id"])
    return np.where(match, 5.0, 0.5) + 0.2 * (NUM_ITEMS - item_id) / NUM_ITEMS


class Teacher:
    """A client that ranks by the formula; remembers what it was asked."""

    def __init__(self):
        # Of a client that ranks more candidates at once.
        self.schema = dataclasses.replace(SCHEMA, max_candidates=99)
        self.asked = []

    def rank(self, request, timeout):
        assert timeout > 0
        self.asked.append(request)
        score = teacher_score(request, request["item_id"]).astype("float32")
        answer = {"score": score, "probabilities": score[:, None] / 9}
        return make_ranking(0, request["item_id"], answer, ("click",))


def request(number):
    rng = np.random.default_rng(number)
    clicked = rng.choice(IDS, 2, replace=False)
    shown = rng.choice(IDS, 3, replace=False)
    return {
        "request_id": number,
        "user_id": f"u{number % 7}",
        "request_time": 1000 + number,
        "scenario": "feed",
        "click_item_id": clicked,
        "click_category_id": category(clicked),
        "click_event_time": [990, 980],
        "item_id": shown,
        "category_id": category(shown),
        "labels": np.array([[1, 1], [0, 0], [0, 0]]),
        "label_weights": np.ones((3, 2)),
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("taste") / "data"
    requests = [request(number) for number in range(300)]
    splits = {"train": requests[:280], "validation": requests[280:]}
    write_dataset(folder, SCHEMA, splits)
    return folder


@pytest.fixture
def catalogue():
    return Catalogue({"item_id": IDS, "category_id": category(IDS)})


def test_targets_are_the_teachers_scores_and_the_labels(data, catalogue):
    client = Teacher()
    training = CoarseTraining(num_requests=20, num_sampled=15)
    found = distil(data, catalogue, client, training, progress=False)
    assert len(client.asked) == len(found.rows) == 20
    for asked, rows, target in zip(
        client.asked, found.rows, found.targets, strict=True
    ):
        real = target[:, 2] > 0
        ids = IDS[rows[real]]
        assert len(set(ids.tolist())) == len(ids) == len(asked["item_id"])
        np.testing.assert_allclose(
            target[real, 0], teacher_score(asked, ids), rtol=1e-6
        )
        # A click and an order of the first item shown: 1 + 9.
        assert target[0, 1] == 10.0
        assert not target[1:, 1].any()
        assert not target[~real].any()


def test_it_learns_the_teachers_order(data, catalogue, tmp_path):
    config = CoarseConfig.of(
        vector_dim=8,
        item_embedding_dim=4,
        feature_embedding_dim=8,
        hidden_units=16,
    )
    training = CoarseTraining(
        num_requests=280,
        num_sampled=30,
        epochs=12,
        batch_size=20,
        learning_rate=0.01,
        table_learning_rate=0.01,
    )
    folder = tmp_path / "coarse"
    model = train_coarse(
        data, folder, catalogue, Teacher(), config, training, progress=False
    )
    stage = CoarseStage.load(folder, catalogue)
    everything = ScoredItems(IDS, np.zeros(NUM_ITEMS))
    kept = []
    for number in range(1000, 1020):
        columns = request(number)
        batch = {
            "click_length": np.array([2], "int32"),
            "scenario": np.array([b"feed"], object),
            **{
                name: columns[name][None]
                for name in ("click_item_id", "click_category_id")
            },
        }
        user = UserRequest(columns, batch)
        found = stage.order(user, everything, 25, 1.0)
        scores = stage.vectors @ stage.user_vector(batch)
        best_first = np.sort(scores)[::-1]
        np.testing.assert_allclose(found.score, best_first[:25], rtol=1e-5)
        np.testing.assert_allclose(
            found.score, scores[found.item_id - 1], rtol=1e-5
        )
        assert len(set(found.item_id.tolist())) == 25
        best = IDS[np.argsort(-teacher_score(columns, IDS))[:10]]
        kept.append(np.isin(best, found.item_id).mean())
    # By chance 25 of 60.
    assert np.mean(kept) > 0.8
    assert stage.schema == SCHEMA
    # What was trained is what was loaded.
    again = CoarseStage(model, catalogue)
    np.testing.assert_allclose(again.vectors, stage.vectors, rtol=1e-5)


def test_fewer_items_than_asked(data, catalogue, tmp_path):
    training = CoarseTraining(num_requests=5, num_sampled=5, epochs=1)
    model = train_coarse(
        data, tmp_path, catalogue, Teacher(), None, training, progress=False
    )
    batch = {
        "click_length": np.array([0], "int32"),
        "click_item_id": np.zeros((1, 1), np.int64),
        "click_category_id": np.zeros((1, 1), np.int64),
        "scenario": np.array([b"x"], object),
    }
    stage = CoarseStage(model, catalogue)
    few = ScoredItems(np.array([5, 9, 7]), np.zeros(3))
    found = stage.order(UserRequest({}, batch), few, 10, 1.0)
    assert sorted(found.item_id.tolist()) == [5, 7, 9]


def test_a_folder_without_a_model(catalogue, tmp_path):
    with pytest.raises(DataError, match="no coarse model"):
        CoarseStage.load(tmp_path, catalogue)
