"""Retrieval from the prompt: train, evaluate, export."""

import re

import numpy as np
import pytest

from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.two_tower_channel import TwoTowerChannel
from tests.experiments.programs import error_line, run_program
from tests.training.retrieval.chains import ITEMS, ring_ids, write_ring


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ring")
    write_ring(path / "data")
    return path


@pytest.mark.slow
def test_trains_evaluates_and_exports(folder):
    data, run = folder / "data", folder / "run"
    finished = run_program(
        "train_retrieval",
        f"--data={data}",
        f"--workdir={run}",
        "--set=model.model_dim=16",
        "--set=model.num_encoder_layers=1",
        "--set=model.dropout_rate=0.1",
        "--set=training.learning_rate=0.01",
        "--set=training.table_learning_rate=0.01",
        "--set=training.batch_size=16",
        "--set=training.epochs=8",
        "--set=training.evaluate_every=48",
        "--set=training.progress=False",
    )
    assert finished.returncode == 0, finished.stderr
    assert "best ndcg@10" in finished.stdout
    kept = Catalogue.load(run / "catalogue.npz")
    assert kept.item_id.tolist() == ring_ids().tolist()

    finished = run_program(
        "evaluate_retrieval",
        f"--data={data}",
        f"--workdir={run}",
        "--split=validation",
    )
    assert finished.returncode == 0, finished.stderr
    found = re.findall(r"ndcg@10 +([0-9.]+)", finished.stdout)
    assert float(found[0]) > 0.8 > 0.5 > float(found[1])

    # An item that training did not know.
    more = Catalogue({"item_id": np.append(ring_ids(), 9000)})
    more.save(folder / "items.npz")
    finished = run_program(
        "export_retrieval",
        f"--items={folder / 'items.npz'}",
        f"--workdir={run}",
        f"--requests={data}",
        f"--output={folder / 'saved'}",
        "--count=99",
    )
    assert finished.returncode == 0, finished.stderr
    lists = TwoTowerChannel.load(folder / "saved" / "two_tower").recall(
        {
            "click_item_id": ring_ids()[2::-1][None],
            "click_event_time": np.array([[-1, -2, -3]]),
            "click_length": np.array([3], np.int32),
            "request_time": np.array([0]),
        },
        ITEMS + 1,
    )
    found = lists.item_id[0, : lists.length[0]].tolist()
    assert ring_ids()[3] in found[:3]
    assert set(found) == {*more.item_id} - {*ring_ids()[:3]}


def test_wrong_input_is_one_line(folder):
    data = f"--data={folder / 'data'}"
    finished = run_program(
        "train_retrieval", data, f"--workdir={folder}/x", "--set=model.width=3"
    )
    assert "no field `width`" in error_line(finished)
    finished = run_program("export_retrieval")
    assert "name one of --workdir and --coarse" in error_line(finished)
    finished = run_program("export_retrieval", f"--coarse={folder}")
    assert "--coarse needs --items" in error_line(finished)
