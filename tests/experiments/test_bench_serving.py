"""bench_serving asks the same question five ways, and counts what it costs."""

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from experiments.benchmarks import (
    serving_contest,
    serving_profile,
    wire_profile,
)
from experiments.benchmarks.serving_ways import WAYS, ServingWays, random_batch
from experiments.paging_traffic import (
    measure_paging,
    paging_requests,
)
from jd_tf.schema import HISTORY_ROLES, DataError
from jd_tf.serving.client import SavedModelTransport
from jd_tf.serving.client.errors import OverloadedError
from tests.experiments.programs import run_program
from tests.serving.exported import exported

# Benchmarks change seldom and measure for long.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", name="ranker")
def _ranker():
    return SavedModelTransport(exported().folder)


def test_all_ways_score_alike(ranker):
    with ThreadPoolExecutor(2) as pool:
        asked = ServingWays(ranker.model.call, ranker.schema, 9, 4, 3, pool)
        expected = asked.ways["one_call"]()
        assert expected.shape == (9,)
        assert np.ptp(expected) > 0
        for way in WAYS:
            np.testing.assert_allclose(asked.ways[way](), expected, rtol=1e-4)
        # What a way is named after is what it sends.
        _, tiled = asked.inputs("tiled")
        assert tiled["item_id"].shape == (9, 1)
        assert tiled["click_item_id"].shape[0] == 9
        _, together = asked.inputs("batched_users")
        assert together["item_id"].shape == (3, 9)


def test_requests_are_as_long_as_the_schema_allows(ranker):
    batch = random_batch(ranker.schema, 2, 5)
    for behavior in ranker.schema.behaviors:
        assert batch[behavior.length].tolist() == [behavior.max_length] * 2
        times = batch[f"{behavior.name}_event_time"]
        assert (np.diff(times) <= 0).all()
        assert (times[:, 0] <= batch["request_time"]).all()
    # Users differ; the same ones come every time.
    assert (batch["item_id"][0] != batch["item_id"][1]).any()
    np.testing.assert_array_equal(
        batch["item_id"], random_batch(ranker.schema, 2, 5)["item_id"]
    )


def test_ways_that_disagree_are_refused(ranker):
    def call(signature, inputs):
        found = ranker.model.call(signature, inputs)
        if signature == "rank_candidates":
            found["score"] = found["score"] * 1.01
        return found

    with pytest.raises(DataError, match="`encode_then_slices` scores differ"):
        serving_contest.hold_contest(
            {"in_process": call}, ranker.schema, [6], 1, 4, 2, log=len
        )


def test_calls_that_fail_under_load_are_counted(ranker):
    """A server that refuses some calls is measured by the others."""
    numbers = itertools.count()

    def call(signature, inputs):
        if signature == "serving_default" and next(numbers) % 3 == 2:
            raise OverloadedError("no thread left")
        return ranker.model.call(signature, inputs)

    lines = []
    found = serving_contest.load_test(
        {"grpc": call}, ranker.schema, 5, [2], 0.2, lines.append
    )["grpc"]
    assert found["cached_state"]["2"]["failed"] == 0
    one_call = found["one_call"]["2"]
    answered = one_call["calls_per_second"] * 0.2
    assert one_call["failed"] == pytest.approx(answered / 2, abs=2)
    assert f"2 callers, {one_call['failed']} calls failed" in lines[0]

    def refuse(signature, inputs):
        if signature == "serving_default":
            raise OverloadedError("no thread at all")
        return ranker.model.call(signature, inputs)

    with pytest.raises(OverloadedError, match="at all"):
        serving_contest.load_test(
            {"grpc": refuse}, ranker.schema, 5, [2], 0.05, len
        )


@pytest.mark.slow
def test_users_page_and_click(ranker):
    """Encodings are the histories there are; all other pages find theirs."""
    schema = ranker.schema
    pages = paging_requests(schema, 20, 5)
    times = [int(page["request_time"]) for page in pages]
    assert times == sorted(times)
    users = {}
    for page in pages:
        users.setdefault(page["user_id"], []).append(page)
    assert len(users) == 20
    assert {len(own) for own in users.values()} == {1, 2, 3, 4, 5}
    histories = {
        repr([page[c.name] for c in schema.columns(*HISTORY_ROLES)])
        for page in pages
    }
    clicks = len(histories) - len(users)
    assert 0 < clicks < len(pages) - len(users)
    for own in users.values():
        sessions = [tuple(page["session_dense"]) for page in own]
        assert len(set(sessions)) == len({p["request_time"] for p in own})
    found = measure_paging(
        lambda: SavedModelTransport(ranker.folder), schema, 20, 5
    )
    assert found["pages"] == len(pages)
    assert found["encodings"] == len(histories)
    hits = len(pages) - len(histories)
    assert found["hit_rate"] == pytest.approx(hits / len(pages))


