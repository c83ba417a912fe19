"""Requests without ids, without impressions, and splits by user."""

import collections
import hashlib

import pandas as pd
import pytest

from jd_tf.data import make_dataset
from jd_tf.data.dataset import read_schema
from jd_tf.data.files import read_json
from jd_tf.schema import DataError
from tests.data.tables.records import read_requests
from tests.data.tables.small_shop import CONFIG, DAY, random_tables, write_shop


def make(folder, rows, **changes):
    config = write_shop(folder, rows, **changes)
    make_dataset("tables", folder / "out", config=config, num_processes=1)
    return read_requests(folder / "out")


def tables_without(*keys, tables="impressions"):
    changed = {name: dict(table) for name, table in CONFIG["tables"].items()}
    columns = dict(changed[tables]["columns"])
    for key in keys:
        del columns[key]
    changed[tables]["columns"] = columns
    return changed


def test_a_pause_or_another_page_ends_a_request(tmp_path):
    tables = random_tables(8, users=4, requests=100)
    shown = tables["shown"]
    shown["ts"] += shown.pos * 60
    made = make(
        tmp_path,
        tables,
        tables=tables_without("request", "position"),
        requests={"gap": "20m", "max_candidates": 3},
    )
    expected = collections.defaultdict(list)
    for user, mine in shown.sort_values(["ts", "page", "sku"]).groupby("uid"):
        groups, before = [], None
        for row in mine.itertuples():
            pause = before is None or row.ts - before.ts > 20 * 60
            if pause or row.page != before.page:
                groups.append([])
            groups[-1].append(row)
            before = row
        for group in groups:
            for begin in range(0, len(group), 3):
                part = group[begin : begin + 3]
                key = (str(user), part[0].ts, part[0].page)
                expected[key].append({row.sku for row in part})
    found = collections.defaultdict(list)
    for request in made.values():
        key = (request["user_id"], request["request_time"], request["scenario"])
        found[key].append(set(request["item_id"]))
    assert found.keys() == expected.keys()
    for key, groups in found.items():
        assert sorted(map(sorted, groups)) == sorted(map(sorted, expected[key]))


def test_more_candidates_than_allowed_are_left_out(tmp_path):
    tables = random_tables(9, events=200, requests=60)
    made = make(tmp_path, tables, requests={"max_candidates": 2})
    shown = tables["shown"].sort_values("pos").groupby("rid")
    for name, rows in shown:
        assert made[name]["item_id"] == rows.sku.tolist()[:2]


def test_splits_by_user(tmp_path):
    tables = random_tables(10, users=40, events=400, requests=150)
    made = make(
        tmp_path,
        tables,
        split={"by": "user", "validation_share": 0.2, "test_share": 0.3},
    )
    splits = collections.defaultdict(set)
    for request in made.values():
        splits[request["user_id"]].add(request["split"])
    for user, split in splits.items():
        number = int(hashlib.md5(user.encode()).hexdigest()[:4], 16) / 65536
        expected = "train" if number < 0.5 else "validation"
        assert split == {"test" if number >= 0.7 else expected}
    assert len(set().union(*splits.values())) == 3
    # Which is suspicious, whatever shard it is seen in.
    warnings = read_json(tmp_path / "out" / "summary.json")["warnings"]
    warning, of_validation = sorted(warnings)
    assert of_validation.startswith("validation: ")
    cut = max(r["request_time"] for r in made.values() if r["split"] == "train")
    times = [r["request_time"] for r in made.values() if r["split"] == "test"]
    early = sum(time < cut for time in times) / len(times)
    assert warning.startswith(f"test: {early:.0%} of its requests are before")


def test_shares_of_time(tmp_path):
    made = make(tmp_path, random_tables(11, events=200, requests=200))
    counts = collections.Counter(r["split"] for r in made.values())
    assert counts["train"] == pytest.approx(140, abs=4)
    assert counts["test"] == pytest.approx(40, abs=4)
    last = max(
        r["request_time"] for r in made.values() if r["split"] == "train"
    )
    first = min(
        r["request_time"] for r in made.values() if r["split"] == "test"
    )
    assert last < first


SAMPLED = {
    "tables": {
        name: table
        for name, table in CONFIG["tables"].items()
        if name != "impressions"
    },
    "sampling": {"positives": ["click"], "num_negatives": 3},
    "objectives": {
        "click": {"events": ["click"], "within": "0s"},
        "order": {"events": ["order"], "within": "6h"},
    },
    "statistics": [{"key": "item_id", "windows": ["1d", "all"]}],
    "statistics_delay": "0s",
    "smoothing": 0.0,
}


