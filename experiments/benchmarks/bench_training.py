"""Our training loop against the same network in plain Keras, row by row.

    python -m experiments.benchmarks.bench_training --output=runs/bench_training

Every run is a fresh process; ours and theirs take turns, table size by table
size and round by round, so that what else the machine does hits both. One
behaviour of 50 events, 10 impressions a request, one encoder block, MMoE with
two objectives, batches of 512 impressions (510 for us: 51 requests). Ours
reads and parses TFRecords all the while; theirs has its rows in memory.
Ids follow a power law like a shop's.

Prints a table and writes `bench_training.json` (rows -> system -> figures:
medians over the rounds, `spread` their range), `settings.json` and
`bench_training.png`. With the defaults: about 20 minutes on 2 cores, 12 GiB.
"""

from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for data and results.", required=True
)
_TABLES = program.needs_entries(
    flags.DEFINE_list(
        "tables", ["100000", "1000000", "5000000"], "Rows of the item tables."
    )
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "Runs of each system and table.", lower_bound=1
)
_RUN_SECONDS = flags.DEFINE_float(
    "run_seconds", 20.0, "Seconds measured a run.", lower_bound=0.1
)
_REQUESTS = flags.DEFINE_integer(
    "requests", 4080, "Requests in the data.", lower_bound=51
)
_POPULARITY = flags.DEFINE_float(
    "popularity",
    1.0,
    "Exponent of the ids' power law; 0 makes all alike, the worst for caches.",
    lower_bound=0.0,
)


def main(_: object) -> None:
    """Checks the flags, holds the contest, prints the table."""
    tables = [_rows(text) for text in _TABLES.value]
    from experiments.benchmarks.training_contest import (
        RESULT_FILE,
        hold_contest,
        table,
    )

    result = hold_contest(
        _OUTPUT.value,
        tables,
        _ROUNDS.value,
        _RUN_SECONDS.value,
        _REQUESTS.value,
        _POPULARITY.value,
    )
    print(table(result))
    print(f"wrote {Path(_OUTPUT.value) / RESULT_FILE}")


def _rows(text: str) -> int:
    if not text.isdigit() or int(text) < 2:
        raise DataError(f"--tables: `{text}` is no number of rows.")
    return int(text)


if __name__ == "__main__":
    program.run(main)
