"""Searches fields of model and training for what validates best.

    python -m experiments.sweep --data=runs/data --workdir=runs/sweep \
        --model=din --num_trials=20 \
        --search='training.learning_rate=log:1e-4:1e-2' \
        --search='model.dropout_rate=0:0.4' --search='items.model_dim=16|32|64'

Every trial is a training run; its value is the best of the metric that chooses
checkpoints, `training.monitor`. A killed search goes on where it stopped, its
last trial from that one's checkpoint; more `--num_trials` add to it. Trial N
draws from `--seed` and N, whether the search was interrupted or not. One
process a folder.

Writes to the work folder `sweep.csv` (a row a trial, best first), `best.yaml`
(`train --config` reads it), `trials/` (TensorBoard: curves, and all trials
under HParams) and `sweep.db` (Optuna's). Needs `pip install 'jd_tf[sweep]'`.
"""

from pathlib import Path
from typing import Any

from absl import flags

from experiments import program
from experiments.run_config import (
    MODEL,
    TRAINING,
    apply_fields,
    parse_sets,
    read_run_config,
)
from jd_tf.models.config_fields import replace_fields
from jd_tf.models.registry import DEFAULT_MODEL, load_model_module
from jd_tf.schema import DataError

_DATA = flags.DEFINE_string(
    "data", None, "Data folder, made by make_data.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the search.", required=True
)
_SEARCH = flags.DEFINE_multi_string(
    "search",
    None,
    "FIELD=LOW:HIGH, FIELD=log:LOW:HIGH or FIELD=ONE|OTHER of any field of "
    "model or training, e.g. training.learning_rate=log:1e-4:1e-2.",
    required=True,
)
_NUM_TRIALS = flags.DEFINE_integer(
    "num_trials", 20, "Trials in all, finished ones included.", lower_bound=1
)
_SAMPLER = flags.DEFINE_enum(
    "sampler",
    "tpe",
    ["tpe", "random"],
    "tpe learns from the trials before, after ten of them.",
)
_MODEL = flags.DEFINE_string(
    "model", None, f"Registered name of the model. [{DEFAULT_MODEL}]"
)
_MODEL_MODULE = flags.DEFINE_string(
    "model_module", None, "Python file that registers further models."
)
_CONFIG = flags.DEFINE_string(
    "config",
    None,
    "YAML file as of train, which the search begins with; by default the "
    "sizes of the data's preset of quickstart, without boosted trees.",
)
_SET = flags.DEFINE_multi_string(
    "set",
    [],
    "model.FIELD=value or training.FIELD=value, the same in all trials, e.g. "
    "training.epochs=3.",
)
_PAIRS = flags.DEFINE_string(
    "pairs", None, "Item pairs, made by make_pairs; turns them on."
)
_ITEM_VECTORS = flags.DEFINE_string(
    "item_vectors", None, "Image vectors, made by embed_images."
)
_SEED = flags.DEFINE_integer(
    "seed", 1, "Of what is tried, and of every training.", lower_bound=0
)
_KEEP_WEIGHTS = flags.DEFINE_bool(
    "keep_weights", False, "Keep checkpoints of finished trials."
)


def main(_: object) -> None:
    """Runs the trials that are missing and writes table and best config."""
    # Late, so that --help does not wait for TensorFlow.
    from experiments import search
    from experiments.zoo_cells import cell_configs, preset_of

    changes = parse_sets(_SET.value)
    changes[TRAINING] |= {"seed": _SEED.value, "progress": False}
    if _MODEL_MODULE.value:
        load_model_module(_MODEL_MODULE.value)
    file = read_run_config(_CONFIG.value) if _CONFIG.value else None
    name = _MODEL.value or (file and file.model) or DEFAULT_MODEL
    preset = preset_of(Path(_DATA.value))
    name, config, training = cell_configs(name, preset, _SEED.value, {})
    if file:
        if file.model not in ("", name):
            raise DataError(
                f"{_CONFIG.value}: is of `{file.model}`, not `{name}`."
            )
        config = apply_fields(_CONFIG.value, config, file.fields, MODEL)
        training = apply_fields(_CONFIG.value, training, file.fields, TRAINING)
    base = {
        MODEL: replace_fields(config, changes[MODEL]),
        TRAINING: replace_fields(training, changes[TRAINING]),
    }
    inputs: dict[str, Any] = {
        "item_vectors": _ITEM_VECTORS.value,
        "pairs": _PAIRS.value,
    }
    sweep = search.Sweep(
        Path(_DATA.value),
        Path(_WORKDIR.value),
        name,
        base,
        search.parse_space(_SEARCH.value, base),
        _SAMPLER.value,
        _SEED.value,
        inputs,
    )
    best = sweep.run(_NUM_TRIALS.value, keep_weights=_KEEP_WEIGHTS.value)
    print(
        f"best {base[TRAINING].monitor} {best.value:.5f} of "
        f"{len(sweep.trials)} trials: {search.described(best.params)}; "
        f"{sweep.table_path}, {sweep.best_path}"
    )


if __name__ == "__main__":
    program.run(main)
