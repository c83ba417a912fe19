"""Makes large random tables and measures what becomes of them.

    python -m experiments.table_load --events=1000000 --folder=runs/load

writes Parquet of events, a tenth as many impressions in requests of ten, items
and users, and runs `make_data --source=tables` on it with three histories of 50
and 40 statistics; prints its seconds and the most memory of its processes.
`--engines=duckdb,spark` makes the data with both and fails if a byte differs.
"""

import hashlib
import resource
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import yaml
from absl import flags

from experiments import program

_EVENTS = flags.DEFINE_integer("events", 1_000_000, "Events.", lower_bound=1000)
_FOLDER = flags.DEFINE_string(
    "folder", None, "Folder to make, removed at the end.", required=True
)
_MEMORY_LIMIT = flags.DEFINE_string("memory_limit", "4GB", "Of the engine.")
_ENGINES = flags.DEFINE_list(
    "engines", ["duckdb"], "What joins: duckdb, spark or both."
)
flags.register_validator(
    _ENGINES,
    lambda names: bool(names) and {*names} <= {"duckdb", "spark"},
    "name duckdb, spark or both",
)

_DAYS, _DAY = 60, 86_400
_START = 1_700_000_000
_KEYS = {"user": "user", "item": "item", "time": "time"}
_BEHAVIORS = ("click", "cart", "order")
_CONFIG = {
    "name": "load",
    "tables": {
        "events": {
            "path": "events.parquet",
            "columns": {**_KEYS, "type": "type"},
        },
        "impressions": {
            "path": "impressions.parquet",
            "columns": {**_KEYS, "request": "request", "position": "position"},
        },
        "items": {
            "path": "items.parquet",
            "columns": {"item": "item"},
            "ids": {"category_id": "category", "brand_id": "brand"},
            "numbers": {"price": "price"},
        },
    },
    "behaviors": {name: {"max_length": 50} for name in _BEHAVIORS},
    "objectives": {
        "click": {"label": "clicked"},
        "order": {"events": ["order"], "within": "1d"},
    },
    # In four windows 3 + 2 + 2 + 1 + 3 numbers: 44 in all.
    "statistics": [
        {"key": key, "windows": ["1d", "7d", "30d", "all"], "values": values}
        for key, values in (
            ("item_id", ["impressions", "rate"]),
            ("category_id", ["rate"]),
            ("brand_id", ["rate"]),
            ("user_id", ["impressions"]),
            (["user_id", "category_id"], ["impressions", "rate"]),
        )
    ],
}


def main(_: object) -> None:
    """Makes the tables, then the data set with each engine."""
    folder = Path(_FOLDER.value)
    folder.mkdir(parents=True)
    try:
        write_tables(folder, _EVENTS.value)
        digests = {
            _make(folder, engine, f"data-{place}")
            for place, engine in enumerate(_ENGINES.value)
        }
    finally:
        shutil.rmtree(folder)
    if len(digests) > 1:
        raise ValueError(f"{_ENGINES.value} wrote different records.")


def _make(folder: Path, engine: str, name: str) -> str:
    """Makes a data set, prints its costs, returns a digest of its files."""
    from jd_tf.data import make_dataset

    started = time.monotonic()
    summary = make_dataset(
        "tables",
        folder / name,
        config=folder / "load.yaml",
        memory_limit=_MEMORY_LIMIT.value,
        engine=engine,
        progress=program.PROGRESS.value,
    )
    seconds = time.monotonic() - started
    digest = _digest(folder / name)
    requests = {n: s["requests"] for n, s in summary["splits"].items()}
    print(
        f"{engine}, {_EVENTS.value} events, requests {requests}: "
        f"{seconds:.0f} s; records {digest[:12]}"
    )
    for who, what in (
        (resource.RUSAGE_SELF, "joins"),
        (resource.RUSAGE_CHILDREN, "the largest other process"),
    ):
        peak = resource.getrusage(who).ru_maxrss / 1e6
        print(f"memory at most, {what}: {peak:.2f} GB")
    return digest


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.tfrecord")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_tables(folder: Path, events: int) -> None:
    """Writes the tables and their configuration."""
    draw = np.random.default_rng(1)
    users, items = max(100, events // 100), max(100, events // 100)
    requests = events // 100

    def some_items(count: int) -> np.ndarray:
        # Some are popular.
        return 1 + (items * draw.random(count) ** 3).astype(np.int64)

    def times(count: int) -> np.ndarray:
        return _START + draw.integers(0, _DAYS * _DAY, count)

    _write(
        folder / "events.parquet",
        user=draw.integers(1, users + 1, events),
        item=some_items(events),
        time=times(events),
        type=draw.choice(_BEHAVIORS, events, p=[0.7, 0.2, 0.1]),
    )
    shown = requests * 10
    _write(
        folder / "impressions.parquet",
        request=np.repeat(np.arange(requests), 10),
        user=np.repeat(draw.integers(1, users + 1, requests), 10),
        item=some_items(shown),
        time=np.repeat(times(requests), 10),
        position=np.tile(np.arange(10), requests),
        clicked=draw.random(shown) < 0.1,
    )
    _write(
        folder / "items.parquet",
        item=np.arange(1, items + 1),
        category=draw.integers(1, 500, items),
        brand=draw.integers(1, 5000, items),
        price=draw.random(items) * 100,
    )
    text = yaml.safe_dump(_CONFIG, sort_keys=False)
    (folder / "load.yaml").write_text(text, encoding="utf-8")


def _write(path: Path, **columns: np.ndarray) -> None:
    pyarrow.parquet.write_table(pa.table(columns), path)


if __name__ == "__main__":
    program.run(main)
