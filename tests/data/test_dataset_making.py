"""From a log to a folder: whole or not at all."""

import json

import numpy as np
import pytest

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import read_schema
from jd_tf.data.dataset_making import make_dataset
from jd_tf.data.log_report import LogReport
from jd_tf.data.sources import SOURCES, open_source
from jd_tf.schema import DataError
from tests.data.sources import test_bars
from tests.data.sources.small_logs import (
    impression,
    micro_sessions,
    write_micro,
    write_ranking,
)
from tests.data.sources.timeline_files import timelines, write_timelines

SMALL = {
    "jd_micro": {"num_candidates": 4},
    "jd_ranking": {},
    "sequences": {"num_negatives": 4},
    "bars": {},
}


@pytest.fixture
def logs(tmp_path):
    folder = tmp_path / "logs"
    write_micro(folder / "jd_micro", micro_sessions(80))
    write_ranking(
        folder / "jd_ranking" / "part-0",
        [impression(n, lengths=(3, 0, 2)) for n in range(40)],
    )
    write_timelines(folder / "sequences", timelines())
    (folder / "bars").mkdir()
    test_bars.write(
        folder / "bars",
        test_bars.AMAZON,
        test_bars.amazon_lines(40),
        test_bars.AMAZON_TEST,
    )
    return folder


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_what_is_written_is_what_the_source_yields(tmp_path, logs, name):
    output = tmp_path / "data"
    make_dataset(name, output, logs / name, num_shards=3, **SMALL[name])
    source = open_source(name, logs / name, **SMALL[name])
    assert read_schema(output) == source.schema
    behavior = source.schema.behaviors[0]
    expected = {}
    for split, request in source.requests():
        expected.setdefault(split, {})[str(request["request_id"])] = request
    for split, requests in expected.items():
        found = 0
        for batch in numpy_batches(output, split, 16, keys=True):
            for row, request_id in enumerate(batch["request_id"]):
                request = requests[request_id.decode()]
                found += 1
                size = batch["num_candidates"][row]
                np.testing.assert_array_equal(
                    batch["labels"][row, :size], request["labels"]
                )
                # As bytes: ids may be numbers or texts.
                np.testing.assert_array_equal(
                    batch["item_id"][row, :size].astype("S"),
                    np.asarray(request["item_id"], object).astype("S"),
                )
                length = batch[behavior.length][row]
                assert length == len(request[f"{behavior.name}_item_id"])
        assert found == len(requests)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_summary_counts_the_log(tmp_path, logs, name):
    source = open_source(name, logs / name, **SMALL[name])
    summary = make_dataset(source, tmp_path / "data")
    assert summary["log"] == source.report.to_json()
    stored = json.loads((tmp_path / "data" / "summary.json").read_text())
    assert stored == summary
    assert (
        (tmp_path / "data" / "summary.txt").read_text().startswith("Data set")
    )
    assert (tmp_path / "data" / "summary.png").is_file()


def test_nothing_is_left_behind_after_an_error(tmp_path, logs):
    path = logs / "jd_micro" / "JD_X.txt"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"line 80: the file ends inside"):
        make_dataset("jd_micro", tmp_path / "data", logs / "jd_micro")
    assert [p.name for p in tmp_path.iterdir()] == ["logs"]


def test_an_existing_folder_stays_unless_asked(tmp_path, logs):
    output = tmp_path / "data"
    make_dataset("jd_ranking", output, logs / "jd_ranking")
    before = sorted(p.name for p in output.iterdir())
    with pytest.raises(DataError, match="exists and is not empty"):
        make_dataset("jd_ranking", output, logs / "jd_ranking")
    make_dataset("jd_ranking", output, logs / "jd_ranking", overwrite=True)
    assert sorted(p.name for p in output.iterdir()) == before


def test_a_log_too_small_for_its_splits_is_refused(tmp_path):
    write_micro(tmp_path / "log", micro_sessions(3))
    with pytest.raises(DataError, match=r"no requests for the .* too small"):
        make_dataset("jd_micro", tmp_path / "data", tmp_path / "log")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("jd_macro", {}, "no source `jd_macro`.*jd_micro"),
        ("jd_micro", {"num_users": 3}, "no option `num_users`.*num_candidates"),
        ("jd_micro", {"num_candidates": 1}, "`num_candidates`.*Got: 1"),
        ("jd_micro", {"moment_share": 1.5}, "`moment_share`.*Got: 1.5"),
        ("jd_micro", {"test_share": 0.0}, "`test_share`.*Got: 0.1 and 0.0"),
        ("jd_micro", {"test_share": 0.95}, "sum below 1"),
        ("jd_micro", {"max_bad_records": -1}, "`max_bad_records`.*Got: -1"),
        ("jd_ranking", {"max_candidates": 0}, "Got: 0"),
        ("jd_ranking", {"num_candidates": 5}, "no option `num_candidates`"),
        ("simulator", {}, "the simulator reads nothing"),
    ],
)
def test_wrong_options_are_named(tmp_path, logs, source, options, message):
    with pytest.raises(DataError, match=message):
        make_dataset(source, tmp_path / "data", logs, **options)


def test_the_simulator_takes_its_own_options_only(tmp_path):
    with pytest.raises(DataError, match="no option `moment_share`"):
        make_dataset("simulator", tmp_path / "data", moment_share=0.5)
    with pytest.raises(DataError, match="`jd_micro` needs the folder"):
        make_dataset("jd_micro", tmp_path / "data")


def test_bad_records_are_kept_count_of():
    report = LogReport(max_bad_records=2)
    report.tolerate(DataError("a: line 1: bad"))
    report.tolerate(DataError("a: line 2: bad"))
    with pytest.raises(
        DataError, match=r"a: line 3.*--max_bad_records \(now 2"
    ):
        report.tolerate(DataError("a: line 3: bad."))
    assert report.to_json()["first_bad_records"][0] == "a: line 1: bad"
