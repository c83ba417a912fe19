r"""One timed run of bench_training, in a process of its own.

    python -m experiments.benchmarks.bench_worker \
        SYSTEM DATA ROWS SECONDS RESULT

Trains one system on data that lies there and writes what it measured as
JSON: impressions a second, milliseconds a step, peak memory, and the share
of time spent waiting for input.
"""

import dataclasses
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

# Imported first: it sets what TensorFlow reads when it loads.
from experiments import program as _program  # noqa: F401

SYSTEMS = ("jd_ranker", "keras_fit")
NUM_CANDIDATES = 10
MAX_LENGTH = 50
OBJECTIVES = ("click", "order")
# 512 impressions are 51.2 requests.
BATCH_REQUESTS = 51
BATCH_ROWS = 512
WARM_UP_STEPS = 5
MIN_STEPS = 5
SIZES: dict[str, Any] = {
    "model_dim": 64,
    "num_heads": 4,
    "feedforward_dim": 128,
    "num_experts": 4,
    "expert_units": (128, 64),
    "tower_units": (32,),
}
EMBEDDING_DIM = 64
TILED_FILE = "tiled.tfrecord"


@dataclasses.dataclass
class Timing:
    """Measurements of one run; `last_loss` proves that it trained."""

    impressions: int
    steps: int
    seconds: float
    wait_share: float
    num_weights: int
    last_loss: float

    def result(self) -> dict[str, float]:
        """Returns what is written; memory is this process's peak."""
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "impressions_per_second": self.impressions / self.seconds,
            "step_ms": 1000 * self.seconds / self.steps,
            "peak_mib": peak_kib / 1024,
            "input_wait_share": self.wait_share,
            "steps": self.steps,
            "num_weights": self.num_weights,
            "last_loss": self.last_loss,
        }


def main(arguments: list[str]) -> None:
    """Times the system and writes the result."""
    system, data_dir, num_rows, seconds, result = arguments
    time_it = {"jd_ranker": time_ranker, "keras_fit": time_baseline}[system]
    timing = time_it(Path(data_dir), int(num_rows), float(seconds))
    Path(result).write_text(json.dumps(timing.result()), encoding="utf-8")


def ranker_sizes() -> dict[str, Any]:
    """Returns the ranker's config that makes it the same network."""
    return {**SIZES, "item_embedding_dim": EMBEDDING_DIM, "use_overlap": False}


def time_ranker(data_dir: Path, num_rows: int, seconds: float) -> Timing:
    """Times our loop, reading TFRecords of requests all the while."""
    import keras

    from jd_tf.data.batches import read_batches
    from jd_tf.data.dataset import read_schema
    from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
    from jd_tf.training.build_from_config import build_main_step
    from jd_tf.training.config import TrainingConfig
    from jd_tf.training.loop.training_step import repeat_steps

    keras.utils.set_random_seed(1)
    config = TrainingConfig(max_gradient_norm=0.0)
    sizes = JDRankerConfig.of(**ranker_sizes())
    model = JDRanker(read_schema(data_dir), sizes)
    run = repeat_steps(build_main_step(config, model))
    batches = read_batches(
        data_dir, "train", BATCH_REQUESTS, shuffle_seed=1
    ).repeat()
    iterator = iter(batches)
    run(iterator, WARM_UP_STEPS)
    timing = Timing(0, 0, 0.0, 0.0, model.count_params(), 0.0)
    waited, began = 0.0, time.monotonic()
    while timing.seconds < seconds or timing.steps < MIN_STEPS:
        rows = run(iterator, config.steps_per_call)
        timing.seconds = time.monotonic() - began
        timing.steps += len(rows["loss"])
        timing.impressions += int(rows["impressions"].sum())
        waited += rows["waits"].sum()
    timing.wait_share = float(waited / timing.seconds)
    timing.last_loss = float(rows["loss"][-1])
    return timing


def time_baseline(data_dir: Path, num_rows: int, seconds: float) -> Timing:
    """Times Keras' `fit` on the tiled rows."""
    import keras

    from experiments.benchmarks.tiled_baseline import build_baseline, read_rows

    keras.utils.set_random_seed(1)
    model = build_baseline(
        num_rows, EMBEDDING_DIM, MAX_LENGTH, objectives=OBJECTIVES, **SIZES
    )
    batches = read_rows(
        data_dir / TILED_FILE, BATCH_ROWS, MAX_LENGTH, OBJECTIVES
    )
    timing = Timing(0, 0, 0.0, 0.0, model.count_params(), 0.0)

    class Clock(keras.callbacks.Callback):
        """Starts after the warm-up and stops when time is up."""

        def on_train_batch_end(self, batch: int, logs: dict) -> None:
            now = time.monotonic()
            if batch + 1 <= WARM_UP_STEPS:
                self.began = now
                return
            timing.steps += 1
            timing.seconds = now - self.began
            timing.last_loss = float(logs["loss"])
            enough = timing.steps >= MIN_STEPS
            if timing.seconds >= seconds and enough:
                self.model.stop_training = True

    model.fit(
        batches,
        steps_per_epoch=10**9,
        callbacks=[Clock()],
        verbose=0,
        shuffle=False,
    )
    timing.impressions = timing.steps * BATCH_ROWS
    timing.wait_share = _waiting_of_fit(model, batches)
    return timing


def _waiting_of_fit(model: Any, batches: Any) -> float:
    """Returns the share of waiting, measured apart: `fit` does not show it."""
    iterator = iter(batches)
    next(iterator)
    waited, began = 0.0, time.monotonic()
    for _ in range(MIN_STEPS):
        began_waiting = time.monotonic()
        inputs, targets = next(iterator)
        waited += time.monotonic() - began_waiting
        model.train_on_batch(inputs, targets)
    return waited / (time.monotonic() - began)


if __name__ == "__main__":
    main(sys.argv[1:])
