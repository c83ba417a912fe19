"""Files in other dress hold the same tables."""

import codecs
import gzip

import duckdb
import pandas as pd
import pytest
import yaml

from jd_tf.data import make_dataset
from tests.data.tables.records import read_requests
from tests.data.tables.small_shop import CONFIG, random_tables, write_shop

TEXT = "\u7535\u8111, \u201clarge\u201d"


def made(folder, config):
    make_dataset("tables", folder / "out", config=config, num_processes=1)
    return read_requests(folder / "out")


def with_table(config, name, **changes):
    fields = yaml.safe_load(config.read_text())
    fields["tables"][name] |= changes
    config.write_text(yaml.safe_dump(fields))


@pytest.fixture(scope="module")
def tables():
    tables = random_tables(21, events=200, requests=50)
    # A comma and quotes, which CSV must quote.
    tables["items"]["cate"] = tables["items"].cate.replace("food", TEXT)
    return tables


@pytest.fixture(scope="module")
def expected(tmp_path_factory, tables):
    folder = tmp_path_factory.mktemp("plain")
    requests = made(folder, write_shop(folder, tables))
    assert any(TEXT in request["category_id"] for request in requests.values())
    return requests


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-bom", "utf-16"])
def test_encodings(tmp_path, tables, expected, encoding):
    config = write_shop(tmp_path, tables)
    path = tmp_path / "items.csv"
    text = path.read_text(encoding="utf-8")
    if encoding == "utf-8-bom":
        path.write_bytes(codecs.BOM_UTF8 + text.encode())
    else:
        path.write_bytes(text.encode(encoding))
        with_table(config, "items", encoding=encoding)
    assert made(tmp_path, config) == expected


def test_gzip_and_other_separators(tmp_path, tables, expected):
    config = write_shop(tmp_path, tables)
    path = tmp_path / "items.tsv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        tables["items"].to_csv(file, sep="\t", index=False)
    with_table(config, "items", path="items.tsv.gz", separator="\t")
    assert made(tmp_path, config) == expected


def test_a_table_of_a_database(tmp_path, tables, expected):
    config = write_shop(tmp_path, tables)
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.register("frame", tables["events"])
        connection.execute("CREATE TABLE happened AS SELECT * FROM frame")
    with_table(config, "events", path="shop.duckdb", table="happened")
    assert made(tmp_path, config) == expected


@pytest.mark.parametrize("dress", ["ms", "us", "timestamp", "zoned", "iso"])
def test_times(tmp_path, tables, expected, dress):
    seconds = tables["events"].ts
    moments = pd.to_datetime(seconds, unit="s", utc=True)
    there = moments.dt.tz_convert("Asia/Shanghai")
    dressed = {
        "ms": seconds * 1000,
        "us": seconds * 1_000_000,
        # Without a zone: in that of the configuration.
        "timestamp": there.dt.tz_localize(None),
        "zoned": moments,
        "iso": there.map(lambda moment: moment.isoformat()),
    }
    events = tables["events"].assign(ts=dressed[dress])
    config = write_shop(tmp_path, {**tables, "events": events})
    assert made(tmp_path, config) == expected


def test_dwell_in_milliseconds(tmp_path, tables, expected):
    events = tables["events"].assign(seconds=tables["events"].seconds * 1000)
    config = write_shop(tmp_path, {**tables, "events": events})
    columns = {**CONFIG["tables"]["events"]["columns"], "dwell_ms": "seconds"}
    del columns["dwell"]
    with_table(config, "events", columns=columns)
    assert made(tmp_path, config) == expected


def test_ids_of_texts(tmp_path, tables, expected):
    """In CSV ids are texts unless the configuration says otherwise."""
    config = write_shop(tmp_path, tables)
    fields = yaml.safe_load(config.read_text())
    fields["ids"] = {
        "user": {"dtype": "string"},
        "item": {"dtype": "string"},
    }
    config.write_text(yaml.safe_dump(fields))
    for name, request in made(tmp_path, config).items():
        other = expected[name]
        assert request["item_id"] == [str(i) for i in other["item_id"]]
        assert request["item_dense"] == other["item_dense"]
        assert request["viewer_id"] == str(other["viewer_id"])
