"""Cells of the zoo's card: a model, a data set and a seed, run once."""

import dataclasses
import gc
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments.benchmarks.serving_ways import random_batch
from experiments.presets import (
    QUICKSTART_PRESETS,
    Preset,
    find_preset,
    fitting_training,
    preset_source,
)
from experiments.run_config import TRAINING
from experiments.train_ranker import count_pairs, finish_training
from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import SCHEMA_FILE, fingerprint, read_schema
from jd_tf.data.dataset_making import SIMULATOR, make_dataset
from jd_tf.data.files import read_json, write_json
from jd_tf.data.tables.config_reading import LOGS
from jd_tf.evaluation.ablations.judge import discard_weights, judge_run
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.live_scorer import model_scorer
from jd_tf.evaluation.metrics_file import nan_to_none
from jd_tf.models.config_fields import flat_fields, replace_fields
from jd_tf.models.registry import DEFAULT_MODEL, get_model
from jd_tf.schema import SERVING_ROLES, DataError
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.trainer import Trainer
from jd_tf.training.train import train
from jd_tf.training.workdir import load_trained

RESULT_FILE = "result.json"
# The ranker as quickstart trains it: with its trees and item pairs.
QUICKSTART = "quickstart"
_SYSTEM = "model"
_SPLITS = ("train", "validation", "test")
_BATCH_SIZE = 256
_WARM_CALLS, _CALLS = 5, 40
# Sizes that all models of a data set have in common, by the name in the
# preset, and what models of fields call them.
_SIZES = (
    "model_dim",
    "item_embedding_dim",
    "feature_embedding_dim",
    "context_embedding_dim",
    "num_heads",
    "feedforward_dim",
    "expert_units",
    "tower_units",
    "dropout_rate",
)
_OTHER_NAMES = {
    "embedding_dim": "feature_embedding_dim",
    "hidden_units": "expert_units",
}

