"""A trained run against its baselines: metrics.json and the report."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.data.batches import numpy_batches, read_batches
from jd_tf.data.dataset import SUMMARY_FILE, split_files
from jd_tf.data.json_files import read_json
from jd_tf.evaluation.attention import write_attention_report
from jd_tf.evaluation.baselines import BASELINES, Trees
from jd_tf.evaluation.collect import Scorer, collect_predictions
from jd_tf.evaluation.fusion.predictions import FusionPredictions
from jd_tf.evaluation.fusion.session_state import name_hidden_facts
from jd_tf.evaluation.head_metrics import (
    UNCALIBRATED,
    WEIGHTS,
    HeadPredictions,
    head_notes,
)
from jd_tf.evaluation.metrics_file import SCENARIOS, write_metrics
from jd_tf.evaluation.report import write_report
from jd_tf.schema import SERVING_ROLES, DataError, Schema
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.folder_training import TRAIN
from jd_tf.training.post_training_checkpoints import read_post_training
from jd_tf.training.workdir import CHECKPOINTS, CONFIG_FILE, load_trained

METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
RANKER = "jd_ranker"
_BATCH_SIZE = 256
_ATTENTION_BATCH_SIZE = 64


def evaluate_run(
    data_dir: str | Path,
    workdir: str | Path,
    splits: Sequence[str] = ("test",),
    max_tree_impressions: int = 300_000,
    num_replicates: int = 200,
    say: Callable[[str], None] = print,
    predictions_dir: str | Path | None = None,
    segments: Sequence[str] | None = None,
    reward: bool = False,
) -> dict[str, Any]:
    """Judges the best weights of a run beside all baselines.

    Args:
        data_dir: the data; its schema must equal the run's.
        workdir: of the run; gets `metrics.json` and `report.html`.
        splits: what to judge on; baselines learn from "train".
        max_tree_impressions: what the boosted trees learn from at most; 0
            leaves them out.
        num_replicates: bootstrap resamples of the intervals.
        say: told what is being done.
        predictions_dir: gets `<split>.npz` of each split, for `fusion_grid`;
            None for none.
        segments: context columns by whose ids calibration and fusion are
            told apart; None for the scenario's, where there is one, and what
            a simulator knows of the user.
        reward: whether those files carry the reward column as gains.

    Returns:
        What metrics.json holds, less its key `scenarios`: split -> what
        `evaluate_scenarios` returned, where the schema names scenarios.

    Raises:
        DataError: if run or data are missing, damaged or do not fit.
    """
    workdir = Path(workdir)
    model = load_trained(workdir)
    schema = model.schema
    columns = segment_columns(schema, segments)
    hidden = [f"oracle_{n}" for n in schema.oracle_names if segments is None]
    kept = [*columns, *hidden, *(["reward"] if reward else [])]
    if reward and not schema.reward:
        raise DataError(
            f"{data_dir}: schema `{schema.name}` has no column `reward`."
        )
    counts = {s: sum(split_files(data_dir, s).values()) for s in splits}
    training = read_batches(data_dir, TRAIN, _BATCH_SIZE, schema, keys=True)
    scorers: dict[str, Scorer] = {RANKER: model_scorer(model, head=True)}
    for name, baseline in BASELINES.items():
        options = {}
        if baseline is Trees:
            if not max_tree_impressions:
                continue
            options["max_impressions"] = max_tree_impressions
        say(f"fitting {name} on the training split")
        scorers[name] = baseline(schema, **options).fit(training).score
    metrics, scenarios = {}, {}
    for split in splits:
        say(f"ranking {counts[split]} requests of the {split} split")
        batches = numpy_batches(
            data_dir,
            split,
            _BATCH_SIZE,
            schema=schema,
            keys=True,
            oracle=True,
            reward=reward,
        )
        collected = collect_predictions(batches, schema, scorers, columns=kept)
        found = HeadPredictions.of(name_hidden_facts(collected), RANKER)
        metrics[split] = found.predictions.evaluate(
            num_replicates=num_replicates
        )
        found.add_to(metrics[split])
        scenarios[split] = found.predictions.evaluate_scenarios(
            num_replicates=num_replicates
        )
        if predictions_dir is not None:
            path = Path(predictions_dir) / f"{split}.npz"
            FusionPredictions.of_run(found.predictions, RANKER).save(path)
            say(f"wrote {path}")
    told = {SCENARIOS: scenarios} if any(scenarios.values()) else {}
    write_metrics(workdir / METRICS_FILE, {**metrics, **told})
    checkpoints = Checkpoints(workdir / CHECKPOINTS)
    state = checkpoints.read_state(checkpoints.steps()[-1])
    head = read_post_training(workdir, state["step"], _base_step(state))
    history = state["history"] + (head.history if head else [])
    summary_file = Path(data_dir) / SUMMARY_FILE
    write_report(
        workdir / REPORT_FILE,
        metrics,
        title=f"JDRanker on {schema.name}",
        schema=schema,
        history=history,
        config=_settings(read_json(workdir / CONFIG_FILE)),
        summary=read_json(summary_file) if summary_file.exists() else None,
        notes=list(head_notes(metrics[splits[0]], RANKER)),
        num_train_requests=sum(split_files(data_dir, TRAIN).values()),
        scenarios=scenarios,
    )
    return metrics


def report_attention(
    data_dir: str | Path,
    workdir: str | Path,
    output_dir: str | Path,
    split: str = "test",
    max_requests: int = 2000,
) -> Path:
    """Draws what the heads of a trained run read, for users of a split.

    Args:
        data_dir: the data; its schema must equal the run's.
        workdir: of the run.
        output_dir: gets pictures and page.
        split: whose users.
        max_requests: requests looked at.

    Returns:
        The page.
    """
    model = load_trained(workdir)
    explain = tf.function(model.explain, reduce_retracing=True, autograph=False)
    batches = read_batches(
        data_dir, split, _ATTENTION_BATCH_SIZE, model.schema, keys=True
    ).take(-(-max_requests // _ATTENTION_BATCH_SIZE))
    observed = ((batch, explain(batch)) for batch in batches)
    return write_attention_report(
        output_dir,
        model.schema,
        observed,
        title=f"What attention goes to: {model.schema.name}",
    )


def segment_columns(
    schema: Schema, names: Sequence[str] | None = None
) -> list[str]:
    """Context columns by which requests are parted.

    Args:
        schema: of the data.
        names: of context columns; None for the scenario's, if it has one.

    Raises:
        DataError: a name that is no context column.
    """
    known = [column.name for column in schema.context_columns]
    if names is None:
        return [schema.scenario_column] * bool(schema.scenario_column)
    unknown = sorted(set(names).difference(known))
    if unknown:
        raise DataError(
            f"segments must be context columns, of {known}. Got: {unknown}."
        )
    return list(names)


def model_scorer(model: keras.Model, head: bool = False) -> Scorer:
    """A function from a batch of NumPy arrays to the model's answer.

    Args:
        model: a ranker with a `schema`.
        head: whether it answers what `HeadPredictions` takes, too.
    """
    schema: Schema = model.schema
    columns = schema.columns(*SERVING_ROLES)
    specs = {c.name: tf.TensorSpec(c.shape, c.dtype) for c in columns}

    @tf.function(input_signature=[specs], autograph=False)
    def answer(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return model(batch, training=False)

    def score(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: tf.constant(batch[name]) for name in specs}
        answered = {n: a.numpy() for n, a in answer(tensors).items()}
        said = {name: answered[name] for name in ("probabilities", "score")}
        if head and model.config.calibrate:
            said[UNCALIBRATED] = tf.sigmoid(answered["logits"]).numpy()
        if head and WEIGHTS in answered:
            said[WEIGHTS] = answered[WEIGHTS][:, None]
        return said

    return score


def _base_step(state: dict[str, Any]) -> int:
    best = state["best_step"]
    return best if best >= 0 else state["step"]


def _settings(stored: dict[str, Any]) -> dict[str, Any]:
    """What a person chose: sizes, switches and how it was trained."""
    model = stored["model"]["config"]
    return {
        "model": {k: json.dumps(v) for k, v in model["config"].items()},
        "training": stored["training"],
    }