def test_a_log_without_impressions(tmp_path):
    tables = random_tables(12, users=30, items=40, events=900)
    made = make(tmp_path, tables, **SAMPLED)
    events = tables["events"]
    events = events[events.kind.isin(["click", "order"])]
    first = events.groupby("sku").ts.min()
    met = events.groupby(["uid", "sku"]).ts.min()
    opened = {
        (row.uid, row.ts, row.sku)
        for row in events.itertuples()
        if row.kind == "click"
        and first[row.sku] < row.ts == met[row.uid, row.sku]
    }
    assert {f"{u}:{1000 * t}:{i}" for u, t, i in opened} == made.keys()
    sizes = collections.Counter()
    for name, request in made.items():
        user, time, positive = (int(part) for part in name.split(":"))
        time //= 1000
        items = request["item_id"]
        sizes[len(items)] += 1
        assert len(set(items)) == len(items)
        for item in items:
            assert first[item] < time
            assert item == positive or met.get((user, item), time) >= time
        place = items.index(positive)
        assert request["labels"][place][0] == 1
        clicks = events[(events.kind == "click") & (events.ts < time)]
        orders = events[(events.kind == "order") & (events.ts < time)]
        for item, features in zip(items, request["item_dense"], strict=True):
            _, _, day, _, _, whole, clicked, ordered = features
            mine = clicks[clicks.sku == item]
            assert whole == len(mine)
            assert day == (mine.ts >= time - DAY).sum()
            if whole:
                assert clicked == 1
                share = (orders.sku == item).sum() / whole
                assert ordered == pytest.approx(share)
    assert sizes[4] > 0.9 * len(made)
    # Every known item is drawn now and then.
    drawn = collections.Counter(i for r in made.values() for i in r["item_id"])
    assert len(drawn) == 42
    assert read_schema(tmp_path / "out").max_candidates == 4


@pytest.mark.slow
def test_what_is_drawn_depends_on_the_request_alone(tmp_path):
    tables = random_tables(13, users=20, items=30, events=500)
    before = make(tmp_path / "one", tables, **SAMPLED)
    shuffled = tables["events"].sample(frac=1.0, random_state=1)
    after = make(tmp_path / "two", {**tables, "events": shuffled}, **SAMPLED)
    assert before == after
    other = {**SAMPLED["sampling"], "seed": 2}
    seeded = make(tmp_path / "three", tables, **{**SAMPLED, "sampling": other})
    assert before != seeded


def test_types_of_flags(tmp_path):
    """A row is an event of each type whose column is not 0."""
    tables = random_tables(14, events=300, requests=60)
    plain = make(tmp_path / "plain", tables)
    events = tables["events"]
    flagged = events.assign(
        bought=(events.kind == "order").astype(int),
        passed=(events.kind != "click").astype(int),
    )
    changed = tables_without("type", tables="events")
    changed["events"]["types"] = {"order": "bought", "click": "not passed"}
    other = make(
        tmp_path / "flags", {**tables, "events": flagged}, tables=changed
    )
    assert plain == other


def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    from jd_tf.data.tables import making

    tables = random_tables(15, events=300, requests=80)
    config = write_shop(tmp_path, tables)
    whole = make(tmp_path / "whole", tables)

    def killed(tables, written=[]):  # noqa: B006
        written.append(1)
        if len(written) == 2:
            raise KeyboardInterrupt
        return write(tables)

    write = making.write_shard
    monkeypatch.setattr(making, "write_shard", killed)
    options = {"config": config, "num_processes": 1}
    with pytest.raises(KeyboardInterrupt):
        make_dataset("tables", tmp_path / "out", **options)
    (stage,) = tmp_path.glob(".out.tables")
    kept = {p: p.stat().st_mtime_ns for p in (stage / "kept").glob("clean*")}
    shard = next((stage / "shards").glob("train-00000*"))
    written = shard.stat().st_mtime_ns
    monkeypatch.setattr(making, "write_shard", write)
    make_dataset("tables", tmp_path / "out", **options)
    assert kept
    assert (tmp_path / "out" / shard.name).stat().st_mtime_ns == written
    assert read_requests(tmp_path / "out") == whole
    assert not stage.exists()


def test_what_was_kept_of_other_tables_is_not_used(tmp_path, monkeypatch):
    from jd_tf.data.tables import making

    tables = random_tables(16, events=300, requests=80)
    config = write_shop(tmp_path, tables)

    def killed(task):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(making, "write_shard", killed)
        with pytest.raises(KeyboardInterrupt):
            make_dataset(
                "tables", tmp_path / "out", config=config, num_processes=1
            )
    tables["events"] = tables["events"].iloc[:200]
    assert make(tmp_path, tables) == make(tmp_path / "new", tables)


def test_an_empty_split_is_refused(tmp_path):
    tables = random_tables(17, events=200, requests=50)
    late = pd.Timestamp("2023-12-30").isoformat()
    with pytest.raises(DataError, match="no requests for the test split"):
        make(
            tmp_path,
            tables,
            split={"validation_from": "2023-11-20", "test_from": late},
        )
    assert not (tmp_path / "out").exists()
