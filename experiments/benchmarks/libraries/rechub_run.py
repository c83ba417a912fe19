r"""One run of a model of torch-rechub, in a process of its own.

    python -m experiments.benchmarks.libraries.rechub_run SETTINGS

SETTINGS is a JSON file; `result` in it names the JSON file of what was
measured. Trains and predicts, or is timed, with the library's own trainer and
data generator. Torch is loaded here and nowhere else.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_rechub.basic.features import (
    DenseFeature,
    SequenceFeature,
    SparseFeature,
)
from torch_rechub.basic.layers import EmbeddingLayer
from torch_rechub.models.multi_task import MMOE
from torch_rechub.models.ranking import BST, DIN
from torch_rechub.trainers import CTRTrainer, MTLTrainer
from torch_rechub.utils.data import DataGenerator

from experiments.benchmarks.libraries import impression_rows as rows
from jd_tf.data.files import read_json, write_json

# Batches before the clock starts.
WARM_UP_BATCHES = 2
_PREDICTED_ROWS = 4096


class FlatEmbedding(EmbeddingLayer):
    """Embeddings side by side with the numbers, which `DIN` leaves out.

    Given numbers, DIN of 0.9 counts their width and drops their values, so
    that its first layer fails.
    """

    def forward(
        self, x: dict, features: list, squeeze_dim: bool = False
    ) -> torch.Tensor:
        """Returns them flat where there are numbers."""
        dense = any(isinstance(f, DenseFeature) for f in features)
        return super().forward(x, features, squeeze_dim or dense)


class ClockedLoader:
    """Yields batches until time is up, and counts the rows learned from.

    Args:
        batches: a loader; read again when it ends.
        seconds: of processor time after the warm-up.
    """

    def __init__(self, batches: Any, seconds: float):
        self.batches, self.limit = batches, seconds
        self.rates: dict[str, float] = {}

    def __iter__(self) -> Iterator:
        count, learned, began = 0, -WARM_UP_BATCHES, (0.0, 0.0)
        while True:
            for inputs, labels in self.batches:
                yield inputs, labels
                now = (time.process_time(), time.monotonic())
                learned += 1
                if learned <= 0:
                    began = now
                    continue
                count += len(labels)
                processor, wall = np.subtract(now, began).tolist()
                if processor >= self.limit:
                    self.rates = {
                        "processor": count / processor,
                        "wall": count / wall,
                    }
                    return


class SlicedBatches:
    """Shuffled batches cut from tensors at once, not row by row."""

    def __init__(self, inputs: dict, labels: Any, batch_rows: int):
        self.inputs = {n: torch.from_numpy(a) for n, a in inputs.items()}
        self.labels = torch.from_numpy(labels)
        self.batch_rows = batch_rows

    def __iter__(self) -> Iterator:
        order = torch.randperm(len(self.labels))
        for chosen in order.split(self.batch_rows):
            inputs = {n: tensor[chosen] for n, tensor in self.inputs.items()}
            yield inputs, self.labels[chosen]


def main(arguments: list[str]) -> None:
    """Does what the settings say and writes the result."""
    settings = read_json(Path(arguments[0]))
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    folder = Path(settings["rows"])
    columns = read_json(folder / rows.COLUMNS_FILE)
    model = build_model(settings["model"], columns, settings["sizes"])
    do = time_model if settings["seconds"] else train_model
    result = do(model, settings, folder)
    result["parameters"] = sum(p.numel() for p in model.parameters())
    write_json(Path(settings["result"]), result)


def build_model(name: str, columns: dict, sizes: dict) -> Any:
    """Returns `din`, `bst` or `mmoe`, reading all columns of the rows.

    Args:
        name: of the model.
        columns: what `COLUMNS_FILE` holds.
        sizes: `embedding_dim`, `expert_units`, `tower_units`, `num_experts`,
            `activation_units`, `num_heads`, `dropout_rate`.
    """
    dim, behaviors = sizes["embedding_dim"], columns["behaviors"]
    items = {
        column: SparseFeature(column, size, dim, padding_idx=rows.PADDING)
        for column, size in columns["items"].items()
    }
    contexts = [
        SparseFeature(column, size, dim)
        for column, size in columns["contexts"].items()
    ]
    contexts += [
        SparseFeature(f"{behavior}_age", rows.NUM_AGE_ROWS, dim)
        for behavior in behaviors
    ]
    if columns["num_dense"]:
        contexts.append(DenseFeature(rows.DENSE, columns["num_dense"]))

    def history(behavior: str, column: str, pooling: str) -> SequenceFeature:
        return SequenceFeature(
            f"{behavior}_{column}",
            columns["items"][column],
            dim,
            pooling,
            shared_with=column,
            padding_idx=rows.PADDING,
        )

    candidate = list(items.values())
    dropout = sizes["dropout_rate"]
    units = [*sizes["expert_units"], *sizes["tower_units"]]
    deep = {"dims": units, "dropout": dropout}
    if name == "din":
        # Paired by place: the candidate once for every behaviour.
        histories = [history(b, c, "concat") for b in behaviors for c in items]
        attention = {"dims": list(sizes["activation_units"])}
        targets = candidate * len(behaviors)
        model = DIN(contexts, histories, targets, deep, attention)
        model.embedding = FlatEmbedding(contexts + histories + targets)
        return model
    if name == "bst":
        # One sequence: all behaviours by time, events knowing their kind.
        kind = f"{rows.TIMELINE}_{rows.KIND}"
        size = len(behaviors) + 1
        histories = [history(rows.TIMELINE, c, "concat") for c in items]
        histories.append(
            SequenceFeature(kind, size, dim, "concat", padding_idx=0)
        )
        of_candidate = SparseFeature(rows.KIND, 1, dim)
        return BST(
            contexts,
            histories,
            [*candidate, of_candidate],
            deep,
            nhead=sizes["num_heads"],
            dropout=dropout,
            max_seq_len=columns["num_events"] + 1,
        )
    histories = [history(b, c, "mean") for b in behaviors for c in items]
    objectives = columns["objectives"]
    expert, tower = (
        {"dims": list(sizes[part]), "dropout": dropout}
        for part in ("expert_units", "tower_units")
    )
    return MMOE(
        [*candidate, *histories, *contexts],
        ["classification"] * len(objectives),
        sizes["num_experts"],
        expert,
        [tower] * len(objectives),
    )


def read_inputs(
    folder: Path, split: str, model: Any
) -> tuple[dict, np.ndarray]:
    """Returns the columns that a model reads, and labels, [M, T] of MMOE."""
    found = rows.read_rows(folder, split)
    labels = found[rows.LABELS]
    found[rows.KIND] = np.zeros(len(labels), np.int32)
    read = {feature.name for feature in model.embedding.features}
    if not isinstance(model, MMOE):
        labels = labels[:, 0]
    return {name: found[name] for name in sorted(read)}, labels


def make_trainer(model: Any, settings: dict, folder: str) -> Any:
    """Returns the library's trainer of one objective, or of several."""
    options = {
        "optimizer_params": {
            "lr": settings["learning_rate"],
            "weight_decay": 0.0,
        },
        "n_epoch": settings["epochs"],
        "earlystop_patience": settings["epochs"],
        "model_path": folder,
    }
    if isinstance(model, MMOE):
        return MTLTrainer(model, model.task_types, **options)
    return CTRTrainer(model, **options)


