"""Measures the effect of a model's switches: rows x seeds, one table.

    python -m experiments.ablate --data=runs/data --workdir=runs/ablation \
        --preset=fine_grained --seeds=1,2,3
    python -m experiments.ablate --data=runs/data --workdir=runs/ablation \
        --rows="base: use_dwell=False; + dwell: use_dwell=True"

Trains and judges every row with every seed; a run that is finished is not
made again, and one that was killed goes on from its checkpoint. After every
run the report is written anew: `ablation.html`, `ablation.png`, and the
tables `ablation.csv`, `pairs.csv` and `values.csv`.
"""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from experiments import program
from jd_tf.schema import DataError
from jd_tf.training.config import TrainingConfig

_DATA = flags.DEFINE_string(
    "data", None, "Data folder, made by make_data.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of all runs and tables.", required=True
)
_MODEL = flags.DEFINE_string("model", "jd_ranker", "Registered model.")
_MODEL_MODULE = flags.DEFINE_string(
    "model_module", None, "Python file that registers further models."
)
_ROWS = flags.DEFINE_string(
    "rows",
    None,
    "Rows as `name: field=value,field=value; name (against other): ...`; "
    "fields of the model's config. The other rows are compared with the first.",
)
_ROWS_FILE = flags.DEFINE_string(
    "rows_file",
    None,
    "JSON list of rows, each with `name`, `changes` and perhaps `against`.",
)
_PRESET = flags.DEFINE_enum(
    "preset",
    None,
    ["temporal", "fine_grained", "images", "titles", "sequence", "all"],
    "Rows of the usual questions; those the data cannot feed are left "
    "out. `all` is a ladder of every group on top of the one before.",
)
_PAIRS = flags.DEFINE_string(
    "pairs", "", "Further comparisons, as `row: other row; row: other row`."
)
_COMMON = flags.DEFINE_string(
    "common", "", "Changes to the sizes of all rows, as `field=value,...`."
)
_SIZES = flags.DEFINE_string(
    "sizes",
    None,
    "Preset of quickstart to take model and training from, as source/preset; "
    "<source of the data>/demo by default, tables/demo for your own.",
)
_SEEDS = program.needs_entries(
    flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds of training.")
)
_SPLIT = flags.DEFINE_string("split", "test", "Split to judge on.")
_COLD = flags.DEFINE_integer(
    "cold_impressions",
    0,
    "An item is cold if training showed it at most this often.",
    lower_bound=0,
)
_REPLICATES = flags.DEFINE_integer(
    "num_replicates", 200, "Bootstrap resamples.", lower_bound=2
)
_ITEM_VECTORS = flags.DEFINE_string(
    "item_vectors", None, "Image vectors (.npz) for rows with images."
)
_ITEM_PAIRS = flags.DEFINE_string(
    "item_pairs", None, "Item pairs (.npz) for rows with use_pairs=True."
)
_KEEP_WEIGHTS = flags.DEFINE_bool(
    "keep_weights", False, "Keep checkpoints of finished runs."
)
_REPORT_ONLY = flags.DEFINE_bool(
    "report_only", False, "Only write the report of the finished runs."
)
_LIMITS = {
    split: flags.DEFINE_integer(
        f"limit_{name}",
        0,
        f"Use only the first requests of the {split} split; 0: all.",
        lower_bound=0,
    )
    for split, name in (
        ("train", "requests"),
        ("validation", "validation"),
        ("test", "test"),
    )
}
_TRAINING = {
    "epochs": "Passes over the data.",
    "batch_size": "Requests a batch.",
    "learning_rate": "Of dense weights.",
    "table_learning_rate": "Of embedding tables.",
    "listwise_weight": "Of a softmax over a request's candidates; 0: none.",
    "warmup_steps": "Steps of rising rates.",
    "ema_decay": "Of the average of weights that is judged; 0: none.",
    "decay_steps": "Steps of falling rates; -1: to the end; 0: never.",
    "evaluate_every": "Steps between evaluations; 0: after every epoch.",
    "monitor": "Validation metric that decides which weights are judged.",
    "patience": "Evaluations without a better one before stopping; 0: never.",
    "max_steps": "Stop after these steps; 0: none.",
}
_DEFINE: dict[Any, Any] = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    str: flags.DEFINE_string,
}
for _field in dataclasses.fields(TrainingConfig):
    if _field.name in _TRAINING:
        _help = f"{_TRAINING[_field.name]} By default as in --sizes."
        _DEFINE[_field.type](_field.name, None, _help)


