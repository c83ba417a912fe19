"""Rows of impressions, the card, and a run beside torch-rechub."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.benchmarks.libraries import impression_rows as rows
from experiments.benchmarks.libraries.libraries_card import (
    card_markdown,
    make_libraries_card,
)
from experiments.benchmarks.libraries.library_contest import (
    OURS,
    THEIRS,
    Contest,
    Settings,
    narrow_objectives,
)
from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import read_schema, write_dataset
from jd_tf.schema import DataError
from tests.experiments.programs import (
    ROOT,
    assert_help_is_light,
    error_line,
    run_program,
)
from tests.requests import random_requests, small_schema

PROGRAM = "benchmarks.libraries.other_libraries"
SCHEMA = small_schema()
REQUESTS = {
    split: random_requests(SCHEMA, count, seed)
    for split, count, seed in (
        ("train", 40, 1),
        ("validation", 30, 2),
        ("test", 30, 3),
    )
}
# Ids that training did not see.
REQUESTS["test"][0]["item_id"][0] = 777
REQUESTS["test"][0]["brand_id"][0] = "b99"
REQUESTS["test"][0]["hour"] = 29
HAS_RECHUB = all(
    importlib.util.find_spec(name) for name in ("torch", "torch_rechub")
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("libraries") / "data"
    write_dataset(folder, SCHEMA, REQUESTS, num_shards=1)
    return folder


@pytest.fixture(scope="module")
def made(data):
    folder = data.parent / "rows"
    rows.write_rows(data, folder)
    return folder


def known_ids(column, is_text):
    """Returns ids of training by row, in a loop: 0 pads, 1 is unknown."""
    found = set()
    for request in REQUESTS["train"]:
        names = [column]
        if f"click_{column}" in request:
            names += [f"click_{column}", f"order_{column}"]
        for name in names:
            found |= set(np.atleast_1d(request[name]).tolist())
    none = "" if is_text else 0
    return [none, None, *sorted(found - {none})]


@pytest.mark.parametrize("split", rows.SPLITS)
def test_rows_are_the_impressions_of_the_requests(made, split):
    """Every id, kind, age and label, found again impression by impression."""
    found = rows.read_rows(made, split)
    place = 0
    columns = ("item_id", "category_id", "brand_id")
    known = {c: known_ids(c, c == "brand_id") for c in columns}
    known |= {c: known_ids(c, False) for c in ("scenario", "hour")}

    def row_of(column, value):
        return known[column].index(value) if value in known[column] else 1

    for request in REQUESTS[split]:
        events = []
        for kind, behavior in enumerate(("click", "order"), 1):
            for number, time in enumerate(request[f"{behavior}_event_time"]):
                age = request["request_time"] - time
                ids = [request[f"{behavior}_{c}"][number] for c in columns]
                events.append((age, kind, number, ids))
        events.sort(key=lambda event: event[:3])
        for number in range(len(request["item_id"])):
            for column in columns:
                value = row_of(column, request[column][number])
                assert found[column][place] == value
                for behavior in ("click", "order"):
                    name = f"{behavior}_{column}"
                    expected = [row_of(column, v) for v in request[name]]
                    expected += [0] * (12 - len(expected))
                    assert found[name][place].tolist() == expected
            for column in ("scenario", "hour"):
                expected = row_of(column, request[column])
                assert found[column][place] == expected
            length = len(events)
            kinds = found["event_kind"][place]
            assert kinds[:length].tolist() == [event[1] for event in events]
            assert not kinds[length:].any()
            for n, column in enumerate(columns):
                expected = [row_of(column, event[3][n]) for event in events]
                got = found[f"event_{column}"][place]
                assert got[:length].tolist() == expected
                assert not got[length:].any()
            for behavior in ("click", "order"):
                times = request[f"{behavior}_event_time"]
                bucket = 0
                if len(times):
                    age = request["request_time"] - max(times)
                    bucket = int(age + 1).bit_length()
                assert found[f"{behavior}_age"][place] == bucket
            labels = request["labels"][number]
            assert found["labels"][place].tolist() == labels.tolist()
            place += 1
    assert {len(array) for array in found.values()} == {place}
    unknown = [found[c][0] == rows.UNKNOWN for c in (*columns, "hour")]
    assert unknown == [split == "test", False, split == "test", split == "test"]


def test_numbers_are_normalised_by_training(made):
    """Logarithms of zero mean and unit spread, as our models read them."""
    found = rows.read_rows(made, "train")[rows.DENSE]
    items = np.concatenate([r["item_dense"] for r in REQUESTS["train"]])
    session = np.stack([r["session_dense"] for r in REQUESTS["train"]])
    counts = [len(r["item_id"]) for r in REQUESTS["train"]]
    for place, (values, times) in enumerate(
        [(items[:, i], 1) for i in range(2)]
        + [(session[:, i], counts) for i in range(3)]
    ):
        logarithm = np.log1p(values.astype("float64"))
        expected = (logarithm - logarithm.mean()) / logarithm.std()
        expected = np.repeat(expected, times)
        np.testing.assert_allclose(found[:, place], expected, atol=2e-2)


def test_the_first_objective_alone_keeps_requests_and_order(data, tmp_path):
    narrow_objectives(data, tmp_path / "narrow")
    assert read_schema(tmp_path / "narrow").objective_names == ("click",)
    for split in rows.SPLITS:
        pairs = zip(
            numpy_batches(tmp_path / "narrow", split, 7, keys=True),
            numpy_batches(data, split, 7, keys=True),
            strict=True,
        )
        for mine, whole in pairs:
            assert mine.keys() == whole.keys()
            for name, array in mine.items():
                expected = whole[name]
                if name in ("labels", "label_weights"):
                    expected = expected[..., :1]
                np.testing.assert_array_equal(array, expected)


def cell(system, seed, auc, gauc=0.6, **more):
    return {
        "data": "mmoe",
        "model": system,
        "seed": seed,
        "metrics": {
            "click": {"auc": auc, "gauc": gauc},
            "order": {"auc": None, "gauc": None},
        },
        "replicates": {
            "click": {
                "auc": [auc - 0.02, auc, auc + 0.01],
                "gauc": [gauc - 0.01, gauc, gauc],
            }
        },
        "fingerprint": "same",
        "parameters": 1000,
        "seconds": 2.0,
        "impressions": 5000,
        **more,
    }


def tried(rows_a_batch, auc):
    settings = {"batch_rows": rows_a_batch}
    return cell(THEIRS, 1, 0.0, settings=settings, validation_auc=auc)


FACTS = {
    "command": "c",
    "machine": "m",
    "threads": 2,
    "date": "d",
}


def test_the_card_pairs_seeds_and_turns():
    cells = [cell(THEIRS, 1, 0.70), cell(THEIRS, 2, 0.74)]
    cells += [cell(OURS, 2, 0.75, 0.61), cell(OURS, 1, 0.71, 0.59)]
    turns = [
        {"load": load}
        | {
            name: {"processor": rate, "wall": rate / (load + (name == OURS))}
            for name, rate in zip((OURS, "documented", "sliced"), of, strict=1)
        }
        for load, of in (
            (1.0, (600.0, 100.0, 300.0)),
            (2.0, (800.0, 200.0, 200.0)),
            (4.0, (500.0, 100.0, 250.0)),
        )
    ]
    card = make_libraries_card(
        cells, {"mmoe": [tried(256, 0.6)]}, {"mmoe": turns}, FACTS
    )
    entry = card["models"]["mmoe"]
    auc = entry["systems"][OURS]["metrics"]["click"]["auc"]
    # Each seed by 0.01, in every resample: nothing is left to vary.
    assert auc["difference"] == pytest.approx(0.01)
    assert auc["low"] == pytest.approx(0.01)
    ratios = entry["speed"]["processor"]["ratios"]
    assert ratios == {"documented": [4.0, 5.0, 6.0], "sliced": [2.0, 2.0, 4.0]}
    # Ours halved, by two thirds and by four fifths.
    wall = entry["speed"]["wall"]["ratios"]["documented"]
    assert wall == pytest.approx([8 / 3, 3.0, 4.0])
    text = card_markdown(json.loads(json.dumps(card)))
    quality = (
        "| mmoe (seeds 1, 2) | click | 0.7200 | 0.7300 | "
        "+0.0100 (+0.0100 to +0.0100) ours | 0.6000 | 0.6000 | +0.0000 (-"
    )
    assert "| mmoe (seeds 1, 2) | order | - | - | - | - | - | - |" in text
    assert ") level |\n" in text
    assert quality in text
    assert (
        "| mmoe | 600 (500 to 800) | 100 (100 to 200) | 5.0 (4.0 to 6.0) | "
        "250 (200 to 300) | 2.0 (2.0 to 4.0) | 3.0 (2.7 to 4.0), 2.0 | "
        "1,000 | 1,000 |"
    ) in text
    assert "| mmoe | 256 | 0.6000 | 2,500 |" in text
    other = cell(OURS, 1, 0.7, fingerprint="other")
    with pytest.raises(DataError, match="not judged on the same requests"):
        make_libraries_card([*cells, other], {"mmoe": []}, {}, FACTS)


def test_what_cannot_be_run_is_one_line(data, tmp_path):
    given = [f"--output={tmp_path / 'made'}"]
    for flags, message in (
        ([f"--data={data}", "--models=dien"], "--models: `dien` is none of"),
        ([f"--data={data}", "--seeds=1,x"], "--seeds=1,x: name whole numbers"),
        (["--data=nowhere"], "--data=nowhere: no such folder"),
    ):
        assert message in error_line(run_program(PROGRAM, *flags, *given))
    assert not (tmp_path / "made").exists()


def test_a_missing_library_is_one_line(monkeypatch):
    from experiments.benchmarks.libraries import library_contest

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"torch is missing: pip install"):
        library_contest.check_installed()


def test_help_is_light_and_nothing_of_ours_loads_torch():
    assert_help_is_light(PROGRAM)
    code = (
        "import experiments.benchmarks.libraries.libraries_card, sys; "
        "import jd_tf; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.skipif(
    not HAS_RECHUB, reason="torch and torch-rechub are not installed"
)
@pytest.mark.parametrize("name", ["din", "bst", "mmoe"])
def test_theirs_train_and_are_judged_on_our_requests(data, tmp_path, name):
    settings = Settings(tmp_path, 1, 0.01, 8, 5, 0.2, 1)
    contest = Contest(name, data, settings)
    result = contest.run(THEIRS, 1, 16)
    count = sum(len(r["item_id"]) for r in REQUESTS["train"])
    assert result["impressions"] == count
    metrics = result["metrics"]["click"]
    tested = sum(len(r["item_id"]) for r in REQUESTS["test"])
    assert metrics["num_impressions"] == tested
    # Read, not run again.
    (tmp_path / f"{name}/{THEIRS}-16/seed-1/log.txt").unlink()
    assert contest.run(THEIRS, 1, 16) == result
    with pytest.raises(DataError, match="made with learning_rate"):
        Contest(name, data, Settings(tmp_path, 1, 0.02, 8, 5, 0.2, 1)).run(
            THEIRS, 1, 16
        )
