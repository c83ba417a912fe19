"""DuckDB and Spark write the same bytes."""

import shutil

import pytest

from jd_tf.data import make_dataset
from jd_tf.schema import DataError
from tests.data.tables.small_shop import CONFIG, random_tables, write_shop

pytest.importorskip("pyspark", reason="pip install 'jd_tf[spark]'")
# A session of Spark takes half a minute to start.
pytestmark = pytest.mark.slow


def files_of(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix in (".tfrecord", ".json")
    }


@pytest.mark.skipif(not shutil.which("java"), reason="Spark needs Java 17")
def test_spark_writes_the_same_records(tmp_path):
    config = write_shop(
        tmp_path,
        random_tables(7, events=300, requests=60, days=4),
        statistics=CONFIG["statistics"][:1] + CONFIG["statistics"][3:],
    )
    for engine in ("duckdb", "spark"):
        options = {"master": "local[2]"} if engine == "spark" else {}
        make_dataset(
            "tables",
            tmp_path / engine,
            config=config,
            engine=engine,
            num_processes=1,
            **options,
        )
    made = files_of(tmp_path / "duckdb")
    assert sum(name.endswith(".tfrecord") for name in made) == 6
    assert files_of(tmp_path / "spark") == made


def test_without_java_the_error_says_what_to_install(tmp_path, monkeypatch):
    config = write_shop(tmp_path, random_tables(7, events=50, requests=20))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="Java 17"):
        make_dataset("tables", tmp_path / "out", config=config, engine="spark")
    assert not list(tmp_path.glob(".*"))
