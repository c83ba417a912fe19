"""The fusion report on the folder of a trained run."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import split_files
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.fusion.fusion_report import (
    fusion_report,
    write_fusion_report,
)
from jd_tf.evaluation.fusion.observation import (
    LEARNED,
    FusionObservation,
    observe,
)
from jd_tf.evaluation.fusion.order_comparison import DESCRIPTIONS
from jd_tf.evaluation.model_scorer import model_scorer
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError
from jd_tf.training.workdir import load_trained

_BATCH_SIZE = 256


def report_fusion(
    data_dir: str | Path,
    workdir: str | Path,
    output_dir: str | Path,
    search: str = "validation",
    split: str = "test",
    beside: Mapping[str, str | Path] | None = None,
    reward: bool = False,
    max_requests: int = 0,
    **options: Any,
) -> tuple[Path, dict[str, Any]]:
    """Writes the fusion report of a run.

    Args:
        data_dir: the data; its schema must equal the run's.
        workdir: of the run.
        output_dir: gets page and JSON.
        search: the split that constant weights are searched on.
        split: the split that is judged.
        beside: name -> folder of more runs on the same data to compare with.
        reward: whether the reward column counts, not business value.
        max_requests: of each split at most; 0 for all.
        **options: of `fusion_report`.

    Returns:
        The page, and what the JSON holds.

    Raises:
        DataError: if something is missing or does not fit.
    """
    began = time.monotonic()
    if search == split:
        raise DataError(
            "the splits to search and to judge on must differ: weights look "
            f"best where they were searched. Got: {split} twice."
        )
    taken = sorted(set(beside or {}).intersection(DESCRIPTIONS))
    if taken:
        raise DataError(
            f"a run beside cannot be called `{taken[0]}`; that is an order of "
            "the report's own."
        )
    seen, config = observe_run(
        data_dir, workdir, (search, split), reward, max_requests
    )
    others = {
        name: scores_of_run(data_dir, folder, split, max_requests)
        for name, folder in (beside or {}).items()
    }
    found = fusion_report(
        seen[search],
        seen[split],
        config.fusion.form,
        others,
        **options,
    )
    found["fusion"] = config.fusion.kind
    found["seconds"] = round(time.monotonic() - began, 1)
    title = f"Fusion weights: {config.fusion.kind} on {found['schema']}"
    return write_fusion_report(output_dir, found, title), found


def observe_run(
    data_dir: str | Path,
    workdir: str | Path,
    splits: Sequence[str],
    reward: bool = False,
    max_requests: int = 0,
) -> tuple[dict[str, FusionObservation], JDRankerConfig]:
    """Ranks some splits with the best weights of a run.

    Args:
        data_dir: the data; its schema must equal the run's.
        workdir: of the run.
        splits: what to rank.
        reward: whether the reward column counts, not business value.
        max_requests: of each split at most; 0 for all.

    Returns:
        Split -> its observation, and the ranker's configuration.

    Raises:
        DataError: if run or data are missing or do not fit, or the run fuses
            nothing.
    """
    for split in splits:
        split_files(data_dir, split)
    model = load_trained(workdir)
    if model.fusion is None:
        raise DataError(
            f"{workdir}: its ranker fuses nothing. Train one with "
            "--fusion=personalized or --fusion=global."
        )
    if reward and not model.schema.reward:
        raise DataError(
            f"{data_dir}: schema `{model.schema.name}` has no reward column; "
            "leave --reward out."
        )
    scorer = model_scorer(model, post_training=True)
    found = {}
    for split in splits:
        batches = numpy_batches(
            data_dir,
            split,
            _BATCH_SIZE,
            schema=model.schema,
            keys=True,
            oracle=True,
            reward=reward,
        )
        found[split] = observe(
            batches,
            model.schema,
            scorer,
            model.config.fusion.session_seconds,
            reward,
            max_requests,
        )
    return found, model.config


def scores_of_run(
    data_dir: str | Path,
    workdir: str | Path,
    split: str,
    max_requests: int = 0,
) -> np.ndarray:
    """[R, N] final scores of a run on a split."""
    model = load_trained(workdir)
    batches = numpy_batches(data_dir, split, _BATCH_SIZE, schema=model.schema)
    predictions = collect_predictions(
        batches, model.schema, {LEARNED: model_scorer(model)}, max_requests
    )
    return predictions.systems[LEARNED]["score"]
