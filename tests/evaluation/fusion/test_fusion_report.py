"""The fusion report on a fake ranker with known weights."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest

from jd_tf.evaluation.fusion.comparison import (
    ADDITIVE,
    DESCRIPTIONS,
    HIDDEN,
    MEASURED,
    compare_orders,
    recommend,
    weights_by_segment,
)
from jd_tf.evaluation.fusion.observation import LEARNED, observe
from jd_tf.evaluation.fusion.report import (
    JSON_FILE,
    advice_lines,
    fusion_report,
    measured_values,
    write_fusion_report,
)
from jd_tf.evaluation.fusion.weight_judge import WeightJudge
from jd_tf.metrics.bootstrap import Bootstrap
from jd_tf.schema import DataError, ScenarioValues
from tests.evaluation.fusion.fused_shop import (
    PAGES,
    SESSION,
    WEIGHTS,
    shop,
    shop_batches,
    shop_schema,
)


@pytest.fixture(scope="module")
def observation():
    return shop()


@pytest.fixture(scope="module")
def bootstrap(observation):
    return Bootstrap(len(observation.users), observation.users, 100)


@pytest.fixture(scope="module")
def report(observation):
    return fusion_report(
        shop(100),
        observation,
        "log_linear",
        num_weights=60,
        num_replicates=60,
    )


def test_weights_by_segment_are_means(observation, bootstrap):
    table = weights_by_segment(observation, bootstrap)
    for place, intent in enumerate(("browsing", "buying")):
        shares = table["intent"][intent]["shares"]
        for name, weight in zip(
            ("click", "order"), WEIGHTS[place], strict=True
        ):
            assert shares[name]["mean"] == pytest.approx(weight)
    pages = observation.predictions.segments["scenario"]
    for page in PAGES:
        inside = pages == page
        entry = table["scenario"][page]
        assert entry["num_requests"] == inside.sum()
        mean = observation.shares[inside, 1].mean()
        low, high = entry["shares"]["order"]["interval"]
        assert entry["shares"]["order"]["mean"] == pytest.approx(mean)
        assert low < mean < high


def test_differences_are_paired_and_those_of_the_judge(observation, bootstrap):
    predictions = observation.predictions
    orders = {
        "expected_value": observation.expected,
        LEARNED: predictions.scores[LEARNED],
        "again": predictions.scores[LEARNED],
    }
    compared = compare_orders(observation, orders, bootstrap)
    judge = WeightJudge(predictions)
    means = {n: np.nanmean(judge.request_ndcg(o)) for n, o in orders.items()}
    found = compared["differences"][LEARNED]
    for name in ("expected_value", "again"):
        entry = found[name]["ndcg@10"]
        assert entry["difference"] == pytest.approx(
            means[LEARNED] - means[name], abs=1e-6
        )
    for entry in found["again"].values():
        assert entry["difference"] == 0
        assert entry["interval"] == (0.0, 0.0)
    gains = predictions.total_gains()
    choice = [
        len(set(row[:count])) > 1
        for row, count in zip(gains, predictions.num_candidates, strict=True)
    ]
    assert compared["num_with_choice"] == sum(choice)
    assert compared["num_requests"] == (gains.sum(axis=1) > 0).sum()
    back = compared["differences"]["expected_value"][LEARNED]["ndcg@10"]
    assert (
        back["difference"] == -found["expected_value"]["ndcg@10"]["difference"]
    )
    # Paired: far closer than the intervals of both suggest.
    low, high = found["expected_value"]["ndcg@10"]["interval"]
    own = compared["rankings"][LEARNED]["ndcg@10"]["interval"]
    assert low < found["expected_value"]["ndcg@10"]["difference"] < high
    assert high - low < own[1] - own[0]


@pytest.mark.parametrize("scenario", ["simple", "learned", "equal"])
def test_the_simple_rule_is_recommended_where_it_wins(
    observation, bootstrap, scenario
):
    gains = observation.predictions.total_gains()
    noise = np.random.default_rng(0).random(gains.shape)
    learned = {
        "simple": noise,
        "learned": gains,
        "equal": observation.expected + 1e-9 * noise,
    }[scenario]
    orders = {
        "expected_value": observation.expected,
        "best_global_weights": observation.expected + 0.02 * noise,
        LEARNED: learned,
    }
    compared = compare_orders(observation, orders, bootstrap)
    advice = recommend(compared)
    for metric, found in advice.items():
        best = scenario == "learned"
        assert found["use"] == (LEARNED if best else "expected_value")
        assert (found["against"] == LEARNED) != best
        apart = compared["differences"][found["use"]][found["against"]]
        assert found["difference"] == apart[metric]["difference"]
    low, high = advice["ndcg@10"]["interval"]
    assert (low > 0) == (scenario != "equal")
    assert high >= low


def test_values_of_scenarios_decide_gains_and_the_plain_rule():
    values = (ScenarioValues("cart", (0.0, 1.0)),)
    plain, own = shop(), shop(schema=shop_schema(scenario_values=values))
    cart = own.predictions.segments["scenario"] == "cart"
    labels = own.predictions.labels
    gains = own.predictions.total_gains()
    np.testing.assert_allclose(gains[cart], labels[cart, :, 1])
    np.testing.assert_allclose(
        gains[~cart], plain.predictions.total_gains()[~cart]
    )
    np.testing.assert_allclose(
        own.expected[cart], own.predictions.probabilities[cart, :, 1], rtol=1e-6
    )


def test_the_page_is_whole_and_holds_the_numbers(report, tmp_path):
    page = write_fusion_report(tmp_path, report, "Fusion weights: a shop")
    text = page.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "")
    images = re.findall(r"<img [^>]*>", text)
    assert len(images) == 1
    for image in images:
        assert re.search(r'src="data:image/png;base64,[^"]{200}', image)
    words = html.unescape(text)
    for line in advice_lines(report):
        assert line in words
    share = report["weights"]["intent"]["buying"]["shares"]["order"]["mean"]
    assert f"intent buying: click {1 - share:.1%}, order {share:.1%}" in words
    stored = json.loads((tmp_path / JSON_FILE).read_text(encoding="utf-8"))
    assert stored["recommendation"] == report["recommendation"]
    rankings = set(stored["comparison"]["rankings"])
    hidden = f"{HIDDEN}best_weights_by_intent"
    # Values are those of the objectives: there is nothing to measure.
    assert rankings == {*DESCRIPTIONS, hidden, hidden + ADDITIVE} - {MEASURED}
    hours = list(stored["weights"]["time_of_day"])
    assert [int(hour.split()[0]) for hour in hours] == [0, 6, 12, 18]


def test_bounds_by_hidden_facts_are_shown_and_never_recommended(
    observation, bootstrap
):
    gains = observation.predictions.total_gains()
    orders = {
        "expected_value": observation.expected,
        f"{HIDDEN}truth": gains,
        LEARNED: observation.expected,
    }
    advice = recommend(compare_orders(observation, orders, bootstrap))
    assert {one["use"] for one in advice.values()} == {"expected_value"}


def test_rewards_tell_what_an_outcome_is_worth(observation):
    """Intents with other values: the mean, by how often each has it."""
    predictions = observation.predictions
    assert np.allclose(measured_values(predictions), predictions.values)
    buying = predictions.segments["intent"] == "buying"
    worth = np.where(buying[:, None], [0.0, 9.0], [1.0, 3.0])
    gains = np.einsum("rnt,rt->rn", predictions.labels, worth)
    rewarded = dataclasses.replace(predictions, gains=gains)
    click, order = measured_values(rewarded)
    assert 0.2 < click < 0.8
    assert 4.0 < order < 8.0
    judged = dataclasses.replace(observation, predictions=rewarded)
    found = fusion_report(
        judged,
        judged,
        "additive",
        request_weights="gain",
        num_weights=60,
        num_replicates=10,
    )
    value = {
        name: entry["captured_value@1"]["value"]
        for name, entry in found["comparison"]["rankings"].items()
    }
    assert MEASURED in value
    best = value["best_global_weights" + ADDITIVE]
    assert value[f"{HIDDEN}best_weights_by_intent{ADDITIVE}"] > best


def test_a_log_without_scenarios_and_hidden_facts_has_a_page_too(tmp_path):
    plain = shop_schema(scenario_column="", oracle_names=())
    report = fusion_report(
        shop(100, plain),
        shop(0, plain),
        "additive",
        num_weights=30,
        num_replicates=10,
    )
    assert set(report["weights"]) == {
        *("done_so_far", "events_so_far", "proxy_intent", "time_of_day")
    }
    page = write_fusion_report(tmp_path, report, "Plain")
    assert "time of day" in page.read_text(encoding="utf-8")


def test_requests_without_any_outcome_are_refused_and_tiny_ones_are_not():
    tiny, answers = shop_batches(3, count=1, size=6)
    seen = iter(answers * 2)
    schema = shop_schema()
    one = observe(tiny, schema, lambda _: next(seen), SESSION)
    report = fusion_report(
        one, one, "additive", num_weights=20, num_replicates=5
    )
    assert report["recommendation"]
    tiny[0]["labels"] = np.zeros_like(tiny[0]["labels"])
    none = observe(tiny, schema, lambda _: next(seen), SESSION)
    with pytest.raises(DataError, match="no request among those searched"):
        fusion_report(none, one, "additive", num_weights=20)


def test_a_ranker_without_a_fusion_is_refused():
    with pytest.raises(DataError, match="fuses nothing"):
        shop(fusion_weights=None)
