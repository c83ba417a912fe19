"""Prints how the tables of a configuration are understood.

    python -m experiments.check_tables shop.yaml
    python -m experiments.check_tables kuairand --input=FOLDER

joins the tables as `make_data --source=tables` would, writes nothing, and
prints what was counted, the columns of a request and ten of the requests.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.data.tables.checking import check_tables
from jd_tf.schema import DataError

_INPUT = flags.DEFINE_string(
    "input", None, "Folder of the tables; by default that of the YAML file."
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


def main(arguments: Sequence[str]) -> None:
    """Checks the tables of one configuration."""
    if len(arguments) != 2:
        raise DataError("name the YAML file of the tables, or a public log.")
    with tempfile.TemporaryDirectory(prefix="tables.") as folder:
        print(
            check_tables(
                arguments[1],
                Path(folder),
                _INPUT.value,
                max_bad_records=_MAX_BAD_RECORDS.value,
                engine=_ENGINE.value,
                master=_MASTER.value,
                memory_limit=_MEMORY_LIMIT.value,
            )
        )


if __name__ == "__main__":
    program.run(main, max_arguments=1)
