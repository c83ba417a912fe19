"""A model outside of the package, from its file to a ranked second page."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jd_tf.data.dataset import write_dataset
from jd_tf.schema import Behavior, IdColumn
from jd_tf.serving.client import ClientOptions, RankingClient
from tests.requests import random_request, random_requests, small_schema

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = small_schema(
    item_columns=(IdColumn("item_id", num_buckets=50),),
    behaviors=(Behavior("click", max_length=6),),
    item_dense=(),
    context_columns=(),
    session_dense=(),
    bias_columns=(),
)
MODULE = '''
"""Means of item embeddings and one tower."""

import dataclasses

import keras
from keras import ops

from jd_tf.layers import EntireSpaceLogits, IdEmbedding
from jd_tf.layers.masking import length_mask
from jd_tf.models.base import RankingModel
from jd_tf.models.ranker_config import RankerConfig
from jd_tf.models.registry import register_model


@dataclasses.dataclass(frozen=True)
class MeanTowerConfig(RankerConfig):
    dim: int = 8


@register_model("mean_tower", MeanTowerConfig)
class MeanTower(RankingModel):
    config_class = MeanTowerConfig

    def make_layers(self):
        given = self.schema.given_indices
        (item,) = self.schema.item_columns
        self.items = IdEmbedding(
            self.config.dim, num_buckets=item.num_buckets, name="items"
        )
        self.tower = keras.layers.Dense(len(given), name="tower")
        self.entire_space = EntireSpaceLogits(given, name="entire_space")

    def build_layers(self):
        self.items.build()
        self.tower.build((None, None, 2 * self.config.dim))
        self.entire_space.build((None, None, len(self.schema.objectives)))

    def encode_histories(self, histories, training=False):
        (behavior,) = self.schema.behaviors
        length = histories[behavior.length]
        events = self.items(histories[f"{behavior.name}_item_id"])
        # Padding may hold anything.
        real = length_mask(length, ops.shape(events)[1])[..., None]
        total = ops.sum(ops.where(real, events, 0.0), axis=1)
        count = ops.cast(ops.maximum(length, 1), total.dtype)
        return {"mean": total / count[:, None]}

    def encode_request(self, user_state, request):
        return None

    def candidate_logits(
        self, user_state, context, candidates, training=False
    ):
        items = self.items(candidates["item_id"])
        met = items * user_state["mean"][:, None]
        read = ops.concatenate([items, met], axis=-1)
        logits = self.entire_space(self.tower(read))
        return ops.cast(logits, "float32"), read
'''
# In a process that has never been given the file.
AFTERWARDS = """
import json, sys
import numpy as np
from jd_tf.data.batches import read_batches
from jd_tf.evaluation import evaluate
from jd_tf.serving.export import export
from jd_tf.training import load_trained

data, workdir, output = sys.argv[1:]
model = load_trained(workdir)
(batch,) = read_batches(data, "test", 32)
metrics = evaluate(
    data, workdir, max_tree_impressions=0, num_replicates=0, log=lambda _: None
)
folder = export(workdir, data, output)
print(json.dumps({
    "name": model.registered_name,
    "dim": model.config.dim,
    "scores": np.asarray(model(batch)["score"]).tolist(),
    "systems": sorted(metrics["test"]),
    "folder": str(folder),
}))
"""


def _run(*arguments):
    finished = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    splits = {
        split: random_requests(SCHEMA, 32, seed)
        for seed, split in enumerate(("train", "validation", "test"))
    }
    folder = tmp_path_factory.mktemp("shop") / "data"
    write_dataset(folder, SCHEMA, splits)
    return folder


def test_from_a_file_to_a_second_page(data, tmp_path):
    module, workdir = tmp_path / "my_model.py", tmp_path / "run"
    module.write_text(MODULE)
    program = ("-m", "experiments.train", f"--data={data}",
               f"--workdir={workdir}", "--noprogress")  # fmt: skip
    trained = _run(
        *program,
        "--model=mean_tower",
        f"--model_module={module}",
        "--set=dim=4",
        "--batch_size=8",
    )
    assert trained.startswith("trained 4 steps")
    stored = json.loads((workdir / "config.json").read_text())["model"]
    assert stored["name"] == "mean_tower"
    assert stored["config"]["dim"] == 4

    # From here on the run lives by its own copy.
    assert (workdir / "model_module.py").read_text() == MODULE
    module.unlink()
    assert _run(*program, "--epochs=2").startswith("trained 8 steps")
    output = _run("-c", AFTERWARDS, data, workdir, tmp_path / "saved_models")
    found = json.loads(output.splitlines()[-1])
    assert (found["name"], found["dim"]) == ("mean_tower", 4)
    assert "mean_tower" in found["systems"]

    first = random_requests(SCHEMA, 32, seed=2)[0]
    second = random_request(SCHEMA, np.random.default_rng(9))
    page = ("item_id", "labels", "label_weights")
    second = {**first, **{name: second[name] for name in page}}
    options = ClientOptions(one_call=False)
    with RankingClient.from_saved_model(found["folder"], options) as client:
        ranking = client.rank(first)
        client.rank(second)
        stats = client.stats()
    assert stats["cache"]["hits"] == 1
    assert stats["calls"] == {"encode_and_rank": 1, "rank_candidates": 1}
    count = len(first["item_id"])
    scores = np.array(found["scores"][0][:count])
    np.testing.assert_allclose(ranking.scores, np.sort(scores)[::-1], rtol=1e-4)
