"""`python -m experiments.rank`, as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.exported import exported

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder():
    return exported().folder


@pytest.fixture
def requests(tmp_path):
    as_lists = [
        {
            name: value.tolist() if hasattr(value, "tolist") else value
            for name, value in request.items()
        }
        for request in exported().requests
    ]
    path = tmp_path / "requests.json"
    path.write_text(json.dumps(as_lists))
    return path


def rank(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.rank", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_ranks_a_file_with_the_folder_alone(folder, requests, tmp_path):
    output = tmp_path / "new" / "ranked.json"
    finished = rank(
        f"--saved_model={folder.parent}",
        f"--requests={requests}",
        "--top=2",
        f"--output={output}",
    )
    assert finished.returncode == 0, finished.stderr
    answers = json.loads(output.read_text())
    assert len(answers) == len(exported().requests)
    for number, answer in enumerate(answers):
        request = exported().requests[number]
        assert answer["request_id"] == number
        assert answer["num_candidates"] == len(request["item_id"])
        scores = [item["score"] for item in answer["items"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == min(2, answer["num_candidates"])
        assert f"request {number}: best {len(scores)} of" in finished.stdout
        for item in answer["items"]:
            assert item["item_id"] in request["item_id"]
            assert set(item["probabilities"]) == {"click", "cart", "order"}
            assert f"{item['score']:.6g}" in finished.stdout


def test_bad_input_is_one_line_and_code_2(folder, requests, tmp_path):
    wrong = json.loads(requests.read_text())
    del wrong[1]["order_age_seconds"]
    requests.write_text(json.dumps(wrong))
    output = tmp_path / "ranked.json"
    finished = rank(
        f"--saved_model={folder}",
        f"--requests={requests}",
        f"--output={output}",
    )
    assert finished.returncode == 2
    last = finished.stderr.splitlines()[-1]
    assert last.startswith(f"error: {requests}: request 1 (id 1): missing:")
    assert "`order_age_seconds`" in last
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    assert not output.exists()
