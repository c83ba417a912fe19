"""Folders whose names TensorFlow takes for patterns."""

import keras
import numpy as np
import pytest

import jd_tf
from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import write_dataset
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.serving.export.loading import LoadedModel
from jd_tf.training.config import TrainingConfig
from jd_tf.training.workdir import load_trained
from tests.experiments.programs import tiny_schema
from tests.requests import random_requests

SMALL = JDRankerConfig.of(model_dim=8, num_heads=2, expert_units=(8,))


@pytest.mark.slow
def test_trained_resumed_and_exported(tmp_path):
    schema, folder = tiny_schema(), tmp_path / "run [1] *? {a} back\\slash ]["
    splits = {s: random_requests(schema, 20) for s in ("train", "validation")}
    write_dataset(folder / "data", schema, splits)
    for steps in (1, 2):
        config = TrainingConfig(max_steps=steps, batch_size=4, progress=False)
        keras.utils.clear_session()
        trainer = jd_tf.train(
            folder / "data",
            folder / "model",
            model_config=SMALL,
            training_config=config,
        )
        assert trainer.state.step == steps
        assert trainer.steps_taken == 1
    model = load_trained(folder / "model")
    for mine, theirs in zip(
        model.weights, trainer.step_fn.model.weights, strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    version = jd_tf.export(
        folder / "model", folder / "data", folder / "saved_models"
    )
    batch = next(numpy_batches(folder / "data", "validation", 4))
    loaded = LoadedModel(version)
    names = loaded.signatures["serving_default"]["inputs"]
    score = loaded.call("serving_default", {n: batch[n] for n in names})[
        "score"
    ]
    real = np.arange(score.shape[1]) < batch["num_candidates"][:, None]
    np.testing.assert_allclose(
        score[real], model(batch)["score"].numpy()[real], rtol=1e-4, atol=1e-6
    )
