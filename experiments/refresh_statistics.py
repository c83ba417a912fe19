"""Brings the statistics and user profiles of a served ranker up to date.

    python -m experiments.refresh_statistics --config=shop.yaml \
        --data=runs/shop/data --output=runs/shop/snapshot

reads the tables and writes `item_statistics.parquet`, a row an item,
`user_profile.parquet`, a row a user, and what `jd_tf.data.tables.snapshots`
fills requests from. Called again, it needs the new rows alone:

    ... --events='days/2026-03-29/*.csv' --impressions='days/2026-03-29.parquet'
"""

import dataclasses

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_CONFIG = flags.DEFINE_string(
    "config", None, "The YAML file of the tables.", required=True
)
_INPUT = flags.DEFINE_string(
    "input", None, "Folder of the tables; by default that of the YAML file."
)
_DATA = flags.DEFINE_string(
    "data", None, "Folder that make_data made of it.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the snapshot.", required=True
)
_AS_OF = flags.DEFINE_string(
    "as_of",
    "",
    "ISO time of the requests it is for; by default the end of the log.",
)
_NEW_FILES = {
    name: flags.DEFINE_string(
        name, "", f"Files with the new {name}, in place of the configured."
    )
    for name in ("events", "impressions")
}
_REBUILD = flags.DEFINE_bool(
    "rebuild", False, "Forget what the snapshot has seen."
)
_ENGINE = flags.DEFINE_enum(
    "engine", "duckdb", ["duckdb", "spark"], "What joins."
)
_MASTER = flags.DEFINE_string("master", "local[2]", "Master of Spark.")
_MEMORY_LIMIT = flags.DEFINE_string(
    "memory_limit", "", "Memory of the engine, such as 4GB."
)
_MAX_BAD_RECORDS = flags.DEFINE_integer(
    "max_bad_records", 0, "Bad rows to skip and count.", lower_bound=0
)


def main(_: object) -> None:
    """Makes or refreshes one snapshot."""
    from jd_tf.data.tables.config_reading import read_config
    from jd_tf.data.tables.snapshots.refreshing import refresh_snapshot

    config = read_config(_CONFIG.value, _INPUT.value)
    tables = dict(config.tables)
    for name, flag in _NEW_FILES.items():
        if flag.value and name not in tables:
            raise DataError(f"--{name}: the configuration has no such table.")
        if flag.value:
            tables[name] = dataclasses.replace(tables[name], path=flag.value)
    report = refresh_snapshot(
        dataclasses.replace(config, tables=tables),
        _DATA.value,
        _OUTPUT.value,
        as_of=_AS_OF.value,
        rebuild=_REBUILD.value,
        max_bad_records=_MAX_BAD_RECORDS.value,
        engine=_ENGINE.value,
        master=_MASTER.value,
        memory_limit=_MEMORY_LIMIT.value,
    )
    for what, count in report.counts.items():
        print(f"{what}: {count}")
    print(f"bad rows skipped: {report.bad_records}\n{_OUTPUT.value}: done")


if __name__ == "__main__":
    program.run(main)
