"""`python -m experiments.rank`, as a person runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments.programs import run_program
from tests.serving.exported import exported
from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.start import model_server

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


def rank(*arguments, tensorflow=True):
    if tensorflow:
        return run_program("rank", *arguments)
    program = ["tests.without_tensorflow", "experiments.rank"]
    return subprocess.run(
        [sys.executable, "-m", *program, *map(str, arguments)],
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


@pytest.mark.slow
def test_a_closed_pipe_costs_no_result(folder, requests, tmp_path):
    """As of `| head -1`, whose reader goes early."""
    read, write = os.pipe()
    os.close(read)
    output = tmp_path / "top.json"
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "experiments.rank"),
            f"--saved_model={folder}",
            f"--requests={requests}",
            f"--output={output}",
        ],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    os.close(write)
    assert finished.returncode == 141
    assert "Traceback" not in finished.stderr
    assert "BrokenPipe" not in finished.stderr
    assert json.loads(output.read_text())


def test_bad_input_is_one_line_and_code_2(folder, requests, tmp_path):
    wrong = json.loads(requests.read_text())
    del wrong[1]["order_event_time"]
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
    assert "`order_event_time`" in last
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    assert not output.exists()


@pytest.fixture(scope="module")
def server(folder):
    config = model_config("jd_ranker", folder.parent)
    with model_server(config, warm=False) as server:
        yield server


@pytest.mark.parametrize(
    "transport", ["grpc", pytest.param("rest", marks=pytest.mark.slow)]
)
def test_servers_answer_the_same(transport, server, folder, requests, tmp_path):
    output, expected = tmp_path / "ranked.json", tmp_path / "expected.json"
    in_process = rank(
        f"--saved_model={folder}",
        f"--requests={requests}",
        f"--output={expected}",
    )
    address = server.address if transport == "grpc" else server.rest_url
    finished = rank(
        f"--{transport}={address}",
        f"--schema={folder}",
        "--version=1",
        "--timeout=60",
        f"--requests={requests}",
        f"--output={output}",
        tensorflow=False,
    )
    assert finished.returncode == 0, finished.stderr
    first, *tables = finished.stdout.splitlines()
    assert first == f"{address}: jd_ranker (version 1): 6 requests"
    assert len(tables) == len(in_process.stdout.splitlines()) - 1
    answers = json.loads(output.read_text())
    for answer, wanted in zip(
        answers, json.loads(expected.read_text()), strict=True
    ):
        scores = [item.pop("score") for item in answer["items"]]
        assert scores == pytest.approx(
            [item.pop("score") for item in wanted["items"]], rel=1e-4
        )
        for item, other in zip(answer["items"], wanted["items"], strict=True):
            assert item.pop("probabilities") == pytest.approx(
                other.pop("probabilities"), rel=1e-3, abs=1e-6
            )
        answer.pop("fusion_weights", None)
        wanted.pop("fusion_weights", None)
        assert answer == wanted


def test_servers_errors_are_one_line_and_code_2(server, folder, requests):
    common = f"--grpc={server.address}", f"--requests={requests}"
    for arguments, message in (
        (common, "a server does not send its schema"),
        ((*common, f"--schema={folder}", "--label=beta"), "label: beta"),
        (
            ("--grpc=localhost:1", f"--schema={folder}", common[1]),
            "UNAVAILABLE",
        ),
    ):
        finished = rank(*arguments)
        assert finished.returncode == 2, finished.stderr
        last = finished.stderr.splitlines()[-1]
        assert last.startswith("error: ")
        assert message in last
        assert "Traceback" not in finished.stderr
    assert rank(f"--requests={requests}").returncode == 2
