"""Bad tables: an error of one line that names it, and nothing left."""

import pandas as pd
import pytest
import yaml

from jd_tf.data import make_dataset
from jd_tf.schema import DataError
from tests.data.tables.small_shop import CONFIG, random_tables, write_shop


def make(folder, tables, changes=None, **options):
    config = write_shop(folder, tables, **(changes or {}))
    return make_dataset(
        "tables", folder / "out", config=config, num_processes=1, **options
    )


def refuse(folder, tables, *words, changes=None):
    folder = folder / "shop"
    with pytest.raises(DataError) as error:
        make(folder, tables, changes)
    message = str(error.value)
    for word in words:
        assert word in message, message
    assert "\n" not in message.strip()
    left = {path.name for path in folder.iterdir()}
    tables = {"events1.parquet", "shown.parquet", "items.csv", "users.csv"}
    tables.add("stock.csv")
    assert left == tables | {"shop.yaml"}


def with_column(tables, table, name, change):
    column = tables[table][name].tolist()
    column[:2] = [change(value) for value in column[:2]]
    tables[table][name] = column
    return tables


@pytest.fixture
def tables():
    return random_tables(5, events=200, requests=60)


def test_a_missing_column(tmp_path, tables):
    del tables["shown"]["ts"]
    refuse(tmp_path, tables, "`impressions`", "`ts`", "rid, uid, sku")


def test_a_table_of_other_columns(tmp_path, tables):
    tables["users"].columns = ["who", "rank", "years"]
    refuse(tmp_path, tables, "`users`", "`uid`", "who, rank, years")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value * 1000, ("mixes units", "seconds", "2 rows")),
        (lambda value: 0, ("before 2000-01-01", "1970", "'0'")),
        (lambda value: 4_000_000_000, ("after tomorrow", "4000000000")),
    ],
    ids=["mixed", "1970", "future"],
)
def test_times_out_of_range(tmp_path, tables, change, words):
    with_column(tables, "events", "ts", change)
    refuse(tmp_path, tables, "`events`", "`ts`", "--max_bad_records", *words)


def test_times_that_are_none(tmp_path, tables):
    with_column(tables, "items", "since", lambda value: "last week")
    refuse(tmp_path, tables, "`items`", "`since`", "'last week'", "ISO")


def test_a_column_of_the_wrong_type(tmp_path, tables):
    tables["events"]["ts"] = tables["events"].ts % 2 == 0
    refuse(tmp_path, tables, "`events`", "`ts`", "boolean", "not a time")


def test_ids_of_the_wrong_dtype(tmp_path, tables):
    tables["events"]["sku"] = [f"A{item}" for item in tables["events"].sku]
    refuse(tmp_path, tables, "`sku`", "'A1'", "ids.item.dtype: string")


def test_ids_that_are_fractions(tmp_path, tables):
    tables["shown"]["uid"] = tables["shown"].uid + 0.5
    refuse(tmp_path, tables, "`impressions`", "`uid`", "float64", "ids are")


def test_ids_that_start_at_0(tmp_path, tables):
    tables["shown"]["sku"] -= 1
    refuse(tmp_path, tables, "`sku`", "pads", "ids.item.offset: 1")


def test_numbers_that_are_none(tmp_path, tables):
    with_column(tables, "items", "weight", lambda value: "heavy")
    refuse(tmp_path, tables, "`items`", "`weight`", "'heavy'")


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("shown", "pos", -1),
        ("shown", "pos", 10**12),
        ("events", "comments", -5),
    ],
)
def test_counts_out_of_range(tmp_path, tables, table, column, value):
    with_column(tables, table, column, lambda _: value)
    refuse(tmp_path, tables, f"`{column}`", "2 rows", "below 0 or above")


def test_a_request_of_two_users(tmp_path, tables):
    shown = tables["shown"]
    first = shown.index[shown.rid == "r3"][0]
    shown.loc[first, "uid"] += 1
    refuse(tmp_path, tables, "`impressions`", "several users", "'r3'")


@pytest.mark.parametrize("table", ["events", "items", "users"])
def test_an_empty_table(tmp_path, tables, table):
    tables[table] = tables[table].iloc[:0]
    refuse(tmp_path, tables, f"`{table}`", "empty")


def test_a_damaged_parquet_file(tmp_path, tables):
    config = write_shop(tmp_path, tables)
    path = tmp_path / "shown.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes(400) + data[440:])
    with pytest.raises(DataError, match=r"impressions: .*shown\.parquet"):
        make_dataset("tables", tmp_path / "out", config=config)


def test_a_separator_of_two_signs(tmp_path, tables):
    changed = {**CONFIG["tables"]}
    changed["items"] = {**changed["items"], "separator": "||"}
    refuse(
        tmp_path,
        tables,
        "items.csv",
        "`separator`",
        changes={"tables": changed},
    )


def test_types_that_are_not_there(tmp_path, tables):
    tables["events"]["kind"] = "klick"
    refuse(tmp_path, tables, "`events`", "'click'", "klick")


def test_a_truncated_parquet_file(tmp_path, tables):
    config = write_shop(tmp_path / "shop", tables)
    path = config.parent / "events1.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"events1\.parquet: .*cut off"):
        make_dataset("tables", config.parent / "out", config=config)
    assert not (config.parent / "out").exists()
    assert not list(config.parent.glob(".*"))


