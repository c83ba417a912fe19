"""Fails where a change made rankings worse on public data.

    python -m experiments.benchmarks.quality_gate --data=../shared/data \
        --output=runs/gate

Runs Amazon Beauty (protocol of S3-Rec) and JD's micro-behaviour sessions with
the presets of quickstart and compares test metrics with `quality_gate.json`
beside this file: expected values and tolerances, from several seeds. What is
done already is not done again; name a new --output after a change.
"""

import sys
from pathlib import Path

from absl import flags

from experiments import program

_DATA = flags.DEFINE_string(
    "data", None, "Folder of the public data sets.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of everything made.", required=True
)
_SEED = flags.DEFINE_integer("seed", 1, "Of both runs.", lower_bound=0)
FAILED = 4


def main(_: object) -> None:
    """Runs both data sets; exits with `FAILED` below a tolerance."""
    from experiments.gate_runs import (
        EXPECTED_FILE,
        below,
        run_beauty,
        run_jd_micro,
    )
    from jd_tf.data.files import read_json

    expected = read_json(EXPECTED_FILE)
    folder, output = Path(_DATA.value), Path(_OUTPUT.value)
    beauty, jd_micro = output / "beauty", output / "jd_micro"
    found = {
        "Beauty": run_beauty(folder / "amazon_sequences", beauty, _SEED.value),
        "jd_micro": run_jd_micro(
            folder / "jd_micro_behaviors", jd_micro, _SEED.value
        ),
    }
    failures = below(expected, found)
    for name, metrics in expected.items():
        for metric, (value, tolerance) in metrics.items():
            print(
                f"{name:<10}{metric:<12}{found[name][metric]:.4f}   expected "
                f"{value:.4f}, at least {value - tolerance:.4f}"
            )
    if failures:
        print(f"error: worse than expected: {', '.join(failures)}.")
        sys.exit(FAILED)


if __name__ == "__main__":
    program.run(main)
