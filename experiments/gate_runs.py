"""The two runs of the quality gate, and what is a failure."""

import dataclasses
from pathlib import Path
from typing import Any

from experiments import program
from experiments.benchmarks.sequences_run import run_dataset
from experiments.presets import QUICKSTART_PRESETS
from experiments.steps import Steps
from experiments.train_ranker import count_pairs, train_ranker
from jd_tf.data.batches import read_batches
from jd_tf.data.dataset_making import make_dataset
from jd_tf.training.validator import Validator
from jd_tf.training.workdir import load_trained

EXPECTED_FILE = Path(__file__).parent / "benchmarks/quality_gate.json"


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


def run_beauty(folder: Path, output: Path, seed: int) -> dict[str, float]:
    """Returns test metrics of Amazon Beauty under S3-Rec's protocol."""
    return run_dataset(folder, "Beauty", output, seed, False)["test"]


def run_jd_micro(folder: Path, output: Path, seed: int) -> dict[str, Any]:
    """Returns test metrics of JD sessions with the preset of quickstart."""
    preset = QUICKSTART_PRESETS["jd_micro", "demo"]
    shown = program.shows_progress()
    training = dataclasses.replace(preset.training, seed=seed, progress=shown)
    data, pairs, run = output / "data", output / "pairs.npz", output / "model"
    steps = Steps(output / "steps.json", {"input": str(folder), "seed": seed})

    def make() -> None:
        make_dataset("jd_micro", data, folder, overwrite=True, **preset.data)

    def count() -> None:
        count_pairs(data, pairs, preset.pairs or {}, progress=shown)

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
