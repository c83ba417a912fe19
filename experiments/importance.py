"""Measures what a trained ranker loses without each column.

    python -m experiments.importance --data=runs/data --workdir=runs/model \
        --output=runs/importance

Permutes a column over all requests of the split, so that it tells nothing but
keeps its values, and ranks again: what AUC and GAUC of each objective lose is
what the ranker lives on. Columns that say the same stand in for each other:
each alone then seems to matter little. Writes `importance.json`, `.md` and
`.png`.
"""

from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_DATA = flags.DEFINE_string(
    "data", None, "Data folder, made by make_data.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the trained run.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the report.", required=True
)
_SPLIT = flags.DEFINE_string("split", "test", "Requests to judge on.")
_MAX_REQUESTS = flags.DEFINE_integer(
    "max_requests", 5000, "The first of them, at most.", lower_bound=2
)
_REPLICATES = flags.DEFINE_integer(
    "num_replicates", 200, "Resamples of the intervals.", lower_bound=2
)
_SEED = flags.DEFINE_integer("seed", 1, "Of the permutations.", lower_bound=0)


def main(_: object) -> None:
    """Measures, writes the three files and prints the table."""
    output = Path(_OUTPUT.value)
    if output.exists() and not output.is_dir():
        raise DataError(f"--output={output}: is a file, not a folder.")
    from experiments.column_importance import (
        importance_markdown,
        importance_picture,
        measure_importance,
    )
    from jd_tf.data.files import write_json, write_whole

    found = measure_importance(
        _DATA.value,
        _WORKDIR.value,
        _SPLIT.value,
        _MAX_REQUESTS.value,
        _REPLICATES.value,
        _SEED.value,
    )
    table = importance_markdown(found)
    write_json(output / "importance.json", found)
    write_whole(output / "importance.md", f"{table}\n".encode())
    write_whole(output / "importance.png", importance_picture(found))
    print(f"\n{found['num_requests']} requests\n\n{table}\n\nreport: {output}")


if __name__ == "__main__":
    program.run(main)
