"""Before and after calibration: what is compared, and that it is right."""

import numpy as np
import pytest

from jd_tf.evaluation.metrics_file import write_metrics
from jd_tf.evaluation.post_training import (
    AFTER,
    BEFORE,
    compare_calibration,
    consistency,
)
from jd_tf.evaluation.report.metric_pictures import (
    calibration_pictures,
    segment_picture,
)
from jd_tf.metrics import calibration_metrics as calibration
from jd_tf.schema import Objective
from jd_tf.training.calibration_fit import fit_curves, logits_of
from tests.training.apply_curves import apply_curves

OBJECTIVES = (Objective("click"), Objective("order", given="click"))


def _shop(seed, num_requests=3000, width=8):
    """Predictions that are too high, or too low, by objective."""
    rng = np.random.default_rng(seed)
    shape = (num_requests, width)
    click = rng.beta(1, 5, shape)
    order = click * rng.beta(1, 5, shape)
    drawn = rng.random(shape)
    labels = np.stack([drawn < click, drawn < order], -1).astype("float32")
    promised = np.stack([click**0.7, np.minimum(order**0.6, 0.99)], -1)
    count = rng.integers(1, width + 1, num_requests)
    promised[np.arange(width) >= count[:, None]] = np.nan
    weights = rng.choice([0.0, 1.0], (*shape, 2), p=[0.1, 0.9])
    scenario = rng.choice(["feed", "cart"], num_requests)
    return promised.astype("float32"), labels, weights, count, scenario


@pytest.fixture(scope="module")
def compared():
    promised, labels, weights, count, _ = _shop(0)
    real = np.arange(promised.shape[1]) < count[:, None]
    logits = logits_of(promised[real])
    curves = fit_curves(logits, labels[real], weights[real])
    others, outcomes, weights_of, number, scenario = _shop(1)
    mended = apply_curves(logits_of(others), curves, (-1, 0))
    probabilities = {BEFORE: others, AFTER: 1 / (1 + np.exp(-mended))}
    comparison = compare_calibration(
        probabilities,
        outcomes,
        weights_of,
        number,
        OBJECTIVES,
        {"scenario": scenario},
    )
    return comparison, probabilities, outcomes, weights_of, number, scenario


def test_numbers_are_those_of_the_cells(compared):
    comparison, probabilities, labels, weights, count, scenario = compared
    real = np.arange(8) < count[:, None]
    for t, name in enumerate(("click", "order")):
        inside = real & (weights[..., t] > 0)
        for segment in ("all", "feed", "cart"):
            entry = comparison[name]["all"]
            here = inside
            if segment != "all":
                entry = comparison[name]["segments"]["scenario"][segment]
                here = inside & (scenario == segment)[:, None]
            for when, chances in probabilities.items():
                found = entry[when]
                mine = chances[..., t][here], labels[..., t][here]
                assert found["num_impressions"] == here.sum()
                assert found["num_positives"] == mine[1].sum()
                for metric in ("calibration_error", "log_loss"):
                    expected = getattr(calibration, metric)(*mine)
                    assert found[metric] == pytest.approx(expected)
                assert ("reliability" in found) == (segment == "all")


def test_calibration_mends_every_objective_in_every_scenario(compared):
    comparison = compared[0]
    for entry in comparison.values():
        for found in (entry["all"], *entry["segments"]["scenario"].values()):
            before, after = found[BEFORE], found[AFTER]
            assert after["calibration_error"] < before["calibration_error"] / 3
            assert after["log_loss"] < before["log_loss"]
            # Within three standard errors of so many positives, twice over.
            noise = 3 * np.sqrt(2 / after["num_positives"])
            assert after["calibration_ratio"] == pytest.approx(1, abs=noise)


def test_orders_above_clicks_are_counted(compared):
    comparison, probabilities, _, _, count, _ = compared
    assert "consistency" not in comparison["click"]
    found = comparison["order"]["consistency"]
    real = np.arange(8) < count[:, None]
    one, other = np.moveaxis(probabilities[BEFORE][real], -1, 0)
    above = sum(o > c for c, o in zip(one, other, strict=True))
    assert found[BEFORE]["share_above"] == pytest.approx(above / len(one))
    assert above
    assert found[AFTER]["share_above"] == 0
    assert found[AFTER]["mean_ratio"] == pytest.approx(1 / 6, rel=0.1)
    nobody = consistency(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(1, int))
    assert np.isnan(list(nobody.values())).all()
    equal = consistency(np.ones((1, 2)), np.ones((1, 2)), np.array([2]))
    assert (equal["share_equal"], equal["share_above"]) == (1, 0)


def test_can_be_written_and_drawn(compared, tmp_path):
    write_metrics(tmp_path / "calibration.json", compared[0])
    systems = {
        "ours": {
            name: {**entry["all"][AFTER], "calibration": entry}
            for name, entry in compared[0].items()
        }
    }
    overall, curves, segments = calibration_pictures(systems, "ours")
    assert "ours, for click, order" in overall.alt
    assert "before, after, for click, order" in curves.alt
    for objective, entry in compared[0].items():
        for segment, found in entry["segments"]["scenario"].items():
            before, after = (
                found[name]["calibration_error"] for name in (BEFORE, AFTER)
            )
            assert (
                f"{objective}, scenario: {segment} before {before:.4f}, "
                f"after {after:.4f}"
            ) in segments.alt
    whole = {"click": {**compared[0]["click"], "segments": {}}}
    assert segment_picture(whole) is None
