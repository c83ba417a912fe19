"""Makes a table of neighbours of items out of the records of a data folder.

    python -m experiments.make_neighbors --data=runs/data --job=swing \
        --output=runs/swing.npz

Reads the histories and the positive candidates of the training split, each
item once a user, and writes the strongest neighbours of each item for the
recall channel `Neighbors`. The table is the same whenever it is made again of
the same data and flags. The pairs that a ranker reads (`make_pairs`) serve
that channel as well. With --engine=duckdb or spark pairs are worked out over
tables: the same table up to rounding, for logs whose pairs do not fit.

Exit codes: 0 written; 2 unusable data or flags.
"""

import math
import tempfile
from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_DATA = flags.DEFINE_string(
    "data", None, "Data folder, made by make_data.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "File to write, ending in .npz.", required=True
)
_JOB = flags.DEFINE_enum(
    "job", "swing", ["swing", "co_occurrence", "ease"], "How it is made."
)
_NUM_NEIGHBORS = flags.DEFINE_integer(
    "num_neighbors", 200, "Strongest neighbours of an item that are kept."
)
_WEIGHTS = flags.DEFINE_list(
    "weights",
    [],
    "Weights of events by behaviour or objective, `name:number` each; 1 for "
    "others, 0 leaves them out.",
)
_MAX_EVENTS = flags.DEFINE_integer(
    "max_events", 500, "Newest items of a user that are read."
)
_MAX_ENTRIES = flags.DEFINE_integer(
    "max_entries",
    1 << 22,
    "Memory of swing and co_occurrence: entries held at a time, about 200 "
    "bytes each, once a core.",
)
_MAX_USERS = flags.DEFINE_integer(
    "max_users", 200, "Swing: users of an item that are read; 0: all."
)
_ALPHA = flags.DEFINE_float("alpha", 1.0, "Swing: smoothing of overlaps.")
_HALF_LIFE = flags.DEFINE_float(
    "half_life",
    0.0,
    "Co-occurrence: seconds after which an event counts half; 0: all alike.",
)
_TARGET_DAMPING = flags.DEFINE_float(
    "target_damping",
    None,
    "Swing, co-occurrence: exponent of the popularity of the item that is "
    "brought.",
)
_ENGINE = flags.DEFINE_enum(
    "engine",
    "numpy",
    ["numpy", "duckdb", "spark"],
    "Swing, co-occurrence: SciPy in memory, or expressions over tables, which "
    "spill to disk or run on a cluster.",
)
_MASTER = flags.DEFINE_string("master", "local[2]", "Spark: its master.")
_MEMORY_LIMIT = flags.DEFINE_string(
    "memory_limit", "", "DuckDB, Spark's driver: such as 4GB."
)
_L2 = flags.DEFINE_float("l2", 200.0, "EASE: weight of the penalty.")


def main(_: object) -> None:
    """Makes the table, writes it and prints its size."""
    if not _OUTPUT.value.endswith(".npz"):
        raise DataError(f"--output must end in .npz. Got: {_OUTPUT.value}.")
    if _ENGINE.value != "numpy" and _JOB.value == "ease":
        raise DataError("--engine: EASE has no expressions; leave it out.")
    weights = {}
    for text in _WEIGHTS.value:
        name, _, number = text.partition(":")
        try:
            weights[name] = float(number)
        except ValueError:
            weights[name] = -1.0
        if not 0 <= weights[name] < math.inf:
            raise DataError(
                "--weights: `name:number` is wanted, not below 0. "
                f"Got: {text!r}."
            )
    from jd_tf.pipeline.recall.co_occurrence import co_occurrence_table
    from jd_tf.pipeline.recall.ease import ease_table
    from jd_tf.pipeline.recall.interactions import Interactions
    from jd_tf.pipeline.recall.swing import swing_table

    options = {"num_neighbors": _NUM_NEIGHBORS.value}
    if _JOB.value != "ease":
        options["max_entries"] = _MAX_ENTRIES.value
        if _TARGET_DAMPING.value is not None:
            options["target_damping"] = _TARGET_DAMPING.value
    job, own = {
        "swing": (
            swing_table,
            {"max_users": _MAX_USERS.value, "alpha": _ALPHA.value},
        ),
        "co_occurrence": (co_occurrence_table, {"half_life": _HALF_LIFE.value}),
        "ease": (ease_table, {"l2": _L2.value}),
    }[_JOB.value]
    interactions = Interactions.of_records(
        _DATA.value, weights, max_events=_MAX_EVENTS.value
    )
    if _ENGINE.value == "numpy":
        table = job(interactions, **options, **own)
    else:
        from jd_tf.data.tables.making import open_engine

        # Beside the output, which executors of Spark must see, too.
        folder = Path(_OUTPUT.value).resolve().parent
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".stage") as stage:
            engine = open_engine(
                _ENGINE.value, Path(stage), _MASTER.value, _MEMORY_LIMIT.value
            )
            table = job(interactions, **options, **own, engine=engine)
    table.save(_OUTPUT.value)
    print(table.summary())
    print(f"neighbours: {_OUTPUT.value}")


if __name__ == "__main__":
    program.run(main)
