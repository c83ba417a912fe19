"""The how-to of own data: its commands as written, on the worked shop."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from jd_tf.data import make_dataset
from jd_tf.data.tables.snapshots.snapshot import Snapshot
from tests.conftest import ROOT
from tests.data.tables.records import read_requests

TEXT = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL)
SHOP = "examples/my_shop"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder where the commands of the page find the example."""
    folder = tmp_path_factory.mktemp("user")
    for name in ("make_shop.py", "shop.yaml"):
        (folder / SHOP).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / SHOP / name, folder / SHOP / name)
    run(folder, COMMANDS[0])
    return folder


def run(folder, command):
    environment = {
        "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    done = subprocess.run(
        command.replace("python ", f"{shlex.quote(sys.executable)} "),
        shell=True,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_configuration_is_short():
    assert len((ROOT / SHOP / "shop.yaml").read_text().splitlines()) <= 60


@pytest.mark.slow
def test_check_tables_prints_what_the_page_says(folder):
    assert "check_tables" in COMMANDS[1]
    printed = run(folder, COMMANDS[1])
    (expected,) = re.findall(r"^```text\n(.*?)```", TEXT, re.M | re.DOTALL)
    assert expected in printed
    assert len(re.findall(r"^  p\d+ of user u\d+ at", printed, re.M)) == 10


def test_the_dirt_of_the_shop(folder):
    """As the table of the page says."""
    config = folder / SHOP / "shop.yaml"
    data = folder / "made" / "data"
    summary = make_dataset("tables", data, config=config, num_processes=1)
    assert not summary["warnings"]
    requests = read_requests(data)
    assert len(requests) == 3000
    missing = gone = clicked = 0
    for request in requests.values():
        now = request["request_time"]
        for time in request["view_event_time"]:
            assert 120 < now - time <= 14 * 86_400
        for item, category, dense in zip(
            request["item_id"],
            request["category_id"],
            request["item_dense"],
            strict=True,
        ):
            assert (category == "missing") == ((item - 1001) % 25 == 0)
            assert (dense[0] == 0) == ((item - 1001) % 40 == 0)
            missing += category == "missing"
        unknown = [item >= 8000 for item in request["view_item_id"]]
        gone += sum(unknown)
        for other, category in zip(
            unknown, request["view_category_id"], strict=True
        ):
            assert not other or category == "missing"
        clicked += sum(label[0] for label in request["labels"])
    assert min(missing, gone, clicked) > 100

    # What a server needs of it.
    printed = run(folder, COMMANDS[3].replace("runs/my_shop/", "made/"))
    assert "rows of events: 6193" in printed
    assert len(Snapshot(folder / "made/snapshot").item_columns()) == 4


# Trains: minutes.
@pytest.mark.slow
def test_all_commands_of_the_page(folder):
    printed = [run(folder, command) for command in COMMANDS[1:]]
    assert "SavedModel" in printed[1]
    assert (folder / "runs" / "my_shop" / "model" / "report.html").exists()
    (code,) = re.findall(r"^```python\n(.*?)```", TEXT, re.M | re.DOTALL)
    assert "best 3 of 3" in run(folder, f"python -c '{code}'")
