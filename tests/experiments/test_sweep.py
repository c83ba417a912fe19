"""`python -m experiments.sweep`, and the files of configs it shares."""

import dataclasses
import json

import pandas as pd
import pytest

from experiments.run_config import (
    apply_fields,
    parse_sets,
    read_run_config,
    write_run_config,
)
from experiments.zoo_cells import cell_configs, preset_of
from jd_tf.data.dataset import write_dataset
from jd_tf.models.config_fields import flat_fields, replace_fields
from jd_tf.models.registry import get_model
from jd_tf.schema import DataError, Objective
from jd_tf.training.config import TrainingConfig
from tests.experiments.programs import (
    ROOT,
    assert_help_is_light,
    error_line,
    run_program,
    tiny_schema,
)
from tests.requests import random_requests

optuna = pytest.importorskip("optuna", reason="no Optuna: jd_tf[sweep]")
SCHEMA = tiny_schema(Objective("click"))
SEARCH = (
    "training.learning_rate=log:1e-4:1e-2",
    "head.dropout_rate=0:0.4",
    "items.model_dim=8|16",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop") / "data"
    splits = {
        "train": random_requests(SCHEMA, 64, seed=1),
        "validation": random_requests(SCHEMA, 32, seed=2),
    }
    write_dataset(folder, SCHEMA, splits)
    return folder


def base_of(data):
    _, config, training = cell_configs("pooled_mmoe", preset_of(data), 1, {})
    return {
        "model": replace_fields(config, {"expert_units": "(8,)"}),
        "training": dataclasses.replace(
            training, epochs=1, batch_size=16, log_every=2, steps_per_call=2
        ),
    }


def sweep(data, workdir, texts=SEARCH, sampler="random"):
    from experiments.search import Sweep, parse_space

    base = base_of(data)
    space = parse_space(texts, base)
    return Sweep(data, workdir, "pooled_mmoe", base, space, sampler, 3, {})


def table(workdir):
    found = pd.read_csv(workdir / "sweep.csv")
    return found.drop(columns=["seconds"])


@pytest.mark.slow
def test_a_killed_search_comes_to_what_it_would_have(
    data, tmp_path, monkeypatch
):
    whole = sweep(data, tmp_path / "whole")
    best = whole.run(2)
    found = table(tmp_path / "whole")
    values = found["auc/click"].to_list()
    assert values == sorted(values, reverse=True)
    assert found["training.learning_rate"].nunique() == len(values) == 2
    assert best.value == values[0]
    assert not list((tmp_path / "whole").glob("trials/*/checkpoints"))

    from experiments import search

    train, calls = search.train, []

    def killed(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(search, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep(data, tmp_path / "killed").run(2)
    again = sweep(data, tmp_path / "killed")
    assert len(again.trials) == 1
    again.run(2)
    # The killed trial again, the finished one not.
    assert [call[1].name for call in calls] == ["000", "001", "001"]
    assert calls[1][3:] == calls[2][3:]
    pd.testing.assert_frame_equal(table(tmp_path / "killed"), found)

    with pytest.raises(DataError, match=r"other settings: `sampler`"):
        sweep(data, tmp_path / "killed", sampler="tpe")


def test_fields_that_do_not_go_together_are_a_row(data, tmp_path):
    texts = ["head.expert_units=(8,)|()", "training.max_gradient_norm=1|2"]
    search = sweep(data, tmp_path, texts)
    assert {*search.space} == {
        "model.head.expert_units",
        "training.max_gradient_norm",
    }
    for units in ("()", "(8,)"):
        search.study.enqueue_trial(
            {
                "model.head.expert_units": units,
                "training.max_gradient_norm": "1",
            }
        )
    with pytest.raises(DataError, match=r"no trial could be .*expert_units"):
        search.run(1)
    search.run(2)
    errors = table(tmp_path)["error"]
    assert errors.isna().tolist() == [True, False]


def test_the_program_writes_what_train_reads(data, tmp_path):
    workdir = tmp_path / "sweep"
    finished = run_program(
        "sweep",
        f"--data={data}",
        f"--workdir={workdir}",
        "--model=pooled_mmoe",
        "--num_trials=1",
        "--search=items.model_dim=8|16",
        "--search=learning_rate=log:1e-4:1e-2",
        "--set=training.epochs=1",
        "--set=head.expert_units=(8,)",
    )
    assert "no field `learning_rate`" in error_line(finished)
    assert not workdir.exists()
    search = sweep(data, workdir)
    search.run(1)
    assert list((workdir / "trials/000").glob("events.out*"))
    best = workdir / "best.yaml"
    assert best.read_text().startswith("# python -m experiments.sweep")
    given = read_run_config(best)
    (trial,) = search.trials
    assert given.model == "pooled_mmoe"
    chosen = search.configs(trial.params)
    entry = get_model(given.model)
    assert (
        replace_fields(entry.config_class(), given.fields["model"])
        == chosen["model"]
    )
    # At the prompt one field wins.
    finished = run_program(
        "train",
        f"--data={data}",
        f"--workdir={tmp_path / 'run'}",
        f"--config={best}",
        "--batch_size=32",
    )
    assert finished.returncode == 0, finished.stderr
    stored = json.loads((tmp_path / "run/config.json").read_text())
    expected = dataclasses.asdict(chosen["training"])
    # -1, "to the end", as the number of steps that it came to.
    expected |= {"batch_size": 32, "decay_steps": 2}
    assert stored["training"] == json.loads(json.dumps(expected))
    assert stored["model"]["config"]["head"]["expert_units"] == [8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("items.model_dim", "write FIELD=LOW:HIGH or A"),
        ("training.rate=0:1", "has no field `rate`"),
        ("training.learning_rate=log:0:1", "log=True"),
        ("training.learning_rate=2:1", "low.* high"),
        ("training.learning_rate=a:b", "`learning_rate` must be float"),
        ("training.learning_rate=0.1", "write LOW:HIGH"),
        ("training.balance=fixed:grad_norm", "only numbers have a range"),
        ("training.monitor=auc|gauc", "need one metric"),
    ],
)
def test_what_cannot_be_searched(data, tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        sweep(data, tmp_path / "none", [text])
    assert not (tmp_path / "none").exists()


def test_a_field_twice_and_whole_numbers(data, tmp_path):
    with pytest.raises(DataError, match="is there twice"):
        sweep(data, tmp_path, ["model_dim=8|16", "items.model_dim=8:16"])
    space = sweep(data, tmp_path, ["training.batch_size=log:8:64"]).space
    assert space == {
        "training.batch_size": optuna.distributions.IntDistribution(
            8, 64, log=True
        )
    }


def test_files_of_configs(tmp_path):
    path = tmp_path / "one.yaml"
    config = replace_fields(
        get_model("deep_fm").config_class(), {"hidden_units": "(64, 32)"}
    )
    write_run_config(path, "deep_fm", config, TrainingConfig(), ["reached: 1"])
    found = read_run_config(path)
    assert (
        replace_fields(
            get_model("deep_fm").config_class(), found.fields["model"]
        )
        == config
    )
    assert "progress" not in found.fields["training"]
    assert {*found.fields["model"]} == {*flat_fields(config)}
    assert parse_sets(["training.epochs=3", "heads=2"]) == {
        "model": {"heads": "2"},
        "training": {"epochs": "3"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [", "no readable YAML file"),
        ("modle: din", "must have the keys model, config, training"),
        ("config: [1]", "`config` must be fields"),
        ("training: {learning_rat: 1}", "has no field `learning_rat`"),
        ("training: {learning_rate: fast}", "`learning_rate` must be float"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)

    def read():
        fields = read_run_config(path).fields
        return apply_fields(path, TrainingConfig(), fields, "training")

    with pytest.raises(DataError, match=f"{path}.*{message}"):
        read()


def test_a_file_of_another_model_is_one_line(data, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("model: din\nconfig: {heads: 1}")
    given = [f"--data={data}", f"--workdir={tmp_path / 'run'}"]
    given += [f"--config={path}", "--model=star"]
    assert "is of `din`, not `star`" in error_line(run_program("train", *given))
    assert not (tmp_path / "run").exists()


def test_help_is_light():
    assert_help_is_light("sweep")


def test_frozen_configs_are_complete():
    """Every one names its command, figure, time and hardware."""
    paths = sorted((ROOT / "experiments/configs").rglob("*.yaml"))
    assert paths
    for path in paths:
        found = read_run_config(path)
        assert found.model == path.stem
        entry = get_model(found.model)
        config = entry.config_class()
        apply_fields(path, config, found.fields, "model")
        apply_fields(path, TrainingConfig(), found.fields, "training")
        assert {*found.fields["model"]} == {*flat_fields(config)}, path
        head = path.read_text().partition("\nmodel:")[0]
        for fact in ("# python -m ", "# reached: ", "# time: ", "# hardware: "):
            assert fact in head, path
