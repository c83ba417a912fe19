"""Trains the ranker on a data folder; run again, it goes on.

    python -m experiments.train --data=runs/data --workdir=runs/model

With `--fusion=personalized --calibrate`, objectives are fused by weights that
follow the session, learned in alternation with the ranker, on probabilities
calibrated on validation data.

Writes to the work folder: `config.json` and `schema.json` (what was trained),
`checkpoints/` (each whole or not there), `post_training/` (curves and fusion
learned after the main training) and `summaries/` (for TensorBoard).
Flags left out keep what the work folder says, or the defaults below. The next
day's data in the same folder take `--continue_on`: the run goes on from its
best weights, with epochs, schedule and best counted anew.

Exit codes: 0 trained; 2 unusable data, flags or checkpoint; 3 a loss or
gradient that is not finite; 130 and 143 stopped by Ctrl-C or SIGTERM after
writing a checkpoint.
"""

from pathlib import Path
from typing import Any

from absl import flags

from experiments import program
from experiments.run_config import (
    MODEL,
    TRAINING,
    RunConfig,
    apply_fields,
    parse_sets,
    read_run_config,
)
from jd_tf.models.config_fields import (
    config_from_json,
    flat_fields,
    replace_fields,
    resolve_field,
)
from jd_tf.models.ranker_config import FUSION_FORMS, FUSIONS
from jd_tf.models.ranking.jd_ranker_config import IMAGE_MODES, JDRankerConfig
from jd_tf.models.registry import (
    DEFAULT_MODEL,
    MODULE_FILE,
    get_model,
    load_model_module,
    model_names,
)
from jd_tf.schema import DataError
from jd_tf.training.config import CHOICES, TrainingConfig

_DATA = flags.DEFINE_string(
    "data", None, "Data folder, made by make_data.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run; resumed if there is one.",
    required=True,
)
_ITEM_VECTORS = flags.DEFINE_string(
    "item_vectors",
    None,
    "Image vectors, made by embed_images; turns images on.",
)


_PAIRS = flags.DEFINE_string(
    "pairs", None, "Item pairs, made by make_pairs; turns them on."
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
    "YAML file of model and training, such as those of experiments/configs "
    "and of sweep; flags at the prompt win over it.",
)
_SET = flags.DEFINE_multi_string(
    "set",
    [],
    "model.FIELD=value or training.FIELD=value of any field of the configs, "
    "e.g. model.head.num_experts=8.",
)
_CONTINUE_ON = flags.DEFINE_bool(
    "continue_on", False, "Go on from the best weights of a run on other data."
)


def _define(config: Any, helps: dict[str, str]) -> None:
    """Defines a flag a field, without a default: the config has those."""
    defaults = flat_fields(config)
    for name, text in helps.items():
        default = defaults[resolve_field(config, name)]
        text = f"{text} [{default}]"
        if name in _CHOICES:
            flags.DEFINE_enum(name, None, _CHOICES[name], text)
        elif isinstance(default, bool):
            flags.DEFINE_bool(name, None, text)
        elif isinstance(default, int):
            least = -1 if name == "decay_steps" else 0
            flags.DEFINE_integer(name, None, text, lower_bound=least)
        elif isinstance(default, float):
            flags.DEFINE_float(name, None, text, lower_bound=0.0)
        elif isinstance(default, str):
            flags.DEFINE_string(name, None, text)
        else:
            flags.DEFINE_list(name, None, text)


