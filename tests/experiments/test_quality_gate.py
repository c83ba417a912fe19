"""The quality gate: what fails it, and the file of expected values."""

import math

import pytest

from experiments.gate_runs import EXPECTED_FILE, below
from jd_tf.data.files import read_json

EXPECTED = {"Beauty": {"HR@10": [0.55, 0.01], "NDCG@10": [0.38, 0.01]}}


@pytest.mark.parametrize(
    ("hit_rate", "failures"),
    [
        (0.55, []),
        (0.60, []),
        (0.5401, []),
        (0.5399, ["Beauty HR@10"]),
        (math.nan, ["Beauty HR@10"]),
    ],
)
def test_a_fall_beyond_the_tolerance_fails(hit_rate, failures):
    found = {"Beauty": {"HR@10": hit_rate, "NDCG@10": 0.39}}
    assert below(EXPECTED, found) == failures


def test_expected_values_have_tolerances():
    expected = read_json(EXPECTED_FILE)
    assert expected.keys() == {"Beauty", "jd_micro"}
    for metrics in expected.values():
        for value, tolerance in metrics.values():
            assert 0 < tolerance < 0.05 < value < 1
