"""Odd names of folders and columns, and types that differ by file."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

import jd_tf
from jd_tf.data import make_dataset
from jd_tf.data.dataset import read_schema
from jd_tf.data.log_report import LogReport
from jd_tf.data.tables import making
from jd_tf.data.tables.config_reading import read_config
from jd_tf.data.tables.engines.duckdb_engine import DuckDBEngine
from jd_tf.data.tables.engines.parquet_files import of_equal_types
from jd_tf.schema import DataError
from tests.data.tables.records import read_requests
from tests.data.tables.small_shop import (
    CONFIG,
    START,
    random_tables,
    write_shop,
)

LEVEL = {"column": "level", "dtype": "int64"}


def made(config, folder, **options):
    make_dataset("tables", folder, config=config, num_processes=1, **options)
    return read_requests(folder)


@pytest.fixture(scope="module")
def tables():
    return random_tables(5, events=150, requests=40)


def test_a_folder_is_no_column(tmp_path, tables):
    """DuckDB would read `user=5` of a path as a column of the table."""
    expected = made(write_shop(tmp_path / "in", tables), tmp_path / "out")
    odd = tmp_path / "uid=5" / "user=5" / "shown=1" / "split=test"
    assert made(write_shop(odd / "in", tables), odd / "out") == expected


def test_numbers_of_all_files_are_read_as_they_are(tmp_path, tables):
    whole, halves = tables["shown"].iloc[:50], tables["shown"].iloc[50:]
    changed = {**tables, "shown": tables["shown"].astype({"price": float})}
    changed["shown"].loc[50:, "price"] += 0.5
    expected = made(write_shop(tmp_path / "one", changed), tmp_path / "a")
    shown = {**CONFIG["tables"]["impressions"], "path": "shown*.parquet"}
    config = write_shop(
        tmp_path / "two",
        tables,
        tables={**CONFIG["tables"], "impressions": shown},
    )
    (tmp_path / "two" / "shown.parquet").unlink()
    whole = whole.astype({"price": "int64"})
    halves = halves.assign(price=halves.price + 0.5)
    for number, part in enumerate((whole, halves), start=1):
        path = tmp_path / "two" / f"shown{number}.parquet"
        part.to_parquet(path, index=False)
    assert made(config, tmp_path / "b") == expected
    halves.assign(price="dear").to_parquet(path, index=False)
    with pytest.raises(DataError, match=r"shown2.parquet: has a column of ano"):
        made(config, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_column_without_values_is_one_of_texts(tmp_path):
    paths = [str(tmp_path / f"{number}.parquet") for number in range(2)]
    columns = {"a": pa.nulls(2), "b": pa.array([1, 2], "int32")}
    pyarrow.parquet.write_table(pa.table(columns), paths[0])
    more = {"b": pa.array([1 << 40]), "a": pa.nulls(1), "other": pa.nulls(1)}
    pyarrow.parquet.write_table(pa.table(more), paths[1])

    def copies(columns):
        return of_equal_types(
            paths, columns, lambda n: tmp_path / f"copy-{n}.parquet"
        )

    found = [pyarrow.parquet.read_table(path) for path in copies("ab")]
    assert [one.schema.field("a").type for one in found] == [pa.string()] * 2
    assert [one["b"].to_pylist() for one in found] == [[1, 2], [1 << 40]]
    # 2^53 + 1 is no float64.
    odd = pa.table({"b": [(1 << 53) + 1], "a": ["x"]})
    pyarrow.parquet.write_table(odd, paths[0])
    pyarrow.parquet.write_table(pa.table({"b": [0.5], "a": ["x"]}), paths[1])
    for number in range(2):
        (tmp_path / f"copy-{number}.parquet").unlink()
    with pytest.raises(DataError, match=r"0.parquet: values do not fit"):
        copies("ab")
    # Nothing is copied for columns that nobody reads.
    assert of_equal_types(paths[1:], ["b"], None) == paths[1:]


def test_rows_that_were_skipped_are_counted_after_a_kill(tmp_path, tables):
    config = write_shop(tmp_path, tables)
    with open(tmp_path / "items.csv", "a") as file:
        file.write("1,2\n1,2,3\n")
    reports = [LogReport(2), LogReport(2), LogReport(1)]
    config = read_config(config)
    for report in reports:
        engine = DuckDBEngine(tmp_path / "stage")
        items = config.tables["items"]
        if report.max_bad_records < 2:
            with pytest.raises(DataError, match="a row has"):
                engine.open("items", items, ["sku"], report)
        else:
            engine.open("items", items, ["sku"], report)
    assert reports[0].to_json() == reports[1].to_json()
    assert reports[0].bad_records == 2


def test_what_another_version_kept_is_made_anew(tmp_path, tables, monkeypatch):
    config = read_config(write_shop(tmp_path, tables))
    kept = making._stage(tmp_path / "out", config, 0, {}) / "kept"
    kept.mkdir()
    making._stage(tmp_path / "out", config, 0, {})
    assert kept.exists()
    monkeypatch.setattr(jd_tf, "__version__", "0.0.1")
    making._stage(tmp_path / "out", config, 0, {})
    assert not kept.exists()


def test_a_text_of_two_lines_beyond_a_block(tmp_path, tables):
    """Blocks of a file end where rows do."""
    config = write_shop(tmp_path / "in", tables)
    expected = made(config, tmp_path / "a")
    items = tables["items"].assign(note="one\ntwo" * 40_000)
    items.to_csv(tmp_path / "in" / "items.csv", index=False)
    assert (tmp_path / "in" / "items.csv").stat().st_size > 4 << 20
    assert made(config, tmp_path / "b") == expected


def test_a_column_that_is_there_twice_is_refused(tmp_path, tables):
    config = write_shop(tmp_path, tables)
    path = tmp_path / "items.csv"
    path.write_text(path.read_text().replace("weight", "cate", 1))
    with pytest.raises(DataError, match="several columns `cate`"):
        made(config, tmp_path / "out")


def test_ids_that_count_as_missing_are_counted(tmp_path, tables):
    users = tables["users"].assign(level=[0, -1] + [2] * 9)
    fields = {**CONFIG["tables"]["users"], "ids": {"level": LEVEL}}
    config = write_shop(
        tmp_path,
        {**tables, "users": users},
        tables={**CONFIG["tables"], "users": fields},
    )
    made(config, tmp_path / "out")
    summary = (tmp_path / "out" / "summary.txt").read_text()
    assert "Column `level`: 2 ids below 1 count as missing" in summary


def test_rows_that_contradict_each_other_are_counted(tmp_path, tables):
    items, users = tables["items"], tables["users"]
    more = [items, items[:1], items[:3].assign(weight=77.0)]
    changed = {
        **tables,
        "items": pd.concat(more),
        "users": pd.concat([users, users[:2]]),
    }
    made(write_shop(tmp_path, changed), tmp_path / "out")
    summary = (tmp_path / "out" / "summary.txt").read_text()
    assert "`items`: further rows of one item and moment" in summary
    assert "values counts: 3\n" in summary
    assert "`users`: further" not in summary


@pytest.mark.parametrize("text", ["inf", "1e39", "-Infinity"])
def test_endless_numbers_are_missing_in_csv_as_in_parquet(
    tmp_path, tables, text
):
    items = tables["items"].astype({"weight": object})
    items.loc[3, "weight"] = text
    changed = {**tables, "items": items}
    requests = made(write_shop(tmp_path, changed), tmp_path / "out")
    schema = read_schema(tmp_path / "out")
    place = schema.item_dense.index("weight")
    shown = np.concatenate([r["item_dense"] for r in requests.values()])
    assert np.isfinite(shown).all()
    assert (shown[:, place] == 0).any()


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e30, -1e30])
def test_times_without_end_are_named(tmp_path, tables, value):
    events = tables["events"].astype({"ts": float})
    events.loc[7, "ts"] = value
    changed = {**tables, "events": events}
    config = write_shop(tmp_path, changed)
    with pytest.raises(DataError, match=r"column `ts` .* in 1 rows"):
        made(config, tmp_path / "out")
    made(config, tmp_path / "out", max_bad_records=1)


def test_ids_beyond_64_bits_are_named(tmp_path, tables):
    ids = tables["events"].sku.astype("uint64")
    ids[3] = 1 << 63
    config = write_shop(
        tmp_path, {**tables, "events": tables["events"].assign(sku=ids)}
    )
    with pytest.raises(DataError, match="column `sku` holds no whole number"):
        made(config, tmp_path / "out")
    ids = tables["events"].sku.copy()
    ids[3] = (1 << 63) - 1
    offset = {"item": {"dtype": "int64", "offset": 1}}
    config = write_shop(
        tmp_path,
        {**tables, "events": tables["events"].assign(sku=ids)},
        ids={**CONFIG["ids"], **offset},
    )
    with pytest.raises(DataError, match="column `sku` holds no whole number"):
        made(config, tmp_path / "out")


def test_a_rate_without_impressions_is_none(tmp_path):
    """An order an hour after its impression, which the window has left."""
    shown = pd.DataFrame(
        {
            "rid": ["r1", "r2", "r3", "r4"],
            "uid": 1,
            "sku": [1, 1, 2, 2],
            "ts": [START, START + 10_800, START + 86_400, START + 172_800],
            "pos": 0,
            "page": "feed",
            "price": 1.0,
            "clicked": [1, 0, 0, 0],
        }
    )
    tables = {**random_tables(1, requests=1), "shown": shown}
    tables["events"] = pd.concat(
        [
            tables["events"].assign(ts=START - 86_400),
            pd.DataFrame(
                {
                    "uid": [1],
                    "sku": [1],
                    "ts": [START + 9000],
                    "kind": ["order"],
                    "seconds": [0.0],
                    "comments": [0],
                    "entry": [1],
                }
            ),
        ]
    )
    values = ["impressions", "positives", "rate"]
    config = write_shop(
        tmp_path,
        tables,
        statistics=[{"key": "item_id", "windows": ["1h"], "values": values}],
        statistics_delay="0s",
        split={"validation_share": 0.25, "test_share": 0.25},
    )
    requests = made(config, tmp_path / "out")
    names = read_schema(tmp_path / "out").item_dense
    (second,) = requests["r2"]["item_dense"]
    found = dict(zip(names, second, strict=True))
    assert found["item_1h_impressions"] == 0
    assert found["item_1h_order_positives"] == 1
    # 1 of no impressions, drawn to the rate of all, of which there are none.
    assert found["item_1h_order_rate"] == pytest.approx(1 / 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"statistics": [{"key": "item_id", "parent": "item_id"}]}, "circle"),
        (
            {
                "statistics": [
                    {"key": "item_id", "parent": "category_id"},
                    {"key": "category_id", "parent": "item_id"},
                ]
            },
            "circle: .*category_id.*item_id",
        ),
        (
            {"statistics": [{"key": "user_id", "parent": "category_id"}]},
            "differs between the candidates",
        ),
        ({"statistics": [{"key": ["user_id", "user_id"]}]}, "column twice"),
    ],
)
def test_statistics_that_cannot_be_counted(tmp_path, tables, changes, message):
    config = write_shop(tmp_path, tables, **changes)
    with pytest.raises(DataError, match=message):
        read_config(config)


@pytest.mark.parametrize("name", ["version", "type", "shard", "is_new"])
@pytest.mark.parametrize("table", ["items", "users", "impressions"])
def test_names_of_ours_are_refused(tmp_path, tables, table, name):
    config = write_shop(tmp_path, tables)
    fields = yaml.safe_load(config.read_text())
    fields["tables"][table].setdefault("numbers", {})[name] = "uid"
    config.write_text(yaml.safe_dump(fields))
    with pytest.raises(
        DataError, match=f"`tables.{table}`: `{name}` is a name"
    ):
        read_config(config)


def test_an_attribute_of_two_tables_is_refused(tmp_path, tables):
    config = write_shop(tmp_path, tables)
    fields = yaml.safe_load(config.read_text())
    fields["tables"]["impressions"]["numbers"]["weight"] = "price"
    config.write_text(yaml.safe_dump(fields))
    with pytest.raises(DataError, match="`weight` is an attribute of"):
        read_config(config)


def test_without_histories_nothing_is_read_of_events(tmp_path, tables):
    config = write_shop(
        tmp_path / "in",
        tables,
        behaviors={},
        objectives={"click": {"label": "clicked"}},
    )
    fields = yaml.safe_load(config.read_text())
    del fields["tables"]["events"]["columns"]["type"]
    config.write_text(yaml.safe_dump(fields))
    with pytest.raises(DataError, match="`behaviors`: name a history"):
        made(config, tmp_path / "out")
