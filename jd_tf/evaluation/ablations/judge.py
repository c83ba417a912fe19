"""A trained run's folder -> what an ablation keeps of it."""

import gc
import shutil
from pathlib import Path
from typing import Any

import keras

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import split_files
from jd_tf.evaluation.ablations.judged_metrics import COLD, judge_run
from jd_tf.evaluation.cold_items import ColdItems
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.metrics_file import RANKER
from jd_tf.evaluation.model_scorer import model_scorer
from jd_tf.training.folder import TRAIN
from jd_tf.training.workdir import CHECKPOINTS, load_trained

_BATCH_SIZE = 256


class FolderJudge:
    """Judges the best weights of runs on a split, cold items apart.

    Args:
        data_dir: the runs were trained on its "train" split.
        split: to judge on.
        cold_impressions: candidates that training showed at most this often
            are cold.
        num_replicates: bootstrap resamples.
    """

    def __init__(
        self,
        data_dir: str | Path,
        split: str = "test",
        cold_impressions: int = 0,
        num_replicates: int = 200,
    ):
        self.data_dir = data_dir
        self.split = split
        self.cold_impressions = cold_impressions
        self.num_replicates = num_replicates
        # Missing data are an error now, not after the first training.
        split_files(data_dir, split)
        self._cold: ColdItems | None = None

    def __call__(self, workdir: Path) -> dict[str, Any]:
        """Judges the run of a folder; see `judge_run`."""
        if self._cold is None:
            self._cold = ColdItems(self.cold_impressions).fit(
                numpy_batches(self.data_dir, TRAIN, _BATCH_SIZE)
            )
        model = load_trained(workdir)
        predictions = collect_predictions(
            numpy_batches(
                self.data_dir,
                self.split,
                _BATCH_SIZE,
                schema=model.schema,
                keys=True,
            ),
            model.schema,
            {RANKER: model_scorer(model)},
            marks={COLD: self._cold},
        )
        judged = judge_run(predictions, RANKER, self.num_replicates)
        del model, predictions
        # Dozens of models in one process: graphs and tables must go.
        keras.backend.clear_session()
        gc.collect()
        return judged


def discard_weights(workdir: Path) -> None:
    """Deletes the checkpoints of a run."""
    shutil.rmtree(workdir / CHECKPOINTS, ignore_errors=True)
