"""Metrics of a trained run, with the resamples that pair it with others.

Axis letters: R requests, N candidates (padded), T objectives.
"""

import functools
import gc
import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import split_files
from jd_tf.evaluation.baselines.rates import IdSums, real_rows
from jd_tf.evaluation.collect import (
    Batch,
    Predictions,
    collect_predictions,
    to_numpy,
)
from jd_tf.evaluation.live_scorer import model_scorer
from jd_tf.evaluation.metrics_file import nan_to_none
from jd_tf.evaluation.objective_metrics import NDCG, order_metrics
from jd_tf.metrics.bootstrap import Bootstrap
from jd_tf.metrics.cells import Cells, real_cells
from jd_tf.training.folder_training import TRAIN
from jd_tf.training.workdir import CHECKPOINTS, load_trained

ALL, COLD = "all", "cold"
METRICS = ("gauc", "auc", "gauc_user", NDCG)
_COUNTS = ("num_impressions", "num_positives")
_SYSTEM = "model"
_BATCH_SIZE = 256


class ColdItems:
    """Items shown as candidates in training at most `max_impressions` times.

    Events in histories do not count: a model learns from impressions.
    """

    def __init__(self, max_impressions: int = 0):
        self.max_impressions = max_impressions
        self._impressions = IdSums(1)

    def fit(self, batches: Iterable[Batch]) -> "ColdItems":
        """Counts the candidates of training batches, in one pass."""
        for raw in batches:
            ids = real_rows(to_numpy(raw), ("item_id",))["item_id"]
            self._impressions.add(ids, np.ones((len(ids), 1)))
        return self

    def __call__(self, batch: Batch) -> np.ndarray:
        """[B, N] bool, True where a candidate is cold; padding never is."""
        ids = np.asarray(batch["item_id"])
        real = real_cells(batch["num_candidates"], ids.shape[1])
        shown = self._impressions.find(ids)[..., 0]
        return real & (shown <= self.max_impressions)


class RunJudge:
    """Judges the best weights of runs on a split, cold items apart.

    Candidates that the "train" split of `data_dir` showed at most
    `cold_impressions` times are cold.
    """

    def __init__(
        self,
        data_dir: str | Path,
        split: str = "test",
        cold_impressions: int = 0,
        num_replicates: int = 200,
    ):
        self.data_dir, self.split = data_dir, split
        self.num_replicates = num_replicates
        # Missing data are an error now, not after the first training.
        split_files(data_dir, split)
        self._cold_impressions = cold_impressions

    @functools.cached_property
    def _cold(self) -> ColdItems:
        training = numpy_batches(self.data_dir, TRAIN, _BATCH_SIZE)
        return ColdItems(self._cold_impressions).fit(training)

    def __call__(self, workdir: Path) -> dict[str, Any]:
        """Judges the run of a folder; see `judge_run`."""
        model = load_trained(workdir)
        schema, data = model.schema, (self.data_dir, self.split, _BATCH_SIZE)
        predictions = collect_predictions(
            numpy_batches(*data, schema=schema, keys=True),
            schema,
            {_SYSTEM: model_scorer(model)},
            marks={COLD: self._cold},
        )
        judged = judge_run(predictions, _SYSTEM, self.num_replicates)
        del model, predictions
        # Dozens of models in one process: graphs and tables must go.
        keras.backend.clear_session()
        gc.collect()
        return judged


def judge_run(
    predictions: Predictions, system: str, num_replicates: int = 200
) -> dict[str, Any]:
    """Returns metrics of a system on all candidates and on each kind of them.

    Of outcomes alone; amounts are left out.

    `metrics` and `replicates` are by kind, objective and name, `fingerprint` is
    equal for runs that can be compared. The resamples of users (requests where
    they are unknown) depend on their number alone, so replicate i of two runs
    has drawn the same users, and replicates can be subtracted pair by pair.
    """
    probabilities = predictions.systems[system]["probabilities"]
    labels, users = predictions.labels, predictions.user_ids
    if users is not None:
        users = np.unique(users, return_inverse=True)[1].reshape(-1)
    bootstrap = Bootstrap(len(labels), users, num_replicates)
    kinds = {ALL: np.ones(labels.shape[:2], bool), **predictions.marks}
    found: dict[str, Any] = {kind: {} for kind in kinds}
    drawn: dict[str, Any] = {kind: {} for kind in kinds}
    for kind, inside in kinds.items():
        for t, name in enumerate(predictions.schema.outcome_names):
            cells = Cells.of(
                labels[..., t],
                predictions.num_candidates,
                np.where(inside, predictions.label_weights[..., t], 0.0),
            )
            metrics, drawn[kind][name] = order_metrics(
                cells, probabilities[..., t], users, bootstrap
            )
            found[kind][name] = {n: metrics[n] for n in (*METRICS, *_COUNTS)}
    return {
        "metrics": nan_to_none(found),
        "replicates": nan_to_none(drawn),
        "fingerprint": _fingerprint(predictions, users, bootstrap.counts.shape),
    }


def discard_weights(workdir: Path) -> None:
    """Deletes the checkpoints of a run."""
    shutil.rmtree(workdir / CHECKPOINTS, ignore_errors=True)


def _fingerprint(
    predictions: Predictions,
    users: np.ndarray | None,
    resamples: tuple[int, ...],
) -> str:
    """Returns a text that differs where requests, labels or kinds do."""
    digest, p = hashlib.sha256(str(resamples).encode()), predictions
    arrays = [p.num_candidates, p.labels, p.label_weights]
    arrays += [p.marks[name] for name in sorted(p.marks)]
    for array in arrays if users is None else [*arrays, users]:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
