"""A trained run against its baselines: metrics.json and the report."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jd_tf.data.batches import numpy_batches, read_batches
from jd_tf.data.dataset import SUMMARY_FILE, read_json, split_files
from jd_tf.evaluation.attention import write_attention_report
from jd_tf.evaluation.baselines import BASELINES, Trees
from jd_tf.evaluation.collect import Scorer, collect_predictions
from jd_tf.evaluation.metrics_file import write_metrics
from jd_tf.evaluation.report import write_report
from jd_tf.schema import SERVING_ROLES, Schema
from jd_tf.training.checkpoints import Checkpoints
from jd_tf.training.folder import TRAIN
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

    Returns:
        What metrics.json holds.

    Raises:
        DataError: if run or data are missing, damaged or do not fit.
    """
    workdir = Path(workdir)
    model = load_trained(workdir)
    schema = model.schema
    counts = {s: sum(split_files(data_dir, s).values()) for s in splits}
    training = read_batches(data_dir, TRAIN, _BATCH_SIZE, schema, keys=True)
    scorers: dict[str, Scorer] = {RANKER: model_scorer(model)}
    for name, baseline in BASELINES.items():
        options = {}
        if baseline is Trees:
            if not max_tree_impressions:
                continue
            options["max_impressions"] = max_tree_impressions
        say(f"fitting {name} on the training split")
        scorers[name] = baseline(schema, **options).fit(training).score
    metrics = {}
    for split in splits:
        say(f"ranking {counts[split]} requests of the {split} split")
        batches = numpy_batches(
            data_dir,
            split,
            _BATCH_SIZE,
            schema=schema,
            keys=True,
            oracle=True,
        )
        predictions = collect_predictions(batches, schema, scorers)
        metrics[split] = predictions.evaluate(num_replicates=num_replicates)
    write_metrics(workdir / METRICS_FILE, metrics)
    checkpoints = Checkpoints(workdir / CHECKPOINTS)
    state = checkpoints.read_state(checkpoints.steps()[-1])
    summary_file = Path(data_dir) / SUMMARY_FILE
    write_report(
        workdir / REPORT_FILE,
        metrics,
        title=f"JDRanker on {schema.name}",
        schema=schema,
        history=state["history"],
        config=_settings(read_json(workdir / CONFIG_FILE)),
        summary=read_json(summary_file) if summary_file.exists() else None,
        num_train_requests=sum(split_files(data_dir, TRAIN).values()),
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


def model_scorer(model: keras.Model) -> Scorer:
    """A function from a batch of NumPy arrays to the model's answer.

    Args:
        model: a ranker with a `schema`.
    """
    schema: Schema = model.schema
    columns = schema.columns(*SERVING_ROLES)
    specs = {c.name: tf.TensorSpec(c.shape, c.dtype) for c in columns}

    @tf.function(input_signature=[specs], autograph=False)
    def answer(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return model(batch, training=False)

    def score(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: tf.constant(batch[name]) for name in specs}
        answered = answer(tensors)
        return {
            name: answered[name].numpy() for name in ("probabilities", "score")
        }

    return score


def _settings(stored: dict[str, Any]) -> dict[str, Any]:
    """What a person chose: sizes, switches and how it was trained."""
    model = stored["model"]["config"]
    return {
        "model": {k: json.dumps(v) for k, v in model["config"].items()},
        "training": stored["training"],
    }
