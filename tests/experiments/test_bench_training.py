"""bench_training compares like with like, and writes what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks import bench_worker as worker
from experiments.benchmarks import tiled_baseline, training_contest
from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import read_schema
from jd_tf.models.ranking.jd_ranker import JDRanker, JDRankerConfig

# Benchmarks change seldom and measure for long.
pytestmark = pytest.mark.slow

NUM_ROWS = 500


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a bench")
    return training_contest.make_data(folder, NUM_ROWS, 120, popularity=1.0)


def _ranker(data):
    return JDRanker(
        read_schema(data), JDRankerConfig.of(**worker.ranker_sizes())
    )


def _baseline():
    return tiled_baseline.build_baseline(
        NUM_ROWS,
        worker.EMBEDDING_DIM,
        worker.MAX_LENGTH,
        objectives=worker.OBJECTIVES,
        **worker.SIZES,
    )


def _transfer(ranker, baseline):
    """Copies the ranker's weights into the layers that do the same."""
    heads, width = worker.SIZES["num_heads"], worker.SIZES["model_dim"]
    taken = {w.path.split("/", 1)[1]: w.numpy() for w in ranker.weights}

    def take(name, *parts):
        return [taken.pop(f"{name}/{part}") for part in parts]

    def give(name, *values):
        baseline.get_layer(name).set_weights(values)

    def headed(kernel, bias):
        return (
            kernel.reshape(width, heads, width // heads),
            bias.reshape(heads, width // heads),
        )

    def attention(name, fused, output):
        """Query, key and value of each head; then the way out."""
        kernel, bias = output
        parts = [part for one in fused for part in headed(*one)]
        out = kernel.reshape(heads, width // heads, width)
        give(name, *parts, out, bias)

    give("item_table", *take("item_encoder/item_id", "table"))
    give("projection", *take("item_encoder/projection", "kernel", "bias"))
    reader = "click_reader"
    tables = ("position_table", "age_table")
    time = baseline.get_layer("tokens_in_time")
    time.set_weights(take(f"{reader}/temporal_encoding", *tables))
    block = f"{reader}/encoder/block_0"
    kernel, bias = take(f"{block}/query_key_value", "kernel", "bias")
    fused = zip(np.split(kernel, 3, axis=1), np.split(bias, 3), strict=True)
    output = take(f"{block}/attention_output", "kernel", "bias")
    attention("attend", fused, output)
    give("norm_1", *take(f"{block}/attention_norm", "gamma", "beta"))
    give("norm_2", *take(f"{block}/feedforward_norm", "gamma", "beta"))
    give("norm_3", *take(f"{reader}/encoder/norm", "gamma", "beta"))
    give("inner", *take(f"{block}/feedforward_inner", "kernel", "bias"))
    give("outer", *take(f"{block}/feedforward_output", "kernel", "bias"))
    crossing = f"{reader}/interest_crossing"
    give("pool", *take(f"{crossing}/attention", "kernel", "bias"))
    give("pool_query", *take(crossing, "attention_query"))
    decoder = f"{reader}/decoder"
    give("norm_4", *take(f"{decoder}/query_norm", "gamma", "beta"))
    query = take(f"{decoder}/query", "kernel", "bias")
    kernel, bias = take(f"{decoder}/key_value", "kernel", "bias")
    fused = zip(np.split(kernel, 2, axis=1), np.split(bias, 2), strict=True)
    output = take(f"{decoder}/attention_output", "kernel", "bias")
    attention("target", [query, *fused], output)
    (candidate,) = take("experts/candidate_half", "kernel")
    user, bias = take("experts/user_half", "kernel", "bias")
    # Without the age of the newest event, which comes last.
    width = baseline.get_layer("expert_0_0").kernel.shape[0]
    kernel = np.concatenate([candidate, user])[:width]
    first = worker.SIZES["expert_units"][0]
    deeper, deeper_bias = take("experts/deeper", "kernel_0", "bias_0")
    num_experts = worker.SIZES["num_experts"]
    for expert in range(num_experts):
        own = slice(expert * first, (expert + 1) * first)
        give(f"expert_{expert}_0", kernel[:, own], bias[own])
        give(f"expert_{expert}_1", deeper[expert], deeper_bias[expert, 0])
    for index, name in enumerate(worker.OBJECTIVES):
        start = num_experts * (first + index)
        own = slice(start, start + num_experts)
        give(f"gate_{name}", kernel[:, own], bias[own])
        for depth, layer in enumerate((f"{name}_0", name)):
            path = f"towers/towers/{{}}_{depth}"
            tower = [taken[path.format(p)] for p in ("kernel", "bias")]
            give(layer, tower[0][index], tower[1][index, 0])
    return [name for name in taken if not name.startswith("towers/towers")]


def test_both_systems_are_the_same_function(data):
    ranker, baseline = _ranker(data), _baseline()
    left = _transfer(ranker, baseline)
    # Vectors for users without any history, of whom there are none here, of
    # the age of the newest event, and the gain of the second order, which the
    # baseline reads as it is.
    assert sorted(left) == [
        "click_reader/decoder/no_history",
        "click_reader/interest_crossing/no_history",
        "click_reader/second_order_gain",
        "context_encoder/recency/bucket_table",
        "context_encoder/recency/log_scale",
    ]
    recency = ranker.context_encoder.recency.bucket_table
    recency.assign(0.0 * recency)
    (reader,) = ranker.readers
    reader.second_order_gain.assign(np.ones(reader.model_dim, np.float32))
    rows = ranker.experts.user_half.kernel.shape[1] * recency.shape[-1]
    more = 2 * 64 + np.prod(recency.shape) + 1 + rows
    assert ranker.count_params() - baseline.count_params() == more
    batch = next(numpy_batches(data, "train", 3))
    expected = ranker(batch)["probabilities"].numpy()

    table = ranker.item_encoder.tables["item_id"]
    history = table.rows(batch["click_item_id"]).numpy()
    items = table.rows(batch["item_id"]).numpy()
    for request in range(3):
        rows = list(
            tiled_baseline.tile(
                {
                    "click_item_id": history[request],
                    "click_event_time": batch["click_event_time"][request],
                    "item_id": items[request],
                    "labels": batch["labels"][request],
                }
            )
        )
        assert len(rows) == worker.NUM_CANDIDATES
        inputs = {name: np.stack([row[name] for row in rows])
                  for name in rows[0] if name != "labels"}  # fmt: skip
        inputs["length"] = inputs["length"][:, 0]
        found = baseline(inputs)
        for index, name in enumerate(worker.OBJECTIVES):
            np.testing.assert_allclose(
                found[name].numpy()[:, 0],
                expected[request, :, index],
                rtol=1e-4,
            )


def test_both_systems_read_the_same_impressions(data):
    ours = sorted(
        (
            tuple(batch["click_item_id"][request]),
            int(batch["item_id"][request, cell]),
            tuple(batch["labels"][request, cell]),
        )
        for batch in numpy_batches(data, "train", 7)
        for request in range(len(batch["item_id"]))
        for cell in range(batch["num_candidates"][request])
    )
    rows = tiled_baseline.read_rows(
        data / worker.TILED_FILE, 40, worker.MAX_LENGTH, worker.OBJECTIVES
    )
    theirs = []
    for inputs, targets in rows.take(len(ours) // 40).as_numpy_iterator():
        for row in range(40):
            labels = [targets[name][row, 0] for name in worker.OBJECTIVES]
            theirs.append((tuple(inputs["history"][row]),
                           int(inputs["item_id"][row, 0]),
                           tuple(labels)))  # fmt: skip
    assert sorted(theirs) == ours
    assert len(ours) == 1200


@pytest.mark.parametrize("system", worker.SYSTEMS)
def test_a_run_measures_itself(data, system, monkeypatch):
    monkeypatch.setattr(worker, "BATCH_REQUESTS", 4)
    monkeypatch.setattr(worker, "BATCH_ROWS", 32)
    time_it = {
        "jd_ranker": worker.time_ranker,
        "keras_fit": worker.time_baseline,
    }
    found = time_it[system](data, NUM_ROWS, 0.01).result()
    assert found["steps"] >= worker.MIN_STEPS
    assert found["impressions_per_second"] == pytest.approx(
        1000 / found["step_ms"] * {"jd_ranker": 40, "keras_fit": 32}[system]
    )
    assert found["peak_mib"] > 100
    assert 0 <= found["input_wait_share"] <= 1
    assert np.isfinite(found["last_loss"])


def test_processes_take_turns_and_results_are_written(tmp_path, monkeypatch):
    turns = []

    def pretend(system, data_dir, num_rows, seconds):
        turns.append((num_rows, system))
        rate = {"jd_ranker": 9000.0, "keras_fit": 900.0}[system]
        rate += 100 * len(turns)
        return {
            "impressions_per_second": rate,
            "step_ms": 5e5 / rate,
            "peak_mib": 1000.0,
            "input_wait_share": 0.01,
            "num_weights": 7,
        }

    monkeypatch.setattr(training_contest, "run_worker", pretend)
    monkeypatch.setattr(training_contest, "make_data", lambda *_: tmp_path)
    output = tmp_path / "out"
    result = training_contest.hold_contest(
        output, (100, 2000), 3, seconds=1.0, num_requests=51, popularity=1.0
    )
    order = [(100, "jd_ranker"), (100, "keras_fit"),
             (2000, "jd_ranker"), (2000, "keras_fit")]  # fmt: skip
    assert turns == order * 3
    written = (output / training_contest.RESULT_FILE).read_text()
    assert json.loads(written) == result
    assert set(result) == {"100", "2000"}
    assert result["100"]["jd_ranker"]["impressions_per_second"] == 9500
    assert result["100"]["jd_ranker"]["spread"] == [9100, 9900]
    assert (output / "bench_training.png").is_file()
    assert (output / "settings.json").is_file()
    shown = training_contest.table(result)
    assert "6.3x" in shown
    assert "our step at the last table" in shown


def test_a_wrong_table_is_refused(tmp_path):
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.benchmarks.bench_training",
            f"--output={tmp_path / 'out'}",
            "--tables=many",
        ],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert finished.returncode == 2
    assert "many" in finished.stderr
    assert not (tmp_path / "out").exists()
