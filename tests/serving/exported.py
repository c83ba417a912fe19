"""Small rankers, exported once for all tests that read a SavedModel."""

import atexit
import dataclasses
import functools
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig
from jd_tf.schema import Schema
from jd_tf.serving.export import exporting
from jd_tf.serving.export.verification.verify import verify
from tests.requests import random_requests, small_schema
from tests.serving.tiny_ranker import TinyRanker

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
        JDRankerConfig.of(
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
    folder = temporary_folder()
    model = small_ranker()
    # As after training: slots of the optimizer must not be exported.
    model.compile(optimizer="adam")
    model.optimizer.build(model.trainable_variables)
    requests = random_requests(SCHEMA, 6, seed=1)
    empty = {c.name: requests[0][c.name][:0] for c in histories(SCHEMA)}
    requests[0] = {**requests[0], **empty}
    version = export_in_process(
        model, folder, requests=requests, metrics=METRICS
    )
    return Exported(model, version, requests)


@functools.cache
def tiny_version() -> Path:
    """Exports the tiny ranker, verified in this process."""
    return export_in_process(TinyRanker(), temporary_folder(), name="tiny")


def export_in_process(model, *args, **kwargs) -> Path:
    """Exports without the seconds that a fresh process takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "verify_elsewhere", verify)
        return exporting.export_model(model, *args, **kwargs)


def temporary_folder() -> Path:
    """A folder that is removed at the end of the process."""
    folder = Path(tempfile.mkdtemp(prefix="jd_tf-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def histories(schema: Schema) -> list:
    """Columns of histories, without their lengths."""
    return [
        c for c in schema.columns() if c.ragged and c.length != "num_candidates"
    ]
