"""`python -m experiments.ablate`: a small one, killed in between."""

import dataclasses

import numpy as np
import pytest

from experiments import ablation_plan as plan
from experiments.presets import QUICKSTART_PRESETS
from experiments.train_ranker import train_ranker
from jd_tf.data.dataset import write_dataset
from jd_tf.data.item_vectors import ItemVectors
from jd_tf.evaluation.ablations.judge import RunJudge
from jd_tf.evaluation.ablations.rows import Row
from jd_tf.evaluation.ablations.runs import RESULT_FILE, Ablation
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError
from jd_tf.training.config import TrainingConfig
from tests.experiments.programs import (
    assert_help_is_light,
    error_line,
    run_program,
    tiny_schema,
)
from tests.requests import random_requests

SCHEMA = tiny_schema()
OWN_MODEL = """
from jd_tf.models.ranking.pooled_mmoe import PooledMMoE, PooledMMoEConfig
from jd_tf.models.registry import register_model

@register_model("own_mmoe", PooledMMoEConfig)
class Own(PooledMMoE):
    pass
"""
ROWS = "base: use_recency=False; + recency: use_recency=True"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a shop") / "data"
    splits = {
        "train": random_requests(SCHEMA, 48, seed=1),
        "validation": random_requests(SCHEMA, 16, seed=2),
        "test": random_requests(SCHEMA, 32, seed=3),
    }
    write_dataset(folder, SCHEMA, splits)
    return folder


def _run(data, workdir, *more):
    return run_program(
        "ablate",
        f"--data={data}",
        f"--workdir={workdir}",
        "--sizes=jd_micro/demo",
        "--common=model_dim=8,num_heads=1,expert_units=(4,)",
        "--seeds=1",
        "--epochs=1",
        "--batch_size=16",
        "--limit_requests=32",
        "--num_replicates=20",
        "--noprogress",
        *more,
    )


@pytest.mark.slow
def test_rows_and_seeds_become_tables(data, tmp_path):
    workdir = tmp_path / "an ablation"
    finished = _run(data, workdir, "--rows=base: use_recency=False")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("== run") == 1
    run = workdir / "runs" / "base" / "seed-1"
    assert (run / "result.json").is_file()
    assert not (run / "checkpoints").exists()
    table = (workdir / "ablation.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 4
    page = (workdir / "ablation.html").read_text()
    assert '<td>train requests</td><td class="wrap">32</td>' in page


@pytest.mark.slow
def test_a_model_of_the_users_own_file(data, tmp_path):
    module = tmp_path / "own.py"
    module.write_text(OWN_MODEL)
    flags = ("--model=own_mmoe", "--rows=base:", f"--model_module={module}")
    finished = _run(data, tmp_path / "w", *flags, "--common=num_experts=2")
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "w" / "runs" / "base" / "seed-1/result.json").is_file()
    module.write_text(f"{OWN_MODEL}# changed")
    other = _run(data, tmp_path / "w", *flags, "--common=num_experts=2")
    assert "made with model_module" in error_line(other)
    missing = _run(data, tmp_path / "v", *flags[:2], "--model_module=no.py")
    assert "no.py: no such file" in error_line(missing)


@pytest.mark.slow
def test_finished_runs_are_not_made_again(data, tmp_path):
    first = _run(data, tmp_path / "w", f"--rows={ROWS}")
    assert first.returncode == 0, first.stderr
    again = _run(data, tmp_path / "w", f"--rows={ROWS}", "--seeds=1,2")
    assert again.returncode == 0, again.stderr
    assert "2 runs are finished already" in again.stdout
    assert again.stdout.count("== run") == 2
    other = error_line(
        _run(data, tmp_path / "w", f"--rows={ROWS}", "--epochs=2")
    )
    assert "training: epochs = 1, not 2" in other


