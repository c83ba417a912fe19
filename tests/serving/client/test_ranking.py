"""The order of a ranking, and its table and JSON."""

import json

import numpy as np

from jd_tf.serving.client.ranking import make_ranking

SCORES = np.array([1.0, 2.0, 1.0, 2.0, 1.0], "float32")
IDS = np.array([b"a", b"b", b"c", b"d", "é".encode()], object)


def test_equal_scores_keep_request_order():
    answer = {"score": SCORES, "probabilities": SCORES[:, None] / 4}
    ranking = make_ranking(np.int64(5), IDS, answer, ("click",))
    assert ranking.order.tolist() == [1, 3, 0, 2, 4]
    plain = json.loads(json.dumps(ranking.to_json(top=3)))
    assert plain["request_id"] == 5
    assert plain["num_candidates"] == 5
    assert plain["items"][2] == {
        "rank": 3,
        "item_id": "a",
        "score": 1.0,
        "probabilities": {"click": 0.25},
    }
    lines = ranking.table(top=2).splitlines()
    assert lines[0] == "request 5: best 2 of 5"
    assert lines[1].split() == ["rank", "item_id", "score", "click"]
    assert lines[3].split() == ["2", "d", "2", "0.5000"]
    assert len({len(line) for line in lines[1:]}) == 1
    assert "é" in ranking.table()
