"""Statistics of public logs and of the simulated shop, in one table.

    python -m experiments.benchmarks.logs.log_statistics \
        --input=../shared/data --output=runs/log_statistics

Writes `OUTPUT/log_statistics.json` and prints a Markdown table. What each row
means is in `docs/log_statistics.md`.

Exit codes: 0 done; 2 unusable data or flags.
"""

import time
from pathlib import Path

from absl import flags

from experiments import program

_INPUT = flags.DEFINE_string(
    "input", None, "Folder with a folder of each log.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the result.")
_LOGS = flags.DEFINE_list("logs", None, "Names of logs; all by default.")
_USERS = flags.DEFINE_integer("num_users", 1_500, "Simulated users.")
_REQUESTS = flags.DEFINE_integer("num_requests", 30_000, "Simulated requests.")
_SEED = flags.DEFINE_integer("seed", 1, "Of the simulated shop.")
RESULT_FILE = "log_statistics.json"


def main(_: object) -> None:
    """Reads log by log; prints the table."""
    from experiments.benchmarks.logs.log_events import read_log, readers
    from experiments.benchmarks.logs.statistics_of_log import (
        log_statistics,
        markdown,
    )
    from jd_tf.data.files import write_json
    from jd_tf.data.simulator import SimulatorConfig

    config = SimulatorConfig(
        num_users=_USERS.value, num_requests=_REQUESTS.value, seed=_SEED.value
    )
    known = readers(Path(_INPUT.value), config)
    found = {}
    for name in _LOGS.value or known:
        start = time.monotonic()
        found[name] = log_statistics(read_log(known, name))
        print(f"{name}: {time.monotonic() - start:.1f} s", flush=True)
    if _OUTPUT.value:
        known_values = {
            log: {k: v if v == v else None for k, v in values.items()}
            for log, values in found.items()
        }
        write_json(Path(_OUTPUT.value) / RESULT_FILE, known_values)
    print(markdown(found))


if __name__ == "__main__":
    program.run(main)