@pytest.mark.slow
def test_a_run_that_lost_its_result_is_judged_again(data, tmp_path):
    config = JDRankerConfig.of(model_dim=8, num_heads=1, expert_units=(4,))
    training = TrainingConfig(batch_size=16, progress=False)
    steps = []

    def train(found, seed, folder):
        seeded = dataclasses.replace(training, seed=seed)
        steps.append(train_ranker(data, folder, found, seeded))

    rows = (Row("base", {}),)
    judge = RunJudge(data, num_replicates=5)
    ablation = Ablation(tmp_path / "run", {}, config, rows, (1,))
    first = ablation.run(train, judge)
    (ablation.folder(rows[0], 1) / RESULT_FILE).unlink()
    again = ablation.run(train, judge)
    # Resumed at its last step, the weights are those judged before.
    assert steps == [3, 3]
    for part in ("metrics", "replicates", "fingerprint"):
        assert first["base", 1][part] == again["base", 1][part]
    shown = first["base", 1]["metrics"]
    cold = shown["cold"]["click"]["num_impressions"]
    assert cold <= shown["all"]["click"]["num_impressions"]


def test_an_unusable_row_is_one_line_and_nothing_is_made(data, tmp_path):
    finished = _run(data, tmp_path / "w", "--rows=a: use_magic=True")
    assert "row `a`: JDRankerConfig has no field `use_magic`" in error_line(
        finished
    )
    assert not (tmp_path / "w").exists()


def test_help_does_not_wait_for_tensorflow():
    assert_help_is_light("ablate")


def test_sizes_are_a_preset_with_changes():
    model, training = plan.choose_sizes(
        "simulator/demo",
        "model_dim=8",
        {"epochs": 2, "batch_size": None},
    )
    preset = QUICKSTART_PRESETS["simulator", "demo"]
    assert model == replace_fields(preset.model, {"model_dim": 8})
    assert training == dataclasses.replace(preset.training, epochs=2)
    with pytest.raises(
        DataError, match=r"no sizes `shop/demo`.*simulator/demo"
    ):
        plan.choose_sizes("shop/demo", "", {})


def test_pairs_and_seeds_are_checked():
    rows = (Row("base", {}), Row("+ position", {}), Row("x", {}))
    assert plan.choose_pairs("x: base;", rows) == [("x", "base")]
    for text in ("x", "x: y"):
        with pytest.raises(DataError, match="--pairs are written"):
            plan.choose_pairs(text, rows)
    assert plan.parse_seeds(["3", "5"]) == (3, 5)
    with pytest.raises(DataError, match="--seeds"):
        plan.parse_seeds(["one"])


def test_requests_are_counted_as_they_will_be_used(data):
    counts = plan.count_requests(data, "test", {"train": 10, "test": 0})
    assert counts == {"train": 10, "validation": 16, "test": 32}
    with pytest.raises(DataError, match="no requests of split `late`"):
        plan.count_requests(data, "late", {})


@pytest.mark.slow
def test_item_vectors_of_other_ids_are_refused_before_training(data, tmp_path):
    path = tmp_path / "vectors.npz"
    vectors = np.ones((2, 3), np.float32)
    ItemVectors(np.array(["a", "b"]), vectors).save(path)
    rows = "--rows=base: use_images=''; + images: use_images=concat"
    for name, message in (("none.npz", "no such file"), (path, "are string")):
        vectors = f"--item_vectors={tmp_path / name}"
        assert message in error_line(_run(data, tmp_path / "w", rows, vectors))
    assert not (tmp_path / "w").exists()


def test_rows_the_data_cannot_feed_are_refused_or_left_out():
    with pytest.raises(DataError, match="give one of --rows"):
        plan.choose_rows(None, None, None, SCHEMA, False)
    with pytest.raises(DataError, match="row `a` needs item vectors"):
        plan.choose_rows("a: use_images=concat", None, None, SCHEMA, False)
    kept, notes = plan.choose_rows(None, None, "all", SCHEMA, False)
    assert [row.name for row in kept][-1] == "+ second order"
    assert notes
    with pytest.raises(DataError, match="nothing to compare"):
        plan.choose_rows(None, None, "fine_grained", SCHEMA, False)
