"""Snapshots equal records of that moment, however they came about."""

import datetime
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from jd_tf.data import make_dataset
from jd_tf.data.batches import numpy_batches
from jd_tf.data.tables.config_reading import read_config
from jd_tf.data.tables.snapshots.refreshing import refresh_snapshot
from jd_tf.data.tables.snapshots.snapshot import Snapshot
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import SERVING_ROLES, DataError
from tests.conftest import ROOT
from tests.data.tables.small_shop import (
    CONFIG,
    DAY,
    START,
    random_tables,
    write_shop,
)
from tests.data.tables.test_requests import SAMPLED


def iso(time):
    zone = datetime.timezone.utc
    return datetime.datetime.fromtimestamp(time, zone).isoformat()


def refresh(folder, rows, time, output, **changes):
    """Writes tables and brings the snapshot up to date with them."""
    config = read_config(
        write_shop(folder / f"{output}-tables", rows, **changes)
    )
    refresh_snapshot(
        config,
        folder / "data",
        folder / output,
        as_of=iso(time),
        num_processes=1,
    )
    return folder / output


def make(folder, rows, **changes):
    config = write_shop(folder / "all", rows, **changes)
    make_dataset("tables", folder / "data", config=config, num_processes=1)


def content(folder):
    """All that a snapshot serves, row by row."""
    found = {}
    for path in sorted(folder.glob("*[0-9t]")):
        rows = pyarrow.parquet.read_table(path).to_pylist()
        if path.name.startswith("counts"):
            keys = [k for k in rows[0] if not k.startswith("count_")]
            rows = [
                row
                for row in rows
                if max(v for k, v in row.items() if k not in keys) > 0
            ]
            rows.sort(key=lambda row: [row[key] for key in keys])
        else:
            rows.sort(key=lambda row: next(iter(row.values())))
        found[path.name] = rows
    assert len(found) > 3
    return found


def before(tables, time, since=0):
    """Returns the events and impressions of a span of time."""
    cut = dict(tables)
    for name in ("events", "shown"):
        table = tables[name]
        cut[name] = table[(table.ts < time) & (table.ts >= since)]
    return cut


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    tables = random_tables(21, events=900)
    make(folder, tables)
    return folder, tables


def test_equals_the_records_of_that_moment(shop, tmp_path):
    """Also of an item column that depends on who asks."""
    folder, tables = shop
    batches = list(numpy_batches(folder / "data", "test", 1, keys=True))
    batch = max(batches, key=lambda one: one["num_candidates"][0])
    time = int(batch["request_time"][0])
    prices = tables["shown"].set_index(["rid", "sku"]).price
    snapshot = Snapshot(refresh(folder, tables, time, "moment"))
    assert snapshot.as_of == 1000 * time
    name, items = batch["request_id"][0].decode(), batch["item_id"][0].tolist()
    known = [item for item in items if item <= 9]
    places = [items.index(item) for item in known]
    request = snapshot.request(
        int(batch["user_id"][0]),
        known,
        scenario=batch["scenario"][0].decode(),
        shown_price=[prices[name, item] for item in known],
    )
    checked = RequestValidator(snapshot.schema, SERVING_ROLES).check(request)
    assert len(known) > 1
    compared = 0
    for column in snapshot.schema.columns(*SERVING_ROLES):
        expected, found = batch[column.name][0], checked[column.name]
        if column.length == "num_candidates":
            expected = expected[places]
        if column.multi_valued:
            found = found[:, : expected.shape[1]]
        if column.name != "num_candidates":
            np.testing.assert_array_equal(found, expected, column.name)
            compared += 1
    assert compared > 15
    # The catalogue: the same, but for what the user did and saw.
    catalogue = snapshot.item_columns()
    assert catalogue["item_id"].tolist() == list(range(1, 10))
    rows = np.searchsorted(catalogue["item_id"], known)
    schema = snapshot.schema
    alone = [
        place
        for place, feature in enumerate(schema.item_dense)
        if feature != "shown_price" and "user" not in feature
    ]
    for column in ("item_id", "category_id"):
        assert catalogue[column].dtype == batch[column].dtype
        np.testing.assert_array_equal(
            catalogue[column][rows], batch[column][0][places]
        )
    dense = catalogue["item_dense"]
    assert dense.dtype == np.float32
    assert dense.shape == (9, len(schema.item_dense))
    np.testing.assert_array_equal(
        dense[rows][:, alone], batch["item_dense"][0][places][:, alone]
    )
    assert len(alone) > 8
    # Nobody in particular has no past with a category.
    place = schema.item_dense.index("user_x_category_7d_impressions")
    assert not dense[:, place].any()