def test_a_truncated_gzip_file(tmp_path, tables):
    config = write_shop(tmp_path, tables)
    fields = yaml.safe_load(config.read_text())
    fields["tables"]["items"]["path"] = "items.csv.gz"
    config.write_text(yaml.safe_dump(fields))
    path = tmp_path / "items.csv.gz"
    tables["items"].to_csv(path, index=False)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"items\.csv\.gz: cannot be read"):
        make_dataset("tables", tmp_path / "out", config=config)


def test_a_wrong_encoding(tmp_path, tables):
    tables["items"]["cate"] = "\u7535\u8111"
    config = write_shop(tmp_path, tables)
    path = tmp_path / "items.csv"
    path.write_bytes(path.read_text().encode("gb18030"))
    with pytest.raises(DataError, match=r"items\.csv.*utf-8.*encoding"):
        make_dataset("tables", tmp_path / "out", config=config)


def test_bad_rows_are_counted_when_asked(tmp_path, tables):
    with_column(tables, "events", "ts", lambda value: 0)
    good = tables["events"].iloc[2:]
    summary = make(tmp_path / "bad", tables, max_bad_records=2)
    assert summary["log"]["bad_records"] == 2
    assert "2 rows" in summary["log"]["first_bad_records"][0]
    tables["events"] = good
    other = make(tmp_path / "good", tables)
    assert summary["splits"] == other["splits"]


@pytest.mark.slow
def test_rows_of_too_few_values_are_counted(tmp_path, tables):
    config = write_shop(tmp_path, tables)
    with (tmp_path / "users.csv").open("a") as file:
        file.write("99,3\n")
    with pytest.raises(DataError, match=r"users\.csv: a row has 2 values.*3"):
        make_dataset("tables", tmp_path / "out", config=config)
    summary = make_dataset(
        "tables", tmp_path / "out", config=config, max_bad_records=1
    )
    assert summary["log"]["bad_records"] == 1
    assert summary["log"]["counts"]["rows of users"] == len(tables["users"])


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("tables", "events", "colums"), {}, "did you mean `columns`"),
        (("tables", "event"), {"path": "x"}, "`tables.event`"),
        (("tables", "events", "columns", "usr"), "uid", "columns.usr"),
        (("behaviors", "click", "max_length"), "ten", "max_length"),
        (("behaviors", "click", "window"), "7 weeks", "7 weeks"),
        (("objectives", "click", "label"), "", "`objectives.click`: needs"),
        (("objectives", "order", "given"), "view", "objectives.order.given"),
        (("statistics",), [{"key": "brand_id"}], "statistics.0.key"),
        (("statistics", 0, "delay"), "late", "statistics.0.delay"),
        (("tables", "stock", "of"), "events", "tables.stock.of"),
        (("tables", "stock", "of"), "", "`tables.stock`: is no table"),
        (("tables", "stock", "ids", "weight"), "shelf", "`tables.stock`: `we"),
        (("tables", "stock", "columns", "type"), "x", "stock.columns.type"),
        (("split",), {"by": "shop"}, "split.by"),
        (("split",), {"test_from": "soon"}, "split."),
        (("sampling",), {"positives": "click"}, "not both"),
        (("zone",), "Mars", "Mars"),
        (("smoothing",), -1.0, "`smoothing`: must hold a number from 0 on"),
        (("requests",), {"max_candidates": 0}, "requests.max_candidates"),
        (("name",), None, "`name`"),
    ],
)
def test_a_wrong_configuration_names_the_key(tmp_path, path, value, words):
    config = write_shop(tmp_path, random_tables(6, events=100, requests=40))
    fields = yaml.safe_load(config.read_text())
    place = fields
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    config.write_text(yaml.safe_dump(fields))
    with pytest.raises(DataError) as error:
        make_dataset("tables", tmp_path / "out", config=config)
    assert words in str(error.value)
    assert not (tmp_path / "out").exists()


def test_equal_data_whatever_the_files(tmp_path, tables):
    """Milliseconds, texts, several files and repeated rows mean the same."""
    plain = make(tmp_path / "plain", tables)
    events = tables["events"]
    other = dict(tables)
    other["events"] = pd.concat([events.iloc[:50], events.iloc[:50]])
    other["shown"] = tables["shown"].assign(
        ts=pd.to_datetime(tables["shown"].ts, unit="s")
        .dt.tz_localize("UTC")
        .dt.tz_convert("Asia/Shanghai")
        .dt.strftime("%Y-%m-%d %H:%M:%S")
    )
    folder = tmp_path / "other"
    config = write_shop(folder, other)
    rest = events.iloc[50:].assign(ts=events.ts.iloc[50:])
    rest.to_parquet(folder / "events2.parquet", index=False)
    summary = make_dataset(
        "tables", folder / "out", config=config, num_processes=1
    )
    assert summary["splits"] == plain["splits"]
    for split in ("train", "test"):
        name = f"{split}-00000-of-00002.tfrecord"
        one, two = ((f / "out" / name) for f in (tmp_path / "plain", folder))
        assert one.read_bytes() == two.read_bytes()
