"""A training run as a process of its own, for tests that kill it.

`python -m tests.training.loop.kill_target WORKDIR toy|ranker` trains in WORKDIR
and writes what came out to `WORKDIR/outcome.npz`.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from jd_tf.data.batches import read_batches
from jd_tf.data.dataset import read_schema
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.training.build_from_config import build_fusion, build_trainer
from jd_tf.training.config import TrainingConfig
from jd_tf.training.named_variables import model_variables
from jd_tf.training.validator import Validator
from tests.training.toy import ToyRanker, toy_batches

CONFIG = TrainingConfig(
    epochs=4,
    batch_size=8,
    balance="running_magnitude",
    learning_rate=0.01,
    table_method="lazy_adam",
    table_learning_rate=0.01,
    ema_decay=0.9,
    steps_per_call=9,
    log_every=30,
    evaluate_every=70,
    checkpoint_every=25,
    progress=False,
)
OUTCOME = "outcome.npz"


def toy_trainer(workdir):
    keras.utils.set_random_seed(CONFIG.seed)
    model = ToyRanker()
    return build_trainer(
        CONFIG,
        model,
        workdir,
        lambda epoch, skip: toy_batches(epoch, skip, steps=120),
        Validator(model, lambda: toy_batches(99, steps=5)),
    )


def ranker_trainer(workdir):
    data_dir = Path(workdir).parent / "data"
    keras.utils.set_random_seed(CONFIG.seed)
    schema = read_schema(data_dir)
    small = JDRankerConfig.of(
        model_dim=16,
        feedforward_dim=16,
        dropout_rate=0.1,
        fusion="personalized",
    )
    model = JDRanker(schema, small)

    def batches(split, **options):
        return read_batches(data_dir, split, CONFIG.batch_size, **options)

    return build_trainer(
        CONFIG,
        model,
        workdir,
        lambda epoch, skip: batches(
            "train",
            shuffle_seed=7,
            epoch=epoch,
            skip_batches=skip,
            bucket_batches=4,
        ),
        Validator(model, lambda: batches("validation")),
        build_fusion(CONFIG, model),
    )


TRAINERS = {"toy": toy_trainer, "ranker": ranker_trainer}


def outcome(trainer):
    """History and weights as arrays, without what a clock measured."""
    rows = {
        f"{number}/{name}": value
        for number, row in enumerate(trainer.state.history)
        for name, value in row.items()
        if "second" not in name and name != "input_wait_share"
    }
    named = model_variables(trainer.step_fn.model)
    weights = {name: variable.numpy() for name, variable in named.items()}
    return {
        key: np.asarray(value)
        for key, value in {**rows, **weights}.items()
        if value is not None
    }


def main():
    workdir, kind = sys.argv[1:]
    trainer = TRAINERS[kind](workdir)
    trainer.train()
    np.savez(Path(workdir) / OUTCOME, **outcome(trainer))


if __name__ == "__main__":
    main()
