"""Differences of two versions on one log are counted and reported."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jd_tf.schema import DataError
from jd_tf.serving.deploy.model_config import OperationError, add_model
from jd_tf.serving.deploy.replay import (
    agreement,
    open_target,
    replay,
    served_target,
)
from jd_tf.serving.deploy.shadow_report import compare, write_shadow_report
from jd_tf.serving.deploy.version_server import VersionServer
from jd_tf.serving.export.recordings import (
    WARMUP_FILE,
    Recording,
    read_recordings,
)
from jd_tf.serving.protos.messages import ModelServerConfig
from tests.serving.deploy.made_versions import MODEL
from tests.serving.fake_server.start import model_server

ROOT = Path(__file__).resolve().parents[3]


class Fixed:
    """Answers the scores it is given, call after call."""

    reads = None

    def __init__(self, name, *scores):
        self.name, self._scores, self._place = name, scores, 0

    def call(self, signature, inputs):
        # The first call comes twice.
        place = max(self._place - 1, 0)
        self._place += 1
        score = self._scores[place % len(self._scores)]
        if isinstance(score, Exception):
            raise score
        return {"score": np.array(score, "float32")}


def calls(*counts):
    return [
        Recording("serving_default", {"num_candidates": np.array(c)}, {})
        for c in counts
    ]


def kendall(a, b):
    """Pairs in the same order less pairs in the other, ties apart."""
    n, total, ties_a, ties_b = len(a), 0, 0, 0
    for i in range(n):
        for j in range(i):
            total += np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])
            ties_a += a[i] == a[j]
            ties_b += b[i] == b[j]
    pairs = n * (n - 1) / 2
    return total / np.sqrt((pairs - ties_a) * (pairs - ties_b))


def test_agreement_is_counted_by_hand():
    one = np.array([5.0, 4.0, 3.0, 2.0])
    found = agreement(one, np.array([5.0, 1.0, 3.0, 4.0]), 2)
    assert found.difference == pytest.approx(3 / 5)
    assert found.overlap == 0.5
    assert found.same_first
    assert found.tau == pytest.approx(0.0)
    same = agreement(one, one, 10)
    assert (same.difference, same.overlap, same.tau) == (0, 1, 1)
    assert agreement(one, -one, 1).tau == -1
    assert not agreement(one, -one, 1).same_first
    assert np.isnan(agreement(one, np.ones(4), 2).tau)
    assert np.isnan(agreement(one[:1], one[:1], 2).tau)


def test_tau_counts_pairs():
    generator = np.random.default_rng(2)
    for _ in range(5):
        a, b = generator.integers(0, 6, (2, 12)).astype(float)
        assert agreement(a, b, 3).tau == pytest.approx(kendall(a, b))


def test_padding_and_empty_requests_do_not_count():
    found = replay(
        calls([2, 0], [1, 3]),
        Fixed("a", [[1, 2, 9], [7, 7, 7]], [[1, 8, 8], [1, 2, 3]]),
        Fixed("b", [[1, 3, 0], [0, 0, 0]], [[1, 0, 0], [1, 2, 3]]),
    )
    assert [pair[0].tolist() for pair in found.scores] == [
        [1, 2],
        [1],
        [1, 2, 3],
    ]
    metrics = compare(found)
    assert metrics["num_requests"] == 3
    assert metrics["num_calls"] == 2
    assert metrics["score_change"]["max"] == pytest.approx(0.5)
    assert metrics["kendall_tau"]["undefined"] == 1


def test_failures_are_counted_and_leave_the_rest_comparable():
    found = replay(
        [*calls([2], [2]), Recording("rank_candidates", {}, {})],
        Fixed("a", [[1, 2]], [[2, 1]]),
        Fixed("b", [[1, 2]], DataError("no room")),
    )
    assert len(found.scores) == 1
    assert found.failures == {"before": {}, "after": {"no room": 1}}
    assert found.skipped == {"signature `rank_candidates`": 1}
    assert all(len(seconds) == 1 for seconds in found.seconds.values())


def test_nothing_to_compare_is_an_error():
    with pytest.raises(OperationError, match="it is empty"):
        replay([], Fixed("a"), Fixed("b"))
    with pytest.raises(OperationError, match="signature `explain`"):
        replay([Recording("explain", {}, {})], Fixed("a"), Fixed("b"))
    broken = Fixed("b", DataError("it is down"))
    with pytest.raises(OperationError, match="it is down"):
        replay(calls([1]), Fixed("a", [[1]]), broken)


def test_a_served_version_is_its_folder(three_versions, tmp_path):
    config = ModelServerConfig()
    labels = {"stable": 1, "canary": 2}
    add_model(config, MODEL, str(three_versions), labels)
    log = three_versions / "1" / WARMUP_FILE
    # Columns that only another version would read are left out.
    wider = [
        Recording(r.signature, {**r.inputs, "title": np.array(["x"])}, {})
        for r in read_recordings(log)
    ]
    one, two = (open_target(str(three_versions / v)) for v in ("1", "2"))
    with model_server(config) as server, VersionServer(server.address) as at:
        end = time.monotonic() + 30
        while {n for n, s in at.status(MODEL).items() if s.available} != {1, 2}:
            assert time.monotonic() < end, at.status(MODEL)
            time.sleep(0.02)
        stable = served_target(at, MODEL, "stable")
        canary = served_target(at, MODEL, 2)
        same = compare(replay(read_recordings(log), one, stable))
        other = compare(replay(wider, one, canary))
        for name in ("score_change", "top_k"):
            assert compare(replay(wider, one, stable))[name] == same[name]
        assert same["score_change"]["max"] < 1e-5
        assert same["top_k"]["mean"] == 1
        assert other["score_change"]["max"] > 1e-3
        metrics = write_shadow_report(
            tmp_path, replay(read_recordings(log), stable, canary), 3
        )
    assert metrics["targets"]["after"] == f"{MODEL} 2 at {server.address}"
    in_process = compare(replay(read_recordings(log), one, two), 3)
    for name in ("score_change", "top_k", "kendall_tau"):
        assert metrics[name]["mean"] == pytest.approx(
            in_process[name]["mean"], abs=1e-4
        )
    assert json.loads((tmp_path / "shadow.json").read_text()) == metrics


def test_the_page_needs_no_network_and_is_labelled(tmp_path):
    found = replay(
        calls([2], [3]),
        Fixed("<old> & slow", [[1, 2]], [[3, 2, 1]]),
        Fixed("new", [[2, 1]], [[3, 2, 1]]),
    )
    write_shadow_report(tmp_path, found, 1)
    page = (tmp_path / "shadow.html").read_text()
    assert "&lt;old&gt; &amp; slow" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    images = re.findall(r'<img src="data:image/png[^>]*alt="([^"]*)"', page)
    assert len(images) == 2
    assert all(images)
    assert "50.0 % hold the same candidates" in page


@pytest.mark.slow
def test_the_program_compares_two_folders(three_versions, tmp_path):
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.shadow",
            f"--log={three_versions / '1' / WARMUP_FILE}",
            f"--before={three_versions / '1'}",
            f"--after={three_versions / '1'}",
            f"--output={tmp_path / 'out'}",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert finished.returncode == 0, finished.stderr
    assert "top 10 overlap 100.0 %" in finished.stdout
    assert (tmp_path / "out" / "shadow.html").is_file()
