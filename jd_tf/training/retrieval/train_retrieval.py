"""Trains a two-tower model on a data folder."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from jd_tf.data.dataset import fingerprint, read_schema
from jd_tf.data.files import write_npz
from jd_tf.metrics.retrieval_metrics import place_metrics
from jd_tf.models.registry import build_model
from jd_tf.schema import SchemaError
from jd_tf.training.build_from_config import build_optimizer, resolve_schedule
from jd_tf.training.config import TrainingConfig
from jd_tf.training.folder_training import TRAIN, VALIDATION, adapt_model
from jd_tf.training.loop.trainer import Trainer
from jd_tf.training.retrieval.retrieval_step import RetrievalStep
from jd_tf.training.retrieval.retrieval_validator import RetrievalValidator
from jd_tf.training.retrieval.timelines import Timelines
from jd_tf.training.weight_average import WeightAverage
from jd_tf.training.workdir import check_workdir, read_state, write_workdir

MODEL = "two_tower"
# The items that a run was trained among.
CATALOGUE_FILE = "catalogue.npz"


def train_retrieval(
    data: str | Path,
    workdir: str | Path,
    catalogue: Mapping[str, np.ndarray],
    model_config: Any = None,
    training_config: TrainingConfig | None = None,
) -> Trainer:
    """Trains a `TwoTower`, or resumes the run of a folder.

    The last training request of each user is one timeline, of which every
    event is an example; validation requests are ranked among the catalogue.

    Args:
        data: folder with the splits "train" and "validation".
        workdir: of the run; made if missing, resumed if it holds the same run.
            Gets a copy of the catalogue.
        catalogue: candidate columns (I, ...) of all items, `item_id` ascending.
        model_config: a `TwoTowerConfig`; its defaults if None.
        training_config: of the run; by default that of
            `retrieval_training_config`.

    Returns:
        The trainer: `step_fn.model` has the best evaluation's weights.

    Raises:
        DataError: for data, a config or a folder that does not fit.
        NotFiniteError: a loss or gradient is NaN or infinite.
    """
    config = training_config or retrieval_training_config()
    known = list(place_metrics(np.zeros(1), np.zeros(1)))
    if config.monitor not in known:
        raise SchemaError(
            f"`monitor` must be one of {', '.join(known)}. "
            f"Got: {config.monitor!r}."
        )
    if config.dtype_policy != "float32":
        raise SchemaError(
            "a retrieval model is trained with `dtype_policy` float32. "
            f"Got: {config.dtype_policy!r}."
        )
    keras.utils.set_random_seed(config.seed)
    model = build_model(MODEL, read_schema(data), model_config)
    folder, item_id = Path(workdir), catalogue["item_id"]
    train = Timelines.read(model, data, TRAIN, item_id, last_only=True)
    requests = Timelines.read(model, data, VALIDATION, item_id)
    if not model.config.softmax.repeats:
        train = train.without_repeats()
    config = resolve_schedule(config, -(-len(train) // config.batch_size))
    if read_state(folder) is not None:
        check_workdir(folder, model, config)
    met = train.targets[train.targets >= 0]
    step = RetrievalStep(
        model,
        build_optimizer(config),
        catalogue,
        np.bincount(met, minlength=len(item_id)),
        config.seed,
        WeightAverage(model, config.ema_decay) if config.ema_decay else None,
    )
    trainer = Trainer(
        step,
        config,
        folder,
        lambda epoch, skip: train.batches(
            config.batch_size, config.seed, epoch, skip, config.bucket_batches
        ),
        RetrievalValidator(model, catalogue, requests),
        -(-len(train) // config.batch_size),
        # Targets are rows of the catalogue.
        data=f"{fingerprint(data, (TRAIN, VALIDATION))}-{_digest(item_id)}",
    )
    trainer.resume()
    write_workdir(folder, model, config)
    write_npz(folder / CATALOGUE_FILE, catalogue)
    if not (model.adapted or trainer.checkpoints.steps()):
        adapt_model(model, data, config)
    trainer.train()
    return trainer


def _digest(item_id: np.ndarray) -> str:
    text = "\n".join(map(str, item_id.tolist()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def retrieval_training_config(**changes: Any) -> TrainingConfig:
    """Returns the default settings of such a run, with changes."""
    defaults = {
        "epochs": 20,
        "batch_size": 256,
        "bucket_batches": 16,
        "learning_rate": 2e-3,
        "table_learning_rate": 2e-3,
        "decay_steps": -1,
        "monitor": "ndcg@10",
        "checkpoint_every": 0,
    }
    return TrainingConfig(**{**defaults, **changes})