def test_what_comes_later_changes_nothing(shop):
    folder, tables = shop
    shown = tables["shown"]
    missed = shown[(shown.clicked == 0) & (shown.ts > START + 4 * DAY)]
    # The label that is planted first is known in the very moment.
    time = int(missed.ts.min()) + 600
    plain = content(refresh(folder, before(tables, time), time, "plain"))
    later = {name: table.copy() for name, table in tables.items()}
    shown = later["shown"]
    shown.loc[shown.ts >= time - 600, "clicked"] = 1
    new = {"sku": 77, "since": iso(time + 1), "cate": "new", "tags": "9"}
    new_rows = pd.DataFrame([{**new, "weight": 5.0}, {**new, "sku": 1}])
    later["items"] = pd.concat([later["items"], new_rows.fillna(1.0)])
    planted = content(refresh(folder, later, time, "planted"))
    assert plain == planted


def test_refreshed_equals_made_anew(shop):
    """In steps, with rows that come twice and rows that come late."""
    folder, tables = shop
    days = [START + day * DAY for day in (3, 5, 8)]
    late = tables["events"].iloc[:0]
    begin = 0
    for end in days:
        part = before(tables, end, begin)
        part["events"] = pd.concat([part["events"], late])
        if end < days[-1]:
            # An hour of events arrives a day late.
            is_late = part["events"].ts >= end - 3600
            late = part["events"][is_late]
            part["events"] = part["events"][~is_late]
        output = refresh(folder, part, end, "steps")
        begin = end - 2 * 3600
    steps = content(output)
    whole = content(refresh(folder, tables, days[-1], "whole"))
    assert steps == whole
    # The same day again changes nothing.
    assert content(refresh(folder, part, end, "steps")) == whole
    with pytest.raises(DataError, match="Name a later time"):
        refresh(folder, part, days[0], "steps")
    with pytest.raises(DataError, match="another configuration"):
        refresh(folder, part, end, "steps", smoothing=6.0)
    assert content(folder / "steps") == whole


def test_a_log_without_impressions(tmp_path):
    tables = random_tables(22, users=30, items=40, events=900)
    make(tmp_path, tables, **SAMPLED)
    days = [START + 4 * DAY, START + 8 * DAY]
    for begin, end in zip((0, days[0]), days, strict=True):
        part = before(tables, end, begin)
        steps = content(refresh(tmp_path, part, end, "steps", **SAMPLED))
    whole = content(refresh(tmp_path, tables, days[1], "whole", **SAMPLED))
    assert steps == whole
    clicks = tables["events"][tables["events"].kind == "click"]
    for row in whole["item_statistics.parquet"]:
        mine = clicks[clicks.sku == row["item_id"]]
        assert row["item_all_impressions"] == len(mine.drop_duplicates())


def test_what_is_no_snapshot_is_refused(shop, tmp_path):
    folder, tables = shop
    with pytest.raises(DataError, match="is no snapshot"):
        refresh(folder, tables, START + 8 * DAY, "data")
    with pytest.raises(DataError, match="refresh_statistics"):
        Snapshot(tmp_path)
    statistics = CONFIG["statistics"][:1]
    with pytest.raises(DataError, match="other features"):
        refresh(folder, tables, START, "new", statistics=statistics)


def test_a_front_end_needs_no_tensorflow():
    code = (
        "import sys; from tests.without_tensorflow import FORBIDDEN; "
        "sys.modules.update(dict.fromkeys(FORBIDDEN)); "
        f"import {Snapshot.__module__}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_requests_name_what_is_unknown(shop):
    folder, tables = shop
    snapshot = Snapshot(refresh(folder, tables, START + 8 * DAY, "end"))
    with pytest.raises(DataError, match="item 99: is not"):
        snapshot.request(1, [1, 99], scenario="feed")
    with pytest.raises(DataError, match="`scenario`: give it"):
        snapshot.request(1, [1, 2])
    stranger = snapshot.request(12345, [1, 2], scenario="feed")
    assert stranger["click_item_id"] == []
    assert stranger["level"] == "missing"
    request = {**stranger, "item_dense": stranger["item_dense"].tolist()}
    RequestValidator(snapshot.schema, SERVING_ROLES).check(request)
