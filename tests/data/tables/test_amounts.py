"""Amounts of tables: columns of impressions, and sums of events."""

import numpy as np
import pandas as pd
import pytest

from jd_tf.data import make_dataset
from jd_tf.data.dataset import read_schema
from jd_tf.schema import DataError
from tests.data.tables.records import read_requests
from tests.data.tables.small_shop import CONFIG, random_tables, write_shop

HOUR = 3600
SOLD = {"events": ["order"], "within": "6h", "given": "order"}
OBJECTIVES = {
    **CONFIG["objectives"],
    "stay": {"amount": "stayed", "given": "click", "value": 0.5},
    "seconds": {**SOLD, "amount": "dwell"},
    "reads": {**SOLD, "amount": "comment_reads"},
}


def _tables():
    """Stays of clicks, some of them unknown; events without a dwell."""
    tables = random_tables(3, requests=200, events=1500)
    draw = np.random.default_rng(1)
    shown, events = tables["shown"], tables["events"]
    stayed = draw.integers(0, 90, len(shown)) + 0.5
    stayed[draw.random(len(shown)) < 0.2] = np.nan
    shown["stayed"] = np.where(shown.clicked > 0, stayed, np.nan)
    events.loc[draw.random(len(events)) < 0.2, "seconds"] = np.nan
    return tables


def _sums(tables):
    """(request, item) -> seconds and reads of the orders credited to it."""
    found = {}
    # Each event once.
    for event in tables["events"].drop_duplicates().itertuples():
        shown = tables["shown"]
        before = shown[
            (shown.uid == event.uid)
            & (shown.sku == event.sku)
            & (shown.ts <= event.ts)
        ]
        if event.kind != "order" or not len(before):
            continue
        latest = max(before.itertuples(), key=lambda row: (row.ts, row.rid))
        if event.ts - latest.ts <= 6 * HOUR:
            sums = found.setdefault((latest.rid, latest.sku), np.zeros(2))
            seconds = 0.0 if np.isnan(event.seconds) else event.seconds
            sums += [seconds, event.comments]
    return found


def test_amounts_equal_a_loop(tmp_path):
    tables = _tables()
    config = write_shop(tmp_path, tables, objectives=OBJECTIVES)
    make_dataset("tables", tmp_path / "out", config=config, num_processes=1)
    schema = read_schema(tmp_path / "out")
    assert schema.outcome_names == ("click", "order")
    assert schema.amount_names == ("stay", "seconds", "reads")
    assert schema.objective_values[2] == 0.5
    # Amounts are no outcomes that statistics count.
    assert not [n for n in schema.item_dense if "stay" in n or "reads" in n]
    sums, stays = _sums(tables), {}
    for row in tables["shown"].itertuples():
        stays[row.rid, row.sku] = row.stayed
    counts = {"0": 0, "some": 0, "unknown": 0}
    for name, request in read_requests(tmp_path / "out").items():
        for item, label, weight in zip(
            request["item_id"],
            np.reshape(request["labels"], (-1, 5)),
            np.reshape(request["label_weights"], (-1, 5)),
            strict=True,
        ):
            wanted = sums.get((name, item), np.zeros(2))
            np.testing.assert_allclose(label[3:], wanted)
            assert (weight[3:] == weight[1]).all()
            stayed = stays[name, item]
            known = not np.isnan(stayed)
            assert label[2] == (stayed if known else 0)
            # Nothing where nothing was clicked; else the time is missing.
            assert weight[2] == (known or not label[0])
            assert label[0] >= (label[2] > 0)
            kind = "some" if label[2] else "0" if weight[2] else "unknown"
            counts[kind] += 1
    assert min(counts.values()) > 10
    assert sum(one.any() for one in sums.values()) > 10


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ({"click": {"value": 1}}, "needs `label`, `events` or `amount`"),
        (
            {"click": {"label": "clicked", "amount": "stayed"}},
            "needs `label`, `events` or `amount`",
        ),
        (
            {"stay": {"amount": "stayed"}, "click": {"label": "clicked"}},
            "`objectives.click`: outcomes stand before all amounts",
        ),
        (
            {**OBJECTIVES, "tip": {"amount": "stayed", "given": "stay"}},
            "objectives.tip.given.*'stay'",
        ),
        (
            {**OBJECTIVES, "reads": {**SOLD, "amount": "price"}},
            "objectives.reads.amount.*comment_reads, dwell. Got: 'price'",
        ),
    ],
)
def test_wrong_amounts_are_named(tmp_path, objectives, message):
    config = write_shop(tmp_path, _tables(), objectives=objectives)
    with pytest.raises(DataError, match=message):
        make_dataset("tables", tmp_path / "out", config=config, num_processes=1)


def test_amounts_below_0_are_bad_rows(tmp_path):
    tables = _tables()
    tables["shown"]["stayed"] = pd.Series(-1.0, tables["shown"].index)
    config = write_shop(tmp_path, tables, objectives=OBJECTIVES)
    with pytest.raises(DataError, match="`stayed` holds amounts below 0"):
        make_dataset("tables", tmp_path / "out", config=config, num_processes=1)