def main(_: object) -> None:
    """Trains the missing runs and writes the report."""
    from experiments import ablation_plan as plan
    from experiments.presets import fitting_training, preset_source
    from experiments.train_ranker import train_ranker
    from jd_tf.data.dataset import read_schema
    from jd_tf.evaluation.ablations.first_requests import first_requests
    from jd_tf.evaluation.ablations.judge import RunJudge, discard_weights
    from jd_tf.evaluation.ablations.report import write_ablation_report
    from jd_tf.evaluation.ablations.runs import (
        SETTINGS_FILE,
        Ablation,
        Results,
    )
    from jd_tf.models.config_fields import flat_fields
    from jd_tf.models.registry import load_model_module
    from jd_tf.training.train import check_run, config_fields, load_vectors

    model, vectors = _MODEL.value, _ITEM_VECTORS.value
    workdir, split = Path(_WORKDIR.value), _SPLIT.value
    data: str | Path = _DATA.value
    if _MODEL_MODULE.value:
        load_model_module(_MODEL_MODULE.value)
    schema = read_schema(data)
    rows, notes = plan.choose_rows(
        _ROWS.value, _ROWS_FILE.value, _PRESET.value, schema, bool(vectors)
    )
    pairs = plan.choose_pairs(_PAIRS.value, rows)
    limits = {split: flag.value for split, flag in _LIMITS.items()}
    counts = plan.count_requests(data, split, limits)
    base, training = plan.choose_sizes(
        _SIZES.value or f"{preset_source(schema.name)}/demo",
        _COMMON.value,
        {n: flags.FLAGS[n].value for n in (*_TRAINING, "progress")},
        model,
    )
    if flags.FLAGS["monitor"].value is None:
        training = fitting_training(training, schema.objective_names)
    effective = plan.effective_settings(training)
    settings = {
        "model": model,
        "data": plan.digest(Path(data) / "manifest.json"),
        "item_vectors": plan.digest(vectors),
        "limits": limits,
        "split": split,
        "cold_impressions": _COLD.value,
        "num_replicates": _REPLICATES.value,
        "training": effective,
    }
    if _MODEL_MODULE.value:
        settings["model_module"] = plan.digest(_MODEL_MODULE.value)
    if _ITEM_PAIRS.value:
        settings["item_pairs"] = plan.digest(_ITEM_PAIRS.value)
    if vectors:
        load_vectors(vectors, schema)  # Refused now, not at the first images.
    seeds = plan.parse_seeds(_SEEDS.value)
    if not (workdir / SETTINGS_FILE).exists():
        check_run(data, workdir, model, base, training)
    ablation = Ablation(workdir, settings, base, rows, seeds)
    facts = [
        ("data", f"{data}, schema `{schema.name}`"),
        *((f"{name} requests", f"{n:,}") for name, n in counts.items()),
        ("judged on", f"{split}, with the best weights by validation"),
        ("cold items", f"shown at most {_COLD.value} times in training"),
        ("seeds", ", ".join(map(str, seeds))),
        ("training", plan.on_one_line(effective)),
        (f"model {model}", plan.on_one_line(flat_fields(base))),
        *((f"row `{r.name}`", plan.on_one_line(r.changes)) for r in rows),
    ]

    def report(results: Results) -> Path:
        title = f"Ablations on {schema.name}"
        return write_ablation_report(
            workdir, title, rows, seeds, results, pairs, facts, notes
        )

    def train(config: Any, seed: int, folder: Path) -> None:
        with_images = config_fields(config, "use_images").get("use_images")
        with_pairs = config_fields(config, "use_pairs").get("use_pairs")
        train_ranker(
            data,
            folder,
            config,
            dataclasses.replace(training, seed=seed),
            vectors if with_images else None,
            model,
            pairs=_ITEM_PAIRS.value if with_pairs else None,
        )

    for note in notes:
        print(f"note: {note}")
    if _REPORT_ONLY.value:
        results = ablation.results()
        if not results:
            raise DataError(f"{workdir}: no run is finished yet.")
    else:
        if any(limits.values()):
            data = first_requests(data, workdir / "data", limits)
        results = ablation.run(
            train,
            RunJudge(data, split, _COLD.value, _REPLICATES.value),
            finished=report,
            discard=None if _KEEP_WEIGHTS.value else discard_weights,
        )
    print(f"report: {report(results)}")


if __name__ == "__main__":
    program.run(main)
