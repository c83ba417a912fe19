"""Values of flags that name nothing: one line, exit code 2, no traceback.

All programs run in one process, one after another, so that a case costs what
its check costs. It is a process of its own, see `test_flag_values.py`: other
tests import programs, too, and a flag can be defined once.
"""

import contextlib
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from absl import flags, logging

from experiments import program
from experiments.own_test_data import open_test_data
from jd_tf.data.dataset import write_dataset
from jd_tf.evaluation import evaluate
from jd_tf.models import PooledMMoE
from jd_tf.schema import Objective
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import train_folder
from tests.experiments.programs import ROOT, tiny_schema
from tests.requests import random_requests

SCHEMA = tiny_schema(Objective("click"), Objective("order", 5.0))
# Flags of one program that are paths, and what it needs beside.
ALSO = {
    "make_data": ("--source=jd_micro", "--input=MISSING"),
    "quickstart": ("--source=jd_micro", "--input=MISSING"),
    "rank": ("--saved_model=MISSING",),
    "refresh_images": ("--pairs=MISSING",),
    "make_serving_config": ("--saved_models=MISSING",),
}
# A flag that the program has a default of, and writes to: never here.
OUTPUTS = ("output", "folder", "workdir", "predictions")
PROGRAMS = sorted(
    ".".join(path.relative_to(ROOT / "experiments").with_suffix("").parts)
    for path in (ROOT / "experiments").rglob("*.py")
    if "program.run(main" in path.read_text(encoding="utf-8")
)


@contextlib.contextmanager
def imported(name):
    """Imports a program; forgets it and its flags afterwards."""
    before = set(flags.FLAGS)
    verbosity = logging.get_verbosity()
    try:
        yield importlib.import_module(f"experiments.{name}")
    finally:
        for flag in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, flag)
        flags.FLAGS.unparse_flags()
        logging.set_verbosity(verbosity)
        for module in [m for m in sys.modules if m.startswith("experiments.")]:
            if module != "experiments.program":
                del sys.modules[module]


def _is_required(flag):
    messages = [validator.message for validator in flag.validators]
    return any("must have a value" in message for message in messages)


@pytest.fixture(scope="module", autouse=True)
def _devices():
    # TensorFlow comments once on GPUs that are not there.
    tf.config.list_physical_devices()


