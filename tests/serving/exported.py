"""One small ranker, exported once for all tests that read a SavedModel."""

import atexit
import dataclasses
import functools
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np

from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import Schema
from jd_tf.serving.export.export import export_model
from tests.requests import random_requests, small_schema

SCHEMA = small_schema()
METRICS = {"test": {"jd_ranker": {"click": {"auc": 0.75, "gauc": None}}}}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A live model and the version folder made from it."""

    model: JDRanker
    folder: Path
    requests: list

    @property
    def schema(self) -> Schema:
        return self.model.schema


def small_ranker() -> JDRanker:
    """Weights as after training: no zero left that could hide an error."""
    keras.utils.set_random_seed(3)
    model = JDRanker(
        SCHEMA,
        JDRankerConfig(
            model_dim=16,
            item_embedding_dim=8,
            feature_embedding_dim=4,
            context_embedding_dim=4,
            num_heads=2,
            feedforward_dim=16,
            num_experts=3,
            expert_units=(12, 8),
            tower_units=(6,),
            bias_units=(4,),
        ),
    )
    generator = np.random.default_rng(5)
    for weight in model.trainable_weights:
        noise = generator.normal(0, 0.3, weight.shape)
        weight.assign(weight + noise.astype("float32"))
    return model


@functools.cache
def exported() -> Exported:
    """Exports it, from the second call on without any work."""
    folder = Path(tempfile.mkdtemp(prefix="jd_tf-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    model = small_ranker()
    # As after training: what belongs to the optimizer must stay at home.
    model.compile(optimizer="adam")
    model.optimizer.build(model.trainable_variables)
    requests = random_requests(SCHEMA, 6, seed=1)
    empty = {c.name: requests[0][c.name][:0] for c in histories(SCHEMA)}
    requests[0] = {**requests[0], **empty}
    version = export_model(model, folder, requests=requests, metrics=METRICS)
    return Exported(model, version, requests)


def histories(schema: Schema) -> list:
    """Columns of histories, without their lengths."""
    return [
        c for c in schema.columns() if c.ragged and c.length != "num_candidates"
    ]
