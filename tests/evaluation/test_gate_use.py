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
    gates = _gates([[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]])
    found = gates.summary(np.array(["x", "x", "y"]))["one"]
    assert found["entropy"] == pytest.approx(np.mean([1.0, 0.0, 0.5]))
    expected = {"0": 1.75 / 3, "1": 0.25, "2": 0.25 / 3, "3": 0.25 / 3}
    assert found["use"] == pytest.approx(expected)
    single = _gates([[1.0], [1.0]]).summary(np.array(["x", "y"]))["one"]
    assert single["entropy"] == 0.0


def test_category_information_is_mutual_information():
    categories = np.array(["x"] * 10 + ["y"] * 30)
    sure = np.where((categories == "x")[:, None], [1.0, 0, 0], [0, 1.0, 0])
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(3)
    for gates, told in (
        (sure, expected),
        (np.tile([0.2, 0.3, 0.5], (40, 1)), 0),
    ):
        found = _gates(gates).summary(categories)["one"]
        assert found["category_information"] == pytest.approx(told, abs=1e-9)


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
