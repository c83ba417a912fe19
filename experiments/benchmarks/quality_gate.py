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
from typing import Any

from absl import flags

from experiments import program

_DATA = flags.DEFINE_string(
    "data", None, "Folder of the public data sets.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of everything made.", required=True
)
_SEED = flags.DEFINE_integer("seed", 1, "Of both runs.", lower_bound=0)
EXPECTED_FILE = Path(__file__).with_name("quality_gate.json")
FAILED = 4


def main(_: object) -> None:
    """Runs both data sets; exits with `FAILED` below a tolerance."""
    from jd_tf.data.files import read_json

    expected = read_json(EXPECTED_FILE)
    folder, output = Path(_DATA.value), Path(_OUTPUT.value)
    found = {
        "Beauty": _beauty(folder / "amazon_sequences", output / "beauty"),
        "jd_micro": _jd_micro(folder / "jd_micro_behaviors", output / "micro"),
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


def below(
    expected: dict[str, dict[str, list[float]]],
    found: dict[str, dict[str, float]],
) -> list[str]:
    """Returns the names of metrics that fell by more than their tolerance."""
    return [
        f"{name} {metric}"
        for name, metrics in expected.items()
        for metric, (value, tolerance) in metrics.items()
        # So that a nan fails, too.
        if not found[name][metric] >= value - tolerance
    ]


def _beauty(folder: Path, output: Path) -> dict[str, float]:
    from experiments.benchmarks.sequences_run import run_dataset

    return run_dataset(folder, "Beauty", output, _SEED.value, False)["test"]


def _jd_micro(folder: Path, output: Path) -> dict[str, Any]:
    import dataclasses

    from experiments.presets import QUICKSTART_PRESETS
    from experiments.steps import Steps
    from experiments.train_ranker import count_pairs, train_ranker
    from jd_tf.data.batches import read_batches
    from jd_tf.data.dataset_making import make_dataset
    from jd_tf.training.validator import Validator
    from jd_tf.training.workdir import load_trained

    preset = QUICKSTART_PRESETS["jd_micro", "demo"]
    training = dataclasses.replace(preset.training, seed=_SEED.value)
    data, pairs, run = output / "data", output / "pairs.npz", output / "model"
    steps = Steps(
        output / "steps.json", {"input": str(folder), "seed": _SEED.value}
    )

    def make() -> None:
        make_dataset("jd_micro", data, folder, overwrite=True, **preset.data)

    def count() -> None:
        count_pairs(data, pairs, preset.pairs or {}, progress=False)

    def train() -> None:
        train_ranker(data, run, preset.model, training, pairs=pairs)

    def evaluate() -> dict[str, Any]:
        model = load_trained(run)
        test = read_batches(data, "test", 256, schema=model.schema)
        return Validator(model, lambda: test)()

    steps.step("making the data", "data", make)
    steps.step("counting pairs of items", "pairs", count)
    steps.step("training", "train", train)
    steps.step("evaluating", "evaluate", evaluate)
    return steps.done["evaluate"]


if __name__ == "__main__":
    program.run(main)
