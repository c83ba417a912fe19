"""Nothing from the future, and the same as a literal loop over rows."""

import numpy as np
import pandas as pd
import pytest

from jd_tf.data import make_dataset
from jd_tf.data.dataset import read_schema
from tests.data.tables.literal_loop import literal_requests
from tests.data.tables.records import assert_same, read_requests
from tests.data.tables.small_shop import (
    DAY,
    START,
    random_tables,
    write_shop,
)

CUTS = (START + 5 * DAY, START + 6 * DAY)
SPLIT = {
    "validation_from": pd.Timestamp(CUTS[0], unit="s", tz="UTC").isoformat(),
    "test_from": pd.Timestamp(CUTS[1], unit="s", tz="UTC").isoformat(),
}


def make(folder, tables, **options):
    changes = options.pop("changes", {})
    config = write_shop(folder, tables, split=SPLIT, **changes)
    make_dataset(
        "tables", folder / "out", config=config, num_processes=1, **options
    )
    return read_requests(folder / "out")


def split_of(time):
    return ("train", "validation", "test")[sum(time >= cut for cut in CUTS)]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_equals_a_literal_loop(tmp_path, seed):
    tables = random_tables(seed)
    made = make(tmp_path, tables)
    log_end = max(tables["events"].ts.max(), tables["shown"].ts.max())

    def cut_of(time):
        ends = (CUTS[0] - 0.001, CUTS[1] - 0.001, log_end)
        return ends[sum(time >= cut for cut in CUTS)]

    expected = literal_requests(tables, log_end, cut_of)
    assert made.keys() == expected.keys()
    for name, request in expected.items():
        assert_same(made[name], request, name)
        assert made[name]["split"] == split_of(request["request_time"])
    # The comparison has something to compare.
    lengths = [request["click_length"] for request in made.values()]
    assert 0 in lengths
    assert max(lengths) == 5
    labels = np.concatenate([r["labels"] for r in made.values()])
    weights = np.concatenate([r["label_weights"] for r in made.values()])
    assert labels[:, 1].sum() > 5
    assert 0 < weights[:, 1].mean() < 1


def test_what_happens_later_changes_nothing(tmp_path):
    """Neither events nor outcomes nor attributes of later than a request."""
    tables = random_tables(3)
    before = make(tmp_path / "before", tables)
    moment = START + 4 * DAY + 300
    later = {name: table.copy() for name, table in tables.items()}
    shown, events = later["shown"], later["events"]
    is_later = shown.ts >= moment
    shown.loc[is_later, "clicked"] = 1 - shown.loc[is_later, "clicked"]
    planted = events[events.ts >= moment].copy()
    planted["kind"] = "order"
    later["events"] = pd.concat([events, planted.assign(seconds=77.0)])
    future = later["items"].assign(
        since=pd.Timestamp(moment, unit="s", tz="UTC").isoformat(), cate="new"
    )
    later["items"] = pd.concat([later["items"], future])
    after = make(tmp_path / "after", later)
    unchanged = changed = 0
    for name, request in before.items():
        # What the request is credited with happens after it, of course.
        inputs = {k: v for k, v in request.items() if k[:5] != "label"}
        other = {k: v for k, v in after[name].items() if k[:5] != "label"}
        if request["request_time"] <= moment:
            assert inputs == other, name
            unchanged += 1
        else:
            changed += inputs != other
    assert unchanged > 40
    assert changed > 40


@pytest.mark.parametrize(
    "delay", [pytest.param("0s", marks=pytest.mark.slow), "1d"]
)
def test_no_label_of_a_request_is_in_its_statistics(tmp_path, delay):
    tables = random_tables(4)
    changes = {"statistics_delay": delay}
    before = make(tmp_path / "before", tables, changes=changes)
    name = tables["shown"].rid.iloc[-1]
    mine = tables["shown"].rid == name
    tables["shown"].loc[mine, "clicked"] = 1 - tables["shown"].clicked[mine]
    after = make(tmp_path / "after", tables, changes=changes)
    for column in ("item_dense", "session_dense"):
        assert before[name][column] == after[name][column]
    assert before[name]["labels"] != after[name]["labels"]


def test_ids_after_the_validation_cut_are_unknown(tmp_path):
    """They are in no vocabulary, and enlarge no table."""
    tables = random_tables(5)
    changes = {"vocabulary_limit": 8}
    make(tmp_path / "before", tables, changes=changes)
    later = {name: table.copy() for name, table in tables.items()}
    shown, events = later["shown"], later["events"]
    shown.loc[shown.ts >= CUTS[0], "sku"] += 1000 * shown.pos
    events.loc[events.ts >= CUTS[0], "sku"] += 5000
    events.loc[events.ts >= CUTS[0], "entry"] = 99
    future = later["items"].assign(
        since=pd.Timestamp(CUTS[0], unit="s", tz="UTC").isoformat(), cate="new"
    )
    later["items"] = pd.concat([later["items"], future])
    after = make(tmp_path / "after", later, changes=changes)
    categories = {c for r in after.values() for c in r["category_id"]}
    assert "new" in categories
    schemas = [read_schema(tmp_path / n / "out") for n in ("before", "after")]
    assert schemas[0] == schemas[1]