def test_products_are_counted(ranker):
    kernel = tf.Variable(tf.ones((4, 5)))

    @tf.function
    def product(*, rows, others):
        flat = tf.matmul(rows, kernel)
        return {
            "flat": flat,
            "batch": tf.matmul(others, others, transpose_b=True),
            "named": tf.einsum("bij,bkj->bik", others, others),
        }

    function = product.get_concrete_function(
        rows=tf.TensorSpec((None, 4)), others=tf.TensorSpec((2, None, 3))
    )
    inputs = {
        "rows": np.zeros((6, 4), np.float32),
        "others": np.zeros((2, 7, 3), np.float32),
    }
    found = serving_profile.multiplications(function, inputs)
    square = 2 * 2 * 7 * 7 * 3
    assert found == {"flops": 2 * 6 * 4 * 5 + 2 * square, "unknown": 0}
    assert serving_profile.matrix_rate(2) > 1e8


@pytest.mark.slow
def test_parts_are_timed_and_drawn(tmp_path):
    model = exported().model
    parts = serving_profile.profile(model, random_batch(model.schema, 1, 5), 2)
    assert {"encode_user", "rank", "encoders", "experts"} <= set(parts)
    assert all(milliseconds > 0 for milliseconds in parts.values())
    picture = tmp_path / "profile.png"
    serving_profile.draw_bars(parts, ("encode_user", "rank"), picture)
    assert picture.stat().st_size > 5000


def test_parts_of_a_call_over_the_wire_add_up(ranker):
    inputs = random_batch(ranker.schema, 1, 5)

    def slow(signature, inputs):
        time.sleep(0.05)
        return ranker.model.call(signature, inputs)

    parts = wire_profile.wire_profile(
        ranker.model.call, slow, "serving_default", inputs, 5
    )
    whole = parts.pop(wire_profile.WHOLE)
    assert sum(parts.values()) == pytest.approx(whole)
    own = parts.pop(wire_profile.REST)
    assert all(milliseconds > 0 for milliseconds in parts.values())
    assert whole > 50
    # What is nobody else's is the server's.
    assert own > 50 - parts[wire_profile.WIRE] - whole / 4


@pytest.mark.slow
def test_measures_a_saved_model(ranker, tmp_path):
    finished = run_program(
        "benchmarks.bench_serving",
        f"--saved_model={ranker.folder}",
        f"--output={tmp_path}",
        "--candidates=3,7",
        "--rounds=1",
        "--callers=1,2",
        "--load_seconds=0.05",
        "--paging_users=3",
    )
    assert finished.returncode == 0, finished.stderr
    found = json.loads((tmp_path / "bench_serving.json").read_text())
    assert set(found["in_process"]) == {"3", "7"}
    for part in ("p50_ms", "p99_ms"):
        times = found["in_process"]["7"][part]
        assert set(times) == set(WAYS)
        assert all(milliseconds > 0 for milliseconds in times.values())
    load = json.loads((tmp_path / "concurrency.json").read_text())
    assert set(load["in_process"]["cached_state"]) == {"1", "2"}
    assert "7 candidates with a kept user" in finished.stdout
    paging = json.loads((tmp_path / "paging.json").read_text())["in_process"]
    assert paging["users"] == 3
    assert f"{paging['encodings']} encodings" in finished.stdout
    assert (tmp_path / "bench_serving.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--candidates=many", "--candidates: `many` is no positive number"),
        ("--saved_model=nowhere", "nowhere"),
    ],
)
def test_wrong_arguments_end_with_one_line(argument, message, tmp_path):
    finished = run_program(
        "benchmarks.bench_serving", f"--output={tmp_path}", argument
    )
    assert finished.returncode == 2
    (line,) = [
        line
        for line in finished.stderr.splitlines()
        if line.startswith("error: ")
    ]
    assert message in line
    assert "Traceback" not in finished.stderr
