"""Expert use and entropy of gates, against their definitions."""

import math

import numpy as np
import pytest

from jd_tf.evaluation.similarity.gate_use import GateUse
from jd_tf.schema import DataError


def _gates(weights, num_items=None):
    weights = np.asarray(weights, float)
    ids = np.arange(1, len(weights) + 1)
    if weights.ndim == 2:
        weights = weights[:, None, :]
    size = weights.shape[2]
    return GateUse(ids, weights, ("one",), tuple(str(x) for x in range(size)))


def test_entropy_is_one_for_an_even_gate_and_zero_for_a_sure_one():
    found = _gates([[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert found.entropy()[:, 0] == pytest.approx([1.0, 0.0, 0.5])
    assert _gates([[1.0], [1.0]]).entropy().tolist() == [[0.0], [0.0]]


def test_use_by_category_equals_the_loop():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), 30)
    categories = np.array(["x", "y", "y"])[rng.integers(0, 3, 30)]
    names, counts, means = _gates(weights).use_by(categories)
    assert names.tolist() == ["y", "x"]
    for name, count, mean in zip(names, counts, means, strict=True):
        mine = [
            w for w, c in zip(weights, categories, strict=True) if c == name
        ]
        assert count == len(mine)
        np.testing.assert_allclose(mean[0], np.mean(mine, axis=0))


def test_what_a_category_tells_is_mutual_information():
    categories = np.array(["x"] * 10 + ["y"] * 30)
    sure = np.where((categories == "x")[:, None], [1.0, 0, 0], [0, 1.0, 0])
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(3)
    assert _gates(sure).told_by(categories) == pytest.approx([expected])
    alike = np.tile([0.2, 0.3, 0.5], (40, 1))
    assert _gates(alike).told_by(categories) == pytest.approx([0.0])


def test_files_are_read_and_checked(tmp_path):
    path = tmp_path / "gates.npz"
    with pytest.raises(DataError, match="no such file"):
        GateUse.load(path)
    path.write_bytes(b"PK no")
    with pytest.raises(DataError, match=r"not an \.npz"):
        GateUse.load(path)
    ids, even = np.arange(1, 4), np.full((3, 2), 0.5)
    for arrays, message in (
        ({"gates": even}, "no array `item_ids`"),
        ({"item_ids": ids, "gates": even[:2]}, "`gates` must be"),
        ({"item_ids": ids, "gates": 2 * even}, "add up to 1"),
        ({"item_ids": ids, "gates": even, "experts": ids}, "must name 2"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=message):
            GateUse.load(path)
    np.savez(path, item_ids=ids, gates=even)
    found = GateUse.load(path)
    assert found.gates.shape == (3, 1, 2)
    assert found.consumers == ("1",)
    assert found.experts == ("1", "2")
    assert found.take(np.array([2])).item_ids.tolist() == [3]