_CHOICES = {
    **CHOICES,
    "use_images": IMAGE_MODES,
    "fusion": FUSIONS,
    "fusion_form": FUSION_FORMS,
}
_TRAINING = {
    "epochs": "Passes over the data.",
    "batch_size": "Requests a batch.",
    "bucket_batches": "Batches that sort requests by size; 0: none.",
    "learning_rate": "Of dense weights.",
    "table_learning_rate": "Of embedding tables.",
    "table_method": "How tables learn.",
    "warmup_steps": "Steps over which both rates rise.",
    "decay_steps": "Steps both rates fall over; -1: to the end; 0: never.",
    "ema_decay": "Of the average of weights that is evaluated; 0: none.",
    "balance": "How objectives are balanced.",
    "objective_weights": "One weight an objective, separated by commas.",
    "evaluate_every": "Steps between evaluations; 0: after every epoch.",
    "checkpoint_every": "Steps between checkpoints; 0: by the clock.",
    "monitor": "Validation metric that decides what is best.",
    "patience": "Evaluations without a better one before stopping; 0: never.",
    "max_steps": "Stop after these steps; 0: none.",
    "time_limit_seconds": "Stop after these seconds; 0: none.",
    "fusion_every": "Main steps to a fusion step; 0: fusion only afterwards.",
    "fusion_steps": "Fusion steps after the main training; 0: as it needs.",
    "fusion_learning_rate": "Of fusion weights.",
    "fusion_loss": "How the fusion compares candidates.",
    "fusion_gain": "What a candidate brought: value of labels, or reward.",
    "fusion_request_weights": "Whether requests that gain more count more.",
    "fusion_values": "One business value an objective, for the fusion alone.",
    "calibration_method": "How curves of --calibrate are fitted.",
    "tree_learning_rate": "Of boosted trees.",
    "tree_impressions": "Training impressions of boosted trees; 0: all.",
    "dtype_policy": "Precision of activations while training.",
    "seed": "Of weights, dropout and the order of requests.",
}
_MODEL_FIELDS = {
    "model_dim": "Width of tokens, memories and interests.",
    "item_embedding_dim": "Width of the item table.",
    "use_sequence": "Whether encoders, interests and decoders are there.",
    "num_encoder_layers": "Transformer blocks per behaviour.",
    "use_position": "Whether events know their place.",
    "use_recency": "Whether events know their age.",
    "use_second_order": "Whether second-order interests are read.",
    "use_fine_grained": "Whether events know how they went: the next three.",
    "use_dwell": "Whether events know how long the user stayed.",
    "use_action_counts": "Whether events know how often actions were done.",
    "use_action_ids": "Whether events know which actions were done.",
    "use_overlap": "Whether candidates get id-overlap features.",
    "use_images": "How image vectors come in; they need --item_vectors.",
    "use_titles": "Whether titles are read, if the schema has them.",
    "num_trees": "Boosted trees beside the network in all; 0: none.",
    "num_experts": "Experts of the mixture.",
    "dropout_rate": "Of encoders, decoders, experts and towers.",
    "calibrate": "Whether probabilities are calibrated after training.",
    "fusion": "How objectives become the score; none: expected value.",
    "fusion_form": "What weights apply to: logarithms or probabilities.",
    "fusion_weights": "Fixed weights, or the shares learning starts at.",
    "session_seconds": "Age up to which events belong to the session.",
    "use_representation": "Whether the fusion reads the ranker's user state.",
}
# Lists of one number an objective.
_NUMBERS = {"objective_weights", "fusion_values", "fusion_weights"}
_define(TrainingConfig(), _TRAINING)
_define(JDRankerConfig(), _MODEL_FIELDS)
flags.DEFINE_alias("use_matches", "use_overlap")


def main(_: object) -> None:
    """Composes the configs from flags and trains."""
    # Late here and below, so that --help does not wait for TensorFlow.
    from experiments.train_ranker import train_ranker

    stored = _stored(Path(_WORKDIR.value))
    file = RunConfig("", {MODEL: {}, TRAINING: {}})
    if _CONFIG.value:
        file = read_run_config(_CONFIG.value)
    name = _MODEL.value or file.model or stored["model"]["name"]
    if _MODEL_MODULE.value:
        load_model_module(_MODEL_MODULE.value)
    elif name not in model_names() and _kept_module().is_file():
        load_model_module(_kept_module())
    changes = parse_sets(_SET.value)
    for group, names in ((MODEL, _MODEL_FIELDS), (TRAINING, _TRAINING)):
        changes[group] = _given(names) | changes[group]
    changes[TRAINING]["progress"] = program.PROGRESS.value
    same = name == stored["model"]["name"]
    fields = stored["model"]["config"] if same else {}
    config = config_from_json(get_model(name).config_class, fields)
    training = config_from_json(TrainingConfig, stored["training"])
    if file.model not in ("", name):
        raise DataError(f"{_CONFIG.value}: is of `{file.model}`, not `{name}`.")
    config = apply_fields(_CONFIG.value, config, file.fields, MODEL)
    training = apply_fields(_CONFIG.value, training, file.fields, TRAINING)
    train_ranker(
        _DATA.value,
        _WORKDIR.value,
        replace_fields(config, changes[MODEL]),
        replace_fields(training, changes[TRAINING]),
        _ITEM_VECTORS.value,
        name,
        _PAIRS.value,
        _CONTINUE_ON.value,
    )


def _kept_module() -> Path:
    return Path(_WORKDIR.value) / MODULE_FILE


def _stored(workdir: Path) -> dict[str, Any]:
    """Returns the configs of the run in the folder, if there is one."""
    from jd_tf.data.files import read_json
    from jd_tf.training.workdir import CONFIG_FILE

    path = workdir / CONFIG_FILE
    if not path.is_file():
        return {"model": {"name": DEFAULT_MODEL, "config": {}}, "training": {}}
    stored = read_json(path)
    try:
        return {
            "model": {key: stored["model"][key] for key in ("name", "config")},
            "training": stored["training"],
        }
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not the config of a run.") from error


def _given(names: dict[str, str]) -> dict[str, Any]:
    """Returns the flags that were set at the prompt."""
    given = {name: flags.FLAGS[name].value for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    for name in _NUMBERS & given.keys():
        try:
            given[name] = tuple(float(text) for text in given[name])
        except ValueError as error:
            raise DataError(f"--{name}: {error}.") from error
    return given


if __name__ == "__main__":
    program.run(main)