def train_model(model: Any, settings: dict, folder: Path) -> dict[str, Any]:
    """Trains, takes the best epoch's weights and writes predictions.

    Returns:
        Training `seconds` and impressions, and the best `validation_auc` of
        the first objective.
    """
    (inputs, labels), validation, test = (
        read_inputs(folder, split, model) for split in rows.SPLITS
    )
    loaders = DataGenerator(inputs, labels).generate_dataloader(
        *validation, *test, batch_size=settings["batch_rows"]
    )
    seconds = []
    with tempfile.TemporaryDirectory() as saved:
        trainer = make_trainer(model, settings, saved)
        one_epoch = trainer.train_one_epoch

        def timed(loader: Any) -> Any:
            began = time.monotonic()
            loss = one_epoch(loader)
            seconds.append(time.monotonic() - began)
            return loss

        trainer.train_one_epoch = timed
        trainer.fit(loaders[0], loaders[1])
    model.load_state_dict(trainer.early_stopper.best_weights)
    np.save(settings["predictions"], predict(model, test[0]))
    return {
        "seconds": sum(seconds),
        "impressions": len(seconds) * len(labels),
        "validation_auc": float(trainer.early_stopper.best_auc),
    }


def predict(model: Any, inputs: dict) -> np.ndarray:
    """Returns probabilities [M, T] float32."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    count = len(next(iter(tensors.values())))
    model.eval()
    found = []
    with torch.no_grad():
        for start in range(0, count, _PREDICTED_ROWS):
            part = slice(start, start + _PREDICTED_ROWS)
            out = model({n: tensor[part] for n, tensor in tensors.items()})
            found.append(out.numpy().reshape(len(out), -1))
    return np.concatenate(found).astype(np.float32)


def time_model(model: Any, settings: dict, folder: Path) -> dict[str, Any]:
    """Times the trainer's loop on the library's loader, and on sliced batches.

    Returns:
        Impressions a second of `processor` time and of `wall` time, as
        `documented` and with batches cut from tensors at once (`sliced`).
    """
    inputs, labels = read_inputs(folder, "train", model)
    size = settings["batch_rows"]
    few = {name: array[:1] for name, array in inputs.items()}
    loader, *_ = DataGenerator(inputs, labels).generate_dataloader(
        few, labels[:1], few, labels[:1], batch_size=size
    )
    trainer = make_trainer(model, settings, "")
    found: dict[str, Any] = {}
    for name, batches in {
        "documented": loader,
        "sliced": SlicedBatches(inputs, labels, size),
    }.items():
        clocked = ClockedLoader(batches, settings["seconds"])
        trainer.train_one_epoch(clocked)
        found[name] = clocked.rates
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
