"""What every switch of the ranker is worth: rows x seeds, one table.

    python -m experiments.ablate --data=runs/data --workdir=runs/ablation \
        --preset=fine_grained --seeds=1,2,3
    python -m experiments.ablate --data=runs/data --workdir=runs/ablation \
        --rows="base: use_dwell=False; + dwell: use_dwell=True"

Trains and judges every row with every seed; a run that is finished is not
made again, and one that was killed goes on from its checkpoint. After every
run the tables are written anew: `ablation.md`, `ablation.csv`, `values.csv`,
`pairs.csv`, `ablation.png`, `ablation.html`.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from absl import flags

from experiments import program
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError

_DATA = flags.DEFINE_string(
    "data", None, "Data folder, made by make_data.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of all runs and tables.", required=True
)
_ROWS = flags.DEFINE_string(
    "rows",
    None,
    "Rows as `name: field=value,field=value; name (against other): ...`; "
    "fields of JDRankerConfig. The first row is what others are compared with.",
)
_ROWS_FILE = flags.DEFINE_string(
    "rows_file",
    None,
    "JSON list of rows, each with `name`, `changes` and perhaps `against`.",
)
_PRESET = flags.DEFINE_enum(
    "preset",
    None,
    ["temporal", "fine_grained", "images", "titles", "all"],
    "Rows that ask the usual question; those the data cannot feed are left "
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
    "<source of the data>/demo by default.",
)
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds of training.")
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
_KEEP_WEIGHTS = flags.DEFINE_bool(
    "keep_weights", False, "Keep checkpoints of finished runs."
)
_REPORT_ONLY = flags.DEFINE_bool(
    "report_only", False, "Only write the tables of what is finished."
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
    "epochs": (flags.DEFINE_integer, "Passes over the data."),
    "batch_size": (flags.DEFINE_integer, "Requests a batch."),
    "learning_rate": (flags.DEFINE_float, "Of dense weights."),
    "table_learning_rate": (flags.DEFINE_float, "Of embedding tables."),
    "warmup_steps": (flags.DEFINE_integer, "Steps over which rates rise."),
    "decay_steps": (
        flags.DEFINE_integer,
        "Steps over which rates fall; all steps of the training by default "
        "where the sizes have a decay; 0: never.",
    ),
    "evaluate_every": (
        flags.DEFINE_integer,
        "Steps between evaluations; 0: after every epoch.",
    ),
    "monitor": (
        flags.DEFINE_string,
        "Validation metric that decides which weights are judged.",
    ),
    "patience": (
        flags.DEFINE_integer,
        "Evaluations without a better one before stopping; 0: never.",
    ),
    "max_steps": (flags.DEFINE_integer, "Stop after these steps; 0: none."),
    "progress": (flags.DEFINE_bool, "Whether to show progress bars."),
}
for _name, (_define, _help) in _TRAINING.items():
    _define(_name, None, f"{_help} By default as in --sizes.")


def main(_: object) -> None:
    """Trains what is not finished and writes the tables."""
    # TensorFlow takes seconds to load; --help should not wait for it.
    from experiments import ablation_plan as plan
    from experiments.train_ranker import train_ranker
    from jd_tf.data.dataset import read_schema
    from jd_tf.evaluation.ablations.ablation import Ablation
    from jd_tf.evaluation.ablations.first_requests import first_requests
    from jd_tf.evaluation.ablations.judge import FolderJudge, discard_weights
    from jd_tf.evaluation.ablations.report import write_ablation_report

    schema = read_schema(_DATA.value)
    vectors = _ITEM_VECTORS.value
    rows, notes = plan.rows(
        _ROWS.value, _ROWS_FILE.value, _PRESET.value, schema, bool(vectors)
    )
    pairs = plan.pairs(_PAIRS.value, rows)
    limits = {split: flag.value for split, flag in _LIMITS.items()}
    counts = plan.count_requests(_DATA.value, _SPLIT.value, limits)
    model, training = plan.sizes(
        _SIZES.value or f"{schema.name}/demo",
        _COMMON.value,
        {name: flags.FLAGS[name].value for name in _TRAINING},
        counts["train"],
    )
    model = plan.with_vectors(model, vectors, schema)
    settings = {
        "data": plan.digest(Path(_DATA.value) / "manifest.json"),
        "item_vectors": plan.digest(vectors),
        "limits": limits,
        "split": _SPLIT.value,
        "cold_impressions": _COLD.value,
        "num_replicates": _REPLICATES.value,
        "training": plan.what_matters(training),
    }
    ablation = Ablation(
        _WORKDIR.value, settings, model, rows, plan.seeds(_SEEDS.value)
    )
    facts = [
        ("data", f"{_DATA.value}, schema `{schema.name}`"),
        *((f"{split} requests", f"{n:,}") for split, n in counts.items()),
        ("judged on", f"{_SPLIT.value}, with the best weights by validation"),
        ("cold items", f"shown at most {_COLD.value} times in training"),
        ("seeds", plan.written(ablation.seeds)),
        ("training", plan.written(settings["training"])),
        ("model", plan.written(dataclasses.asdict(model))),
        *((f"row `{r.name}`", plan.written(r.changes)) for r in rows),
    ]

    def report(results: Mapping) -> Path:
        return write_ablation_report(
            _WORKDIR.value,
            f"Ablations on {schema.name}",
            rows,
            ablation.seeds,
            results,
            pairs,
            facts,
            notes,
        )

    for note in notes:
        print(f"note: {note}")
    if _REPORT_ONLY.value:
        results = ablation.results()
        if not results:
            raise DataError(f"{_WORKDIR.value}: no run is finished yet.")
        print(f"report: {report(results)}")
        return
    data: str | Path = _DATA.value
    if any(limits.values()):
        data = first_requests(data, Path(_WORKDIR.value) / "data", limits)

    def train(config: JDRankerConfig, seed: int, folder: Path) -> None:
        seeded = dataclasses.replace(training, seed=seed)
        images = vectors if config.use_images else None
        train_ranker(data, folder, config, seeded, images)

    results = ablation.run(
        train,
        FolderJudge(data, _SPLIT.value, _COLD.value, _REPLICATES.value),
        report,
        None if _KEEP_WEIGHTS.value else discard_weights,
    )
    print(f"report: {report(results)}")


if __name__ == "__main__":
    program.run(main)
