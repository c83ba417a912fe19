"""Verifies an exported version, of a ranker, two towers or an image tower.

    python -m experiments.verify_export saved_models/jd_ranker/3

Checks files against the model card, the graph's ops, signatures, batching
file and warm-up calls, loads it as a model server would and replays the calls.

Exit codes: 0 it may be served; 2 it may not, with one line for each reason.
"""

import sys
from collections.abc import Sequence

from absl import flags

from experiments import program
from jd_tf.schema import DataError

_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    None,
    "Largest relative difference between recorded and reloaded answers; by "
    "default that of the export.",
    lower_bound=0.0,
)


def main(arguments: Sequence[str]) -> int:
    """Prints the errors found."""
    if len(arguments) != 2:
        raise DataError("name one version folder: verify_export FOLDER.")
    from jd_tf.serving.export import verify_export

    folder = arguments[1]
    errors = verify_export(folder, _TOLERANCE.value)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    if errors:
        return program.BAD_INPUT
    print(f"{folder}: fit to be served")
    return 0


if __name__ == "__main__":
    program.run(main, max_arguments=1)
