"""Our models and torch-rechub's trained and timed on the same requests."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments.benchmarks.libraries.impression_rows import (
    COLUMNS_FILE,
    SPLITS,
    write_rows,
)
from experiments.benchmarks.libraries.pooled_means import POOLED_MEANS
from experiments.train_ranker import finish_training
from experiments.zoo_cells import cell_configs, preset_of
from jd_tf.data.batches import numpy_batches, read_batches
from jd_tf.data.dataset import (
    MANIFEST_FILE,
    fingerprint,
    new_folder,
    read_schema,
    seal,
    split_files,
)
from jd_tf.data.files import read_json, write_json
from jd_tf.evaluation.ablations.judge import discard_weights, judge_run
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.live_scorer import model_scorer
from jd_tf.metrics.cells import real_cells
from jd_tf.models.config_fields import flat_fields, replace_fields
from jd_tf.models.registry import build_model
from jd_tf.schema import DataError
from jd_tf.training.build_from_config import build_main_step
from jd_tf.training.config import TrainingConfig
from jd_tf.training.loop.trainer import Trainer
from jd_tf.training.loop.training_step import repeat_steps
from jd_tf.training.train import train
from jd_tf.training.workdir import load_trained

# Their name -> ours, and ours on what row models read.
MODELS = {
    "din": ("din", "din"),
    "bst": ("bst", "bst"),
    "mmoe": ("pooled_mmoe", POOLED_MEANS),
}
THEIRS, OURS, OURS_SAME = "torch-rechub", "jd_tf", "jd_tf, their columns"
SYSTEMS = (THEIRS, OURS, OURS_SAME)
# Of several objectives; the others have the first one alone.
_MULTI_TASK = "mmoe"
_THEIR_COLUMNS = {
    "use_fine_grained": False,
    "use_recency": False,
    "use_overlap": False,
}
# Fixed in their BST.
_FEEDFORWARD = 2048
_PACKAGES = ("torch", "torch_rechub")
_RUN = "experiments.benchmarks.libraries.rechub_run"
_BATCH_SIZE, _WARM_UP_STEPS = 256, 5

Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings that are held equal, and those of the measurement.

    Attributes:
        output: folder of everything made.
        epochs: passes over the training data; the best one by validation AUC
            of the first objective counts.
        learning_rate: of Adam, for tables and all else.
        embedding_dim: width of every table.
        num_replicates: resamples of the intervals.
        run_seconds: of processor time, measured in a turn.
        threads: that each system computes with.
    """

    output: Path
    epochs: int
    learning_rate: float
    embedding_dim: int
    num_replicates: int
    run_seconds: float
    threads: int


def check_installed() -> None:
    """Raises a DataError where the other library is missing; loads nothing."""
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise DataError(
                f"package {package.replace('_', '-')} is missing: "
                "pip install 'jd_tf[rivals]'; torch for processors alone is at "
                "https://download.pytorch.org/whl/cpu."
            )