Changes = Mapping[str, Mapping[str, Any]]
Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Requests, and the sizes that fit them."""

    name: str
    folder: Path
    preset: Preset


def open_data(text: str, output: Path) -> DataSet:
    """Returns the data set that `NAME:FOLDER` names.

    Args:
        text: FOLDER is one made by make_data; or NAME a source of quickstart
            and FOLDER its log, nothing for the simulator: then the data are
            made, once.
        output: of everything made.

    Raises:
        DataError: if the folder is neither.
    """
    name, _, given = text.partition(":")
    folder = Path(given)
    if not given or not (folder / SCHEMA_FILE).is_file():
        made = output / "data" / name
        if not (made / SCHEMA_FILE).is_file():
            known = name in LOGS or (name, "demo") in QUICKSTART_PRESETS
            if not known or not (given or name == SIMULATOR):
                raise DataError(
                    f"--data={text}: {given or 'nothing'} is no folder of "
                    "make_data, and the name no source of quickstart. Make the "
                    "data by `python -m experiments.make_data` first."
                )
            make_dataset(name, made, given or None, **find_preset(name).data)
        folder = made
    return DataSet(name, folder, preset_of(folder))


def preset_of(folder: Path) -> Preset:
    """Returns the preset for a data folder, by the name of its data set."""
    schema = read_schema(folder)
    preset = find_preset(preset_source(schema.name))
    training = fitting_training(preset.training, schema.objective_names)
    return dataclasses.replace(preset, training=training)


def cell_configs(
    model: str, preset: Preset, seed: int, changes: Changes
) -> tuple[str, Any, TrainingConfig]:
    """Returns registered name, config and training of a cell.

    Every model has the preset's widths and dropout, as far as it has such
    fields. `jd_ranker` is the network alone.

    Args:
        model: a registered name, or `QUICKSTART`.
        preset: of the data.
        seed: of the training.
        changes: by model, and for all of them under `TRAINING`.
    """
    if model in (DEFAULT_MODEL, QUICKSTART):
        name, config = DEFAULT_MODEL, preset.model
        if model == DEFAULT_MODEL:
            config = replace_fields(config, {"num_trees": 0})
    else:
        name, config = model, get_model(model).config_class()
        given = {
            key.rpartition(".")[2]: value
            for key, value in flat_fields(preset.model).items()
        }
        fields = {key.rpartition(".")[2] for key in flat_fields(config)}
        sizes = {}
        for field in fields:
            size = _OTHER_NAMES.get(field, field)
            if size in _SIZES:
                sizes[field] = given[size]
        config = replace_fields(config, sizes)
    training = dataclasses.replace(preset.training, seed=seed, progress=False)
    return (
        name,
        replace_fields(config, changes.get(model, {})),
        replace_fields(training, changes.get(TRAINING, {})),
    )


def run_cell(
    model: str,
    data: DataSet,
    seed: int,
    output: Path,
    changes: Changes,
    num_candidates: int,
    num_replicates: int,
) -> Result:
    """Trains and judges a cell that is not finished, else reads its result.

    Args:
        model: a registered name, or `QUICKSTART`.
        data: the requests.
        seed: of the training.
        output: of everything made.
        changes: of configs, as of `cell_configs`.
        num_candidates: of the request whose latency is measured.
        num_replicates: resamples of the intervals.

    Returns:
        What `RESULT_FILE` holds.

    Raises:
        DataError: if the folder holds a cell of other settings.
    """
    name, config, training = cell_configs(model, data.preset, seed, changes)
    settings = {
        "model": model,
        "seed": seed,
        "data": data.name,
        "requests": fingerprint(data.folder, _SPLITS),
        "config": dataclasses.asdict(config),
        "training": dataclasses.asdict(training),
        "num_candidates": num_candidates,
        "num_replicates": num_replicates,
    }
    settings = json.loads(json.dumps(settings))
    folder = output / "cells" / data.name / model / f"seed-{seed}"
    path = folder / RESULT_FILE
    if path.is_file():
        result = read_json(path)
        for key, value in settings.items():
            if result.get(key) != value:
                raise DataError(
                    f"{path}: was made with {key} {result.get(key)!r}, not "
                    f"{value!r}. Name another --output, or delete that folder."
                )
        return result
    pairs = None
    if model == QUICKSTART and data.preset.pairs is not None:
        pairs = output / "data" / f"{data.name}-pairs.npz"
        if not pairs.is_file():
            pairs.parent.mkdir(parents=True, exist_ok=True)
            count_pairs(data.folder, pairs, data.preset.pairs, progress=False)
    trainers: list[Trainer] = []

    def run() -> Trainer:
        trainers.append(
            train(data.folder, folder, name, config, training, pairs=pairs)
        )
        return trainers[0]

    # A model made second has other names of layers than one made first.
    keras.backend.clear_session()
    gc.collect()
    finish_training(run, training.monitor)
    result = {
        **settings,
        "seconds": round(trainers[0].state.seconds, 1),
        "impressions": trainers[0].state.impressions,
        **judge_cell(folder, data.folder, num_candidates, num_replicates),
    }
    write_json(path, result)
    discard_weights(folder)
    return result


def judge_cell(
    run: Path, data: Path, num_candidates: int, num_replicates: int
) -> Result:
    """Returns metrics, resamples, size and latency of a trained run.

    Args:
        run: its folder.
        data: folder of the requests; the split "test" is judged.
        num_candidates: of the request whose latency is measured.
        num_replicates: resamples of the intervals.
    """
    model = load_trained(run)
    scorer = model_scorer(model)
    predictions = collect_predictions(
        numpy_batches(
            data, "test", _BATCH_SIZE, schema=model.schema, keys=True
        ),
        model.schema,
        {_SYSTEM: scorer},
    )
    judged = judge_run(predictions, _SYSTEM, num_replicates)
    metrics = predictions.evaluate(num_replicates=0, reference=_SYSTEM)
    request = random_batch(model.schema, 1, num_candidates)
    taken = []
    for call in range(_WARM_CALLS + _CALLS):
        start = time.perf_counter()
        scorer(request)
        if call >= _WARM_CALLS:
            taken.append(1000 * (time.perf_counter() - start))
    found = {
        objective: {
            metric: value
            for metric, value in values.items()
            if isinstance(value, (int, float))
        }
        for objective, values in metrics[_SYSTEM].items()
    }
    return nan_to_none(
        {
            "metrics": found,
            "replicates": judged["replicates"]["all"],
            "fingerprint": judged["fingerprint"],
            "parameters": model.count_params(),
            "operations": count_operations(model, num_candidates),
            "latency_ms": {
                "median": float(np.median(taken)),
                "p90": float(np.percentile(taken, 90)),
            },
        }
    )


def count_operations(
    model: keras.Model, num_candidates: int
) -> dict[str, float]:
    """Counts multiply-adds, half of the operations TensorFlow's profiler sees.

    Args:
        model: a ranker with a `schema`.
        num_candidates: of one request, and twice that of another.

    Returns:
        dict of those `per_candidate`, and `per_request` whatever its
        candidates.
    """

    def count(number: int) -> int:
        request = random_batch(model.schema, 1, number)
        specs = {
            column.name: tf.TensorSpec(request[column.name].shape, column.dtype)
            for column in model.schema.columns(*SERVING_ROLES)
        }
        function = tf.function(lambda batch: model(batch)["score"])
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        return tf.compat.v1.profiler.profile(
            function.get_concrete_function(specs).graph,
            tf.compat.v1.RunMetadata(),
            cmd="op",
            options=options,
        ).total_float_ops

    one, two = count(num_candidates), count(2 * num_candidates)
    return {
        "per_candidate": (two - one) / num_candidates / 2,
        "per_request": (2 * one - two) / 2,
    }
