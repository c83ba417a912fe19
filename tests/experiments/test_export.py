"""`python -m experiments.export`, from a training folder to a version."""

import json

import numpy as np

from jd_tf.data.records import RequestWriter
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import Behavior, IdColumn, Objective
from jd_tf.serving.client import SavedModelTransport
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.training_state import TrainingState
from jd_tf.training.named_variables import model_variables
from jd_tf.training.workdir import CHECKPOINTS, write_workdir
from tests.experiments.programs import run_program
from tests.requests import random_requests, small_schema
from tests.serving.exported import METRICS

SCHEMA = small_schema(
    item_columns=(IdColumn("item_id", num_buckets=50),),
    behaviors=(Behavior("click", max_length=4),),
    objectives=(Objective("click"),),
    item_dense=(),
    session_dense=(),
)


def export(*arguments, program="export"):
    return run_program(program, *arguments)


def write_run(workdir):
    """Two checkpoints, as training leaves them; the first was the best."""
    model = JDRanker(SCHEMA, JDRankerConfig.of(model_dim=8, num_experts=2))
    write_workdir(workdir, model, TrainingConfig())
    generator = np.random.default_rng(7)
    checkpoints = Checkpoints(workdir / CHECKPOINTS)
    best = None
    for step in (1, 2):
        for weight in model.trainable_weights:
            noise = generator.normal(0, 0.1, weight.shape)
            weight.assign(weight + noise.astype("float32"))
        best = best or [weight.numpy() for weight in model.weights]
        named = model_variables(model)
        checkpoints.write(
            step,
            {f"model/{name}": value for name, value in named.items()},
            TrainingState(step=step, best_step=1).to_json(),
        )
    for weight, value in zip(model.weights, best, strict=True):
        weight.assign(value)
    return model


def test_exports_the_best_weights_of_a_run(tmp_path):
    workdir, output = tmp_path / "run", tmp_path / "saved models"
    best = write_run(workdir)
    (workdir / "metrics.json").write_text(json.dumps(METRICS))
    requests = random_requests(SCHEMA, 9)
    with RequestWriter(tmp_path / "some.tfrecord", SCHEMA) as writer:
        for request in requests:
            writer.write(request)
    finished = export(
        f"--workdir={workdir}",
        f"--output={output}",
        f"--requests={tmp_path / 'some.tfrecord'}",
    )
    assert finished.returncode == 0, finished.stderr
    folder = output / "jd_ranker" / "1"
    assert finished.stdout.splitlines()[-1] == f"exported: {folder}"
    card = json.loads((folder / "model_card.json").read_text())
    assert card["metrics"] == METRICS
    ranker = SavedModelTransport(folder)
    assert ranker.schema == SCHEMA
    generator = np.random.default_rng(0)
    batch = {
        "click_length": np.int32([4, 2, 0]),
        "click_item_id": generator.integers(1, 99, (3, 4)),
        "click_event_time": -np.cumsum(np.ones((3, 4), "int64"), axis=1),
        "request_time": np.zeros(3, "int64"),
        "scenario": np.array([1, 2, 3]),
        "hour": np.array([4, 5, 6]),
        "num_candidates": np.int32([5, 5, 5]),
        "item_id": generator.integers(1, 99, (3, 5)),
    }
    score = ranker.model.call("serving_default", batch)["score"]
    np.testing.assert_allclose(score, best(batch)["score"], rtol=1e-5)
    assert np.ptp(score) > 1e-3
    check_by_program(folder)


def check_by_program(folder):
    """The program finds nothing, then each of two faults."""
    finished = export(folder, program="verify_export")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == f"{folder}: fit to be served\n"
    (folder / "batching_params.pbtxt").unlink()
    (folder / "variables" / "variables.index").unlink()
    finished = export(folder, program="verify_export")
    assert finished.returncode == 2
    lines = [line for line in finished.stderr.splitlines() if "error: " in line]
    assert any("batching_params.pbtxt: missing" in line for line in lines)
    assert any("has no variables" in line for line in lines)


def test_rounding_needs_a_data_folder(tmp_path):
    write_run(tmp_path / "run")
    finished = export(
        f"--workdir={tmp_path / 'run'}",
        f"--output={tmp_path / 'out'}",
        "--tables=int8",
    )
    assert finished.returncode == 2
    assert "name a data folder" in finished.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_is_one_line_and_code_2(tmp_path):
    finished = export(f"--workdir={tmp_path}", f"--output={tmp_path / 'out'}")
    assert finished.returncode == 2
    assert "holds no training run" in finished.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
