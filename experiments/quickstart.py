"""From logs to a ranking in one command.

    python -m experiments.quickstart --source=simulator --workdir=runs/demo
    python -m experiments.quickstart --source=jd_micro --input=LOGS \
        --workdir=runs/micro
    python -m experiments.quickstart --source=tables --config=YAML \
        --workdir=runs/shop

Makes the data, trains, evaluates, exports and ranks. Whatever is done already
is not done again, so running it again after a kill goes on where it stopped.
"""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from experiments import program
from experiments.source_names import SOURCE_NAMES
from experiments.steps import Steps

_SOURCE = flags.DEFINE_enum(
    "source",
    "simulator",
    SOURCE_NAMES,
    "What to learn from.",
)
_INPUT = flags.DEFINE_string(
    "input",
    None,
    "Folder of the log; none for the simulator. That of tables is by default "
    "the folder of their YAML file.",
)
_CONFIG = flags.DEFINE_string(
    "config", None, "tables: the YAML file that declares them."
)
_TEST_INPUT = flags.DEFINE_string(
    "test_input",
    None,
    "Requests of your own to judge as the test split: a data folder, or a file "
    "of JSON, JSON lines or TFRecords with labels.",
)
_MAX_BAD_RECORDS = flags.DEFINE_integer(
    "max_bad_records",
    None,
    "Logs and tables: bad lines, rows or records to skip and count.",
    lower_bound=0,
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of everything made.", required=True
)
_PRESET = flags.DEFINE_enum(
    "preset", "demo", ["demo", "long"], "How much; long is for the simulator."
)
_SEED = flags.DEFINE_integer(
    "seed", 1, "Of everything drawn at random.", lower_bound=0
)
_DTYPE_POLICY = flags.DEFINE_enum(
    "dtype_policy",
    "float32",
    ["float32", "mixed_float16", "mixed_bfloat16"],
    "Precision of activations while training.",
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Begin anew.")

STATE_FILE = "quickstart.json"


def main(_: object) -> int | None:
    """Runs the steps that are not done yet and shows the result."""
    from experiments.presets import find_preset

    preset = find_preset(_SOURCE.value, _PRESET.value)
    workdir = Path(_WORKDIR.value)
    run = Steps(
        workdir / STATE_FILE,
        _settings(),
        "Name another --workdir, or pass --overwrite to begin anew.",
        _OVERWRITE.value,
        made=("data", "pairs.npz", "model", "saved_models"),
    )
    data, model_dir = workdir / "data", workdir / "model"
    pairs = workdir / "pairs.npz"

    def make() -> None:
        from jd_tf.data.dataset_making import make_dataset
        from jd_tf.data.summary_report import summary_text

        options = dict(preset.data)
        if preset.random_data:
            options["seed"] = _SEED.value
        if _CONFIG.value:
            options["config"] = _CONFIG.value
        if _MAX_BAD_RECORDS.value is not None:
            options["max_bad_records"] = _MAX_BAD_RECORDS.value
        summary = make_dataset(
            _SOURCE.value,
            data,
            _INPUT.value,
            overwrite=True,
            progress=program.PROGRESS.value,
            **options,
        )
        print(summary_text(summary))

    def count() -> None:
        from experiments.train_ranker import count_pairs

        count_pairs(
            data, pairs, preset.pairs or {}, progress=program.PROGRESS.value
        )

    def train() -> int:
        from experiments.presets import fitting_training
        from experiments.train_ranker import train_ranker
        from jd_tf.data.dataset import read_schema

        objectives = read_schema(data).objective_names

        return train_ranker(
            data,
            model_dir,
            preset.model,
            dataclasses.replace(
                fitting_training(preset.training, objectives),
                seed=_SEED.value,
                progress=program.PROGRESS.value,
                dtype_policy=_DTYPE_POLICY.value,
            ),
            pairs=None if preset.pairs is None else pairs,
        )

    def evaluate() -> None:
        from experiments.own_test_data import open_test_data
        from jd_tf import evaluation
        from jd_tf.evaluation.report.run_report import printed_summary

        with open_test_data(_TEST_INPUT.value, model_dir) as test_data:
            metrics = evaluation.evaluate(
                data,
                model_dir,
                max_tree_impressions=preset.max_tree_impressions,
                test_data=test_data,
            )
        print(printed_summary(metrics["test"]))

    def explain() -> None:
        from jd_tf.evaluation import report_attention

        report_attention(data, model_dir, model_dir / "attention")

    def export() -> str:
        from jd_tf.serving.export import export

        folder = export(model_dir, data, workdir / "saved_models")
        return str(folder.relative_to(workdir))

    run.step("making the data", "data", make)
    if preset.pairs is not None:
        run.step("counting pairs of items", "pairs", count)
    run.step("training", "train", train)
    run.step("evaluating", "evaluate", evaluate)
    attends = preset.model.sequence.use_sequence
    if attends:
        run.step("looking at attention", "attention", explain)
    run.step("exporting", "export", export)
    saved_model = workdir / run.done["export"]
    print(f"\n== ranking one request with {saved_model} alone")
    print(_first_ranking(saved_model, data))
    print(f"\nreport:     {model_dir / 'report.html'}")
    if attends:
        print(f"attention:  {model_dir / 'attention' / 'index.html'}")
    print(f"SavedModel: {saved_model}")


def _settings() -> dict[str, Any]:
    flags_of_paths = (_INPUT, _CONFIG, _TEST_INPUT)
    given = [(flag.name, flag.value) for flag in flags_of_paths]
    return {
        "source": _SOURCE.value,
        **{n: str(Path(path).resolve()) if path else None for n, path in given},
        "preset": _PRESET.value,
        "seed": _SEED.value,
    }


def _first_ranking(saved_model: Path, data: Path) -> str:
    """The top items of the test request with the most to choose from."""
    from jd_tf.data.dataset import split_files
    from jd_tf.serving.client import RankingClient, read_requests

    shard = next(iter(split_files(data, "test")))
    with RankingClient.from_saved_model(saved_model) as client:
        requests = read_requests(shard, client.schema)
        fullest = max(requests, key=lambda request: len(request["item_id"]))
        return client.rank(fullest, timeout=60.0).table(top=10)


if __name__ == "__main__":
    program.run(main)