class Contest:
    """One model of theirs against ours, on one data folder.

    Args:
        name: of theirs, in `MODELS`.
        data: folder of make_data.
        settings: of all models.
    """

    def __init__(self, name: str, data: Path, settings: Settings):
        self.name, self.data, self.settings = name, data, settings
        self.preset = preset_of(data)
        if name != _MULTI_TASK:
            name = f"first-objective-{fingerprint(data, SPLITS)}"
            self.data = settings.output / name
            if not (self.data / MANIFEST_FILE).is_file():
                narrow_objectives(data, self.data)
        self.schema = read_schema(self.data)
        self.requests = fingerprint(self.data, SPLITS)
        self.rows = settings.output / f"rows-{self.requests}"
        if not (self.rows / COLUMNS_FILE).is_file():
            write_rows(self.data, self.rows)

    def configs(
        self, system: str, seed: int
    ) -> tuple[str, Any, TrainingConfig]:
        """Returns registered name, config and training of one of ours."""
        model = MODELS[self.name][system == OURS_SAME]
        _, config, training = cell_configs(model, self.preset, seed, {})
        changes: dict[str, Any] = {
            f"{width}_embedding_dim": self.settings.embedding_dim
            for width in ("item", "feature", "context")
        }
        if self.name == "bst":
            changes["feedforward_dim"] = _FEEDFORWARD
        if system == OURS_SAME and self.name != _MULTI_TASK:
            changes |= _THEIR_COLUMNS
            changes["use_position"] = self.name == "bst"
        training = TrainingConfig(
            epochs=self.settings.epochs,
            batch_size=training.batch_size,
            learning_rate=self.settings.learning_rate,
            table_learning_rate=self.settings.learning_rate,
            monitor=f"auc/{self.schema.objective_names[0]}",
            log_every=20,
            progress=False,
            seed=seed,
        )
        return model, replace_fields(config, changes), training

    def run(self, system: str, seed: int, batch_rows: int = 0) -> Result:
        """Trains and judges a cell that is not finished, else reads it.

        Args:
            system: of `systems`.
            seed: of the training.
            batch_rows: of theirs.

        Returns:
            `metrics` and `replicates` by objective, training `seconds` and
            `impressions`, `parameters`, `validation_auc`.
        """
        label = f"{system}-{batch_rows}" if batch_rows else system
        folder = self._folder(label) / f"seed-{seed}"
        model, config, training = self.configs(system, seed)
        ours = system != THEIRS
        settings = {
            "requests": self.requests,
            "num_replicates": self.settings.num_replicates,
            **(
                {"config": repr(config), "training": repr(training)}
                if ours
                else self._their_settings(seed, batch_rows, 0)
            ),
        }

        def make() -> Result:
            if ours:
                return self._train_ours(folder, model, config, training)
            return self._train_theirs(folder, settings)

        result = once(folder / "result.json", settings, make)
        return {"data": self.name, "model": system, "seed": seed, **result}

    def _folder(self, label: str) -> Path:
        return self.settings.output / self.name / label.replace(", ", "-")

    def _train_ours(
        self, folder: Path, model: str, config: Any, training: TrainingConfig
    ) -> Result:
        trainers: list[Trainer] = []

        def run() -> Trainer:
            trainers.append(train(self.data, folder, model, config, training))
            return trainers[0]

        # A model made second has other names of layers than one made first.
        keras.backend.clear_session()
        finish_training(run, training.monitor)
        state = trainers[0].state
        trained = load_trained(folder)
        judged = self._judge(model_scorer(trained))
        discard_weights(folder)
        return {
            **judged,
            "seconds": state.seconds,
            "impressions": state.impressions,
            "parameters": trained.count_params(),
            "validation_auc": state.best_value,
        }

    def _train_theirs(self, folder: Path, settings: Result) -> Result:
        predictions = folder / "predictions.npy"
        found = self._start(
            folder, {**settings, "predictions": str(predictions)}
        )
        return {**found, **self._judge(np.load(predictions))}

    def _judge(self, found: Any) -> Result:
        """Judges a scorer, or probabilities (M, T) of all impressions."""
        scorers = {OURS: found} if callable(found) else {}
        predictions = collect_predictions(
            numpy_batches(
                self.data, "test", _BATCH_SIZE, schema=self.schema, keys=True
            ),
            self.schema,
            scorers,
        )
        if not scorers:
            labels = predictions.labels
            spread = np.zeros(labels.shape, np.float32)
            real = real_cells(predictions.num_candidates, labels.shape[1])
            spread[real] = found
            predictions.systems[OURS] = {"probabilities": spread}
        judged = judge_run(predictions, OURS, self.settings.num_replicates)
        return {
            "metrics": judged["metrics"]["all"],
            "replicates": judged["replicates"]["all"],
            "fingerprint": judged["fingerprint"],
        }

    def _their_settings(
        self, seed: int, batch_rows: int, seconds: float
    ) -> Result:
        _, config, _ = self.configs(OURS, seed)
        fields = {
            key.rpartition(".")[2]: value
            for key, value in flat_fields(config).items()
        }
        sizes = {
            "embedding_dim": self.settings.embedding_dim,
            "num_heads": self.preset.model.sequence.num_heads,
        }
        names = ("expert_units", "tower_units", "num_experts", "dropout_rate")
        for name in (*names, "activation_units"):
            sizes[name] = fields.get(name)
        return {
            "seed": seed,
            "sizes": sizes,
            "epochs": self.settings.epochs,
            "learning_rate": self.settings.learning_rate,
            "batch_rows": batch_rows,
            "seconds": seconds,
            "threads": self.settings.threads,
        }

    def _start(self, folder: Path, settings: Result) -> Result:
        """Runs theirs in a process of its own; returns what it measured."""
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / "measured.json"
        written.unlink(missing_ok=True)
        given = {**settings, "rows": str(self.rows), "result": str(written)}
        given["model"] = self.name
        write_json(folder / "settings.json", given)
        with (folder / "log.txt").open("w") as log:
            ended = subprocess.run(
                [sys.executable, "-m", _RUN, str(folder / "settings.json")],
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if ended.returncode or not written.is_file():
            tail = (folder / "log.txt").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{folder}: code {ended.returncode}: {tail}")
        return read_json(written)

    def time(self, number: int, seed: int, batch_rows: int) -> Result:
        """Times ours and theirs, one after the other; a finished turn is read.

        Returns:
            Impressions a second of `processor` and of `wall` time: of `jd_tf`,
            and of theirs `documented`, `sliced`; the machine's `load`.
        """
        folder = self._folder(f"speed-{batch_rows}")
        seconds = self.settings.run_seconds
        settings = {
            "requests": self.requests,
            **self._their_settings(seed, batch_rows, seconds),
        }

        def make() -> Result:
            ours = self._time_ours(seed)
            theirs = self._start(folder / f"turn-{number}", settings)
            return {OURS: ours, **theirs, "load": os.getloadavg()[0]}

        return once(folder / f"turn-{number}.json", settings, make)

    def _time_ours(self, seed: int) -> dict[str, float]:
        model, config, training = self.configs(OURS, seed)
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        ranker = build_model(model, self.schema, config)
        run = repeat_steps(build_main_step(training, ranker))
        batches = read_batches(
            self.data, "train", training.batch_size, shuffle_seed=seed
        ).repeat()
        iterator = iter(batches)
        run(iterator, _WARM_UP_STEPS)
        began = np.array([time.process_time(), time.monotonic()])
        impressions, taken = 0, np.zeros(2)
        while taken[0] < self.settings.run_seconds:
            done = run(iterator, training.steps_per_call)
            impressions += int(done["impressions"].sum())
            taken = [time.process_time(), time.monotonic()] - began
        processor, wall = (impressions / taken).tolist()
        return {"processor": processor, "wall": wall}


def once(
    path: Path, settings: Mapping[str, Any], make: Callable[[], Result]
) -> Result:
    """Makes a result and writes it, or reads that of the same settings."""
    settings = json.loads(json.dumps(settings))
    if path.is_file():
        result = read_json(path)
        for key, value in settings.items():
            known = result["settings"].get(key)
            if known != value:
                raise DataError(
                    f"{path}: was made with {key} {known!r}, not {value!r}. "
                    "Name another --output, or delete that folder."
                )
        return result
    result = {**make(), "settings": settings}
    write_json(path, result)
    return result


def limit_threads(number: int) -> None:
    """Lets TensorFlow compute with so many; before anything is computed."""
    tf.config.threading.set_intra_op_parallelism_threads(number)
    tf.config.threading.set_inter_op_parallelism_threads(number)


def narrow_objectives(data: Path, folder: Path) -> None:
    """Copies a data folder with the first objective alone.

    The requests and their order stay. Rewards and the simulator's truth, which
    are of all objectives, are left out.

    Args:
        data: made by make_data.
        folder: to make.
    """
    schema = read_schema(data)
    count = len(schema.objectives)
    nothing = {"reward": False, "oracle": False, "oracle_names": ()}
    schema = dataclasses.replace(
        schema, objectives=schema.objectives[:1], scenario_values=(), **nothing
    )
    with new_folder(folder) as aside:
        for path in (p for s in SPLITS for p in split_files(data, s)):
            records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
            with tf.io.TFRecordWriter(str(aside / path.name)) as writer:
                for record in records:
                    example = tf.train.Example.FromString(record)
                    for name in ("labels", "label_weights"):
                        cells = example.features.feature[name].float_list.value
                        cells[:] = cells[::count]
                    writer.write(example.SerializeToString(deterministic=True))
        seal(aside, schema)


def best_batch(results: Sequence[Result]) -> int:
    """Returns the batch size of the best validation AUC."""
    best = max(results, key=lambda result: result["validation_auc"])
    return best["settings"]["batch_rows"]
