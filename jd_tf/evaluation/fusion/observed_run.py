"""Observations of a trained run's folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import split_files
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.fusion.observation import FusionObservation, observe
from jd_tf.evaluation.run import RANKER, model_scorer
from jd_tf.models.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError
from jd_tf.training.workdir import load_trained

_BATCH_SIZE = 256


def observe_run(
    data_dir: str | Path,
    workdir: str | Path,
    splits: Sequence[str],
    reward: bool = False,
    max_requests: int = 0,
) -> tuple[dict[str, FusionObservation], JDRankerConfig]:
    """Lets the best weights of a run rank some splits.

    Args:
        data_dir: the data; its schema must equal the run's.
        workdir: of the run.
        splits: what to rank.
        reward: whether the reward column counts, not business value.
        max_requests: of each split at most; 0 for all.

    Returns:
        Split -> what was seen, and the ranker's configuration.

    Raises:
        DataError: if run or data are missing or do not fit, or the run fuses
            nothing.
    """
    for split in splits:
        split_files(data_dir, split)
    model = load_trained(workdir)
    if not model.config.fusion:
        raise DataError(
            f"{workdir}: its ranker fuses nothing. Train one with "
            "--fusion=personalized or --fusion=global."
        )
    if reward and not model.schema.reward:
        raise DataError(
            f"{data_dir}: schema `{model.schema.name}` has no reward column; "
            "leave --reward out."
        )
    scorer = model_scorer(model, head=True)
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
            model.config.session_seconds,
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
        batches, model.schema, {RANKER: model_scorer(model)}, max_requests
    )
    return predictions.systems[RANKER]["score"]
