"""A front end has no TensorFlow, and gets the same answers."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

from jd_tf.serving.client.request_log import read_request_log

ROOT = Path(__file__).resolve().parents[4]


def test_a_server_is_asked_without_tensorflow(
    server, two_versions, requests, tmp_path
):
    two_versions.schema.save(tmp_path / "schema.json")
    (tmp_path / "requests").write_bytes(pickle.dumps(requests))
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.without_tensorflow",
            "tests.serving.client.against_server.front_end",
            str(tmp_path),
            server.address,
            server.rest_url,
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "only a model in process needs TensorFlow\n"
    rankings = pickle.loads((tmp_path / "rankings").read_bytes())
    assert set(rankings) == {"grpc", "rest", "async"}
    for answers in rankings.values():
        for ranking, request in zip(answers, requests, strict=True):
            two_versions.check(ranking, request, 1)
    logged = list(read_request_log(tmp_path / "log", two_versions.schema))
    for read, request in zip(logged, requests, strict=True):
        np.testing.assert_array_equal(read["item_id"], request["item_id"])
    assert (tmp_path / "versions").read_text() == "1 2"
