"""Distils a coarse tower from the fine ranker's scores and labels."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from jd_tf.data.batches import read_batches, without_autotune
from jd_tf.data.dataset import read_schema
from jd_tf.data.files import plain_path
from jd_tf.data.validation import RequestValidator
from jd_tf.losses.distillation import ListDistillation
from jd_tf.metrics.ranking_metrics import from_zero
from jd_tf.models.retrieval.coarse_tower import CoarseConfig, CoarseTower
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.evaluation.logged_requests import read_logged
from jd_tf.pipeline.stages.coarse_stage import MODEL_FILE
from jd_tf.schema import HISTORY_ROLES, REQUEST_ROLES
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client import RankingClient
from jd_tf.training.sparse_dense_optimizer import SparseDenseOptimizer

_READ_AT_ONCE = 64
_ADAPTED_REQUESTS = 2_000


@dataclasses.dataclass(frozen=True)
class CoarseTraining:
    """Settings of the distillation.

    Attributes:
        num_requests: training requests at most, spread over the split.
        num_sampled: catalogue items drawn for each, uniformly, beside those
            shown.
        epochs: passes over them.
        batch_size: requests a step.
        learning_rate: of dense weights, falling to 0 by a cosine.
        table_learning_rate: of tables, likewise.
        sharpness: of `ListDistillation`.
        label_weight: likewise.
        seed: of everything drawn at random.
    """

    num_requests: int = 6_000
    num_sampled: int = 250
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 2e-3
    table_learning_rate: float = 2e-3
    sharpness: float = 2.0
    label_weight: float = 0.1
    seed: int = 1


@dataclasses.dataclass(frozen=True)
class DistilledRequests:
    """Requests with the fine ranker's scores of many candidates.

    Attributes:
        users: history and request columns, (M, ...), padded alike.
        rows: (M, N) of the catalogue; 0 beyond the candidates.
        targets: (M, N, 3) float32, see `ListDistillation`.
    """

    users: dict[str, np.ndarray]
    rows: np.ndarray
    targets: np.ndarray


def train_coarse(
    data: str | Path,
    folder: str | Path,
    catalogue: Catalogue,
    client: RankingClient,
    config: CoarseConfig | None = None,
    training: CoarseTraining | None = None,
    progress: bool = True,
) -> CoarseTower:
    """Trains a coarse tower and writes it.

    Args:
        data: folder of request records; the training split is read.
        folder: written to, atomically.
        catalogue: of all items.
        client: of the fine ranker, the teacher.
        config: of the tower.
        training: of the distillation.
        progress: whether to show bars.

    Raises:
        DataError: if the data cannot be read.
        ClientError: if the teacher does not answer.
    """
    training = training or CoarseTraining()
    keras.utils.set_random_seed(training.seed)
    distilled = distil(data, catalogue, client, training, progress)
    # Of the data: a client may allow more candidates.
    model = CoarseTower(read_schema(data), config)
    sample = read_batches(data, "train", _READ_AT_ONCE)
    model.adapt(sample.take(_ADAPTED_REQUESTS // _READ_AT_ONCE))
    batches = _batches(model, distilled, catalogue, training)
    steps = -(-len(distilled.rows) // training.batch_size)

    def falling(rate: float) -> Any:
        total = steps * training.epochs
        return keras.optimizers.schedules.CosineDecay(rate, total)

    model.compile(
        optimizer=SparseDenseOptimizer(
            falling(training.learning_rate),
            falling(training.table_learning_rate),
        ),
        loss=ListDistillation(training.sharpness, training.label_weight),
        jit_compile=False,
    )
    model.fit(
        batches.repeat(),
        epochs=training.epochs,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=2 if progress else 0,
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with plain_path(folder) as plain:
        unfinished = plain / f"unfinished_{MODEL_FILE}"
        model.save(unfinished)
        unfinished.replace(plain / MODEL_FILE)
    return model


def distil(
    data: str | Path,
    catalogue: Catalogue,
    client: RankingClient,
    training: CoarseTraining,
    progress: bool = True,
) -> DistilledRequests:
    """Scores shown and drawn candidates of training requests."""
    schema, rng = read_schema(data), np.random.default_rng(training.seed)
    roles = (*HISTORY_ROLES, *REQUEST_ROLES)
    columns, checker = schema.columns(*roles), RequestValidator(schema, roles)
    widths = {b.length: b.max_length for b in schema.behaviors}
    users, all_rows, targets = [], [], []
    requests = read_logged(data, "train", training.num_requests, schema)
    for one in tqdm.tqdm(
        requests, "scoring", training.num_requests, disable=not progress
    ):
        request, shown = checker.check(one.columns), catalogue.rows(one.item_id)
        shown, value = shown[shown >= 0], one.value[shown >= 0]
        drawn = rng.choice(
            len(catalogue),
            min(training.num_sampled, len(catalogue)),
            replace=False,
        )
        drawn = drawn[~np.isin(drawn, shown)]
        rows = np.concatenate([shown, drawn])
        candidates = {n: c[rows] for n, c in catalogue.columns.items()}
        ranking = client.rank({**request, **candidates}, timeout=60.0)
        teacher = np.empty(len(rows), np.float32)
        teacher[ranking.order] = ranking.scores
        target = np.zeros((len(rows), 3), np.float32)
        # The loss takes logarithms, and shares of the value.
        target[:, 0] = from_zero(teacher)
        target[: len(shown), 1] = from_zero(value)
        target[:, 2] = 1.0
        users.append({c.name: request[c.name] for c in columns})
        all_rows.append(rows)
        targets.append(target)
    width = max(map(len, all_rows))
    return DistilledRequests(
        pad_requests(users, columns, widths),
        np.stack([np.pad(rows, (0, width - len(rows))) for rows in all_rows]),
        np.stack([np.pad(t, ((0, width - len(t)), (0, 0))) for t in targets]),
    )


def _batches(
    model: CoarseTower,
    distilled: DistilledRequests,
    catalogue: Catalogue,
    training: CoarseTraining,
) -> tf.data.Dataset:
    """Makes batches of inputs and targets, in another order at each pass."""
    rng = np.random.default_rng(training.seed)
    users, items = model.user_columns, model.item_columns

    def generate() -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        order = rng.permutation(len(distilled.rows))
        for start in range(0, len(order), training.batch_size):
            chosen = order[start : start + training.batch_size]
            rows = distilled.rows[chosen]
            inputs = {name: distilled.users[name][chosen] for name in users}
            inputs |= {name: catalogue.columns[name][rows] for name in items}
            yield inputs, distilled.targets[chosen]

    specs = {
        c.name: tf.TensorSpec(c.shape, c.dtype)
        for c in model.schema.columns()
        if c.name in (*users, *items)
    }
    target = tf.TensorSpec((None, None, 3))
    dataset = tf.data.Dataset.from_generator(
        generate, output_signature=(specs, target)
    )
    return without_autotune(dataset.prefetch(2))