def refusal(capfd, monkeypatch, name, *arguments):
    """Runs a program; returns its line, if that is all it wrote."""
    capfd.readouterr()
    with imported(name) as module:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            program.run(module.main)
    found = capfd.readouterr().err
    assert ended.value.code == 2, found
    assert found.startswith("error: "), found
    assert found.count("\n") == 1, found
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Data and a run on them, of a handful of steps."""
    folder = tmp_path_factory.mktemp("shop")
    splits = {
        split: random_requests(SCHEMA, 9, seed=seed)
        for seed, split in enumerate(("train", "validation", "test"))
    }
    write_dataset(folder / "data", SCHEMA, splits)
    config = TrainingConfig(progress=False, monitor="loss")
    train_folder(PooledMMoE(SCHEMA), folder / "data", folder / "run", config)
    (folder / "empty.json").write_text("[]")
    whole = next((folder / "data").glob("test-*.tfrecord")).read_bytes()
    (folder / "cut.tfrecord").write_bytes(whole[:-9])
    return folder


@pytest.mark.parametrize("name", PROGRAMS)
def test_paths_that_are_not_there(name, tmp_path, capfd, monkeypatch):
    missing = tmp_path / "missing"
    with imported(name) as module:
        named = flags.FLAGS.get_flags_for_module(module.__name__)
        required = [f.name for f in named if _is_required(f)]
    outputs = [flag for flag in required if flag in OUTPUTS]
    inputs = [f for f in required if f not in (*OUTPUTS, "source")]
    arguments = [f"--{flag}={tmp_path / 'made.npz'}" for flag in outputs]
    arguments += [f"--{flag}={missing / flag}" for flag in inputs]
    also = ALSO.get(name, ())
    arguments += [text.replace("MISSING", str(missing)) for text in also]
    if not inputs and not also:
        pytest.skip("reads no file that must be named")
    line = refusal(capfd, monkeypatch, name, *arguments)
    assert str(tmp_path) in line, line


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("evaluate", "--splits=", "--splits=[]: name at least one"),
        ("evaluate", "--splits=test,,train", "--splits: an entry is empty"),
        ("evaluate", "--splits=tset", "no requests of split `tset`"),
        ("evaluate", "--segments=page", "segments must be context columns"),
        ("evaluate", "--test_input=nowhere.json", "no such file or folder"),
        ("evaluate", "--test_input=SHOP/empty.json", "holds no requests"),
        ("evaluate", "--test_input=SHOP/cut.tfrecord", "/cut.tfrecord: "),
        (
            "evaluate",
            "--predictions_of=lightgbm",
            "are name:file, each name once",
        ),
        ("evaluate", "--predictions_of=a:nowhere.csv", "nowhere.csv"),
        ("ablate", "--seeds=", "name at least one"),
        (
            "ablate",
            "--rows=base:;other: --sizes=tables/demo --seeds=one",
            "seeds",
        ),
        ("ablate", "--rows=nothing=", "nothing"),
        ("ablate", "--rows=base:;other: --split=tset", "tset"),
        ("make_pairs", "--columns=", "name at least one"),
        ("make_pairs", "--columns=shop_id", "shop_id"),
        ("make_pairs", "--kinds=view:click", "view"),
        ("make_neighbors", "--weights=click", "--weights"),
        ("make_neighbors", "--weights=view:2", "view"),
        ("fusion_report", "--beside=run", "--beside"),
        ("fusion_report", "--split=tset", "tset"),
        ("attention_report", "--split=tset", "tset"),
        ("train", "--pairs=nowhere.npz", "nowhere.npz"),
        ("train", "--item_vectors=nowhere.npz", "nowhere.npz"),
        ("train", "--model_module=nowhere.py", "nowhere.py"),
        ("train", "--model=deepfm", "no model `deepfm`"),
        ("train", "--set=model.num_heads", "write model.field=value"),
        ("train_retrieval", "--set=num_heads=2", "write model.FIELD=value"),
        ("train_retrieval", "--items=nowhere.npz", "nowhere.npz"),
        ("export", "--requests=nowhere.json", "nowhere.json"),
        ("export", "--split=tset --requests=SHOP/data", "tset"),
        ("export", "--metrics=nowhere.json", "nowhere.json"),
        ("export", "--metrics=SHOP/data", "data: Is a directory"),
        ("export", "--name=../other", "is no path"),
        ("evaluate", "--splits=test,test", "each once"),
        ("evaluate", "--predictions=SHOP/empty.json/x", "is a file"),
        ("train", "--workdir=", "a path is wanted"),
        ("train", "--workdir=SHOP/empty.json/run", "is a file"),
        ("train", "--workdir=SHOP/empty.json", "empty.json"),
        ("train", "--workdir=SHOP/data", "is a data folder"),
        ("train", "--seed=4294967296", "`seed` must be below"),
        ("train", "--objective_weights=nan,1", "must be finite"),
        ("train", "--objective_weights=0,0", "above 0 for one"),
        ("train", "--learning_rate=inf", "a finite number is wanted"),
        ("train", "--model_module=SHOP/empty.json", "must end in .py"),
        ("train", "--set=training.progress=0", "write --progress or --nop"),
        ("train_retrieval", "--set=training.monitor=no", "`monitor` must"),
        ("train_retrieval", "--set=training.seed=4294967296", "`seed` must"),
        ("make_pairs", "--output=SHOP/empty.json/x.npz", "is a file"),
        ("make_neighbors", "--weights=click:nan", "not below 0"),
        ("make_neighbors", "--alpha=nan", "a finite number is wanted"),
        ("ablate", "--rows=base:;other: --seeds=1,1", "each seed once"),
        (
            "ablate",
            "--rows=base:;other: --sizes=tables/demo --monitor=no",
            "`monitor` must",
        ),
        (
            "ablate",
            "--rows=base:;other: --sizes=tables/demo --seeds=4294967296",
            "`seed` must",
        ),
        (
            "sweep",
            "--search=training.epochs=1:2 --set=training.monitor=no",
            "`monitor` must",
        ),
        (
            "sweep",
            "--search=training.epochs=1:2 --set=training.objective_weights=1",
            "`objective_weights` needs",
        ),
        (
            "benchmarks.zoo",
            "--models=din --data=SHOP/data --seeds=-1",
            "`seed` must",
        ),
    ],
)
def test_values_that_name_nothing(
    name, arguments, message, shop, tmp_path, capfd, monkeypatch
):
    given = [part.replace("SHOP", str(shop)) for part in arguments.split()]
    with imported(name):
        known = set(flags.FLAGS)
    new = {"train", "train_retrieval", "ablate", "sweep"}
    workdir = tmp_path / "run" if name in new else shop / "run"
    for flag, value in (
        ("data", shop / "data"),
        ("workdir", workdir),
        ("output", tmp_path / "made.npz"),
    ):
        if flag in known and f"--{flag}=" not in arguments:
            given.append(f"--{flag}={value}")
    line = refusal(capfd, monkeypatch, name, *given)
    assert message in line, line
    if name in new:
        assert not Path(workdir).exists()


def test_tables_are_named(capfd, monkeypatch):
    line = refusal(capfd, monkeypatch, "check_tables")
    assert "name the YAML file" in line


@pytest.mark.parametrize("kind", ["folder", "records", "lines"])
def test_a_test_set_of_ones_own_is_judged(shop, tmp_path, kind):
    """In place of the test split alone; 5 requests, where that has 9."""
    own = random_requests(SCHEMA, 5, seed=7)
    path = tmp_path / "own"
    write_dataset(path, SCHEMA, {"test": own}, num_shards=1)
    if kind == "records":
        (path,) = path.glob("*.tfrecord")
    elif kind == "lines":
        plain = [
            {n: np.asarray(value).tolist() for n, value in request.items()}
            for request in own
        ]
        path = tmp_path / "own.jsonl"
        path.write_text("\n".join(map(json.dumps, plain)), encoding="utf-8")
    with open_test_data(path, shop / "run") as folder:
        metrics = evaluate(
            shop / "data",
            shop / "run",
            ("test", "validation"),
            max_tree_impressions=0,
            num_replicates=0,
            log=lambda _: None,
            test_data=folder,
        )
    shown = [
        found["pooled_mmoe"]["click"]["num_impressions"]
        for found in metrics.values()
    ]
    validation = random_requests(SCHEMA, 9, seed=1)
    assert shown == [
        sum(len(request["item_id"]) for request in requests)
        for requests in (own, validation)
    ]
