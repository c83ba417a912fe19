"""The fusion report on a ranker that is a double with known weights."""

import dataclasses
import json
import re

import numpy as np
import pytest
from scipy.stats import spearmanr

from jd_tf.evaluation.bootstrap import Bootstrap
from jd_tf.evaluation.collect import collect_predictions
from jd_tf.evaluation.fusion.agreement import agree_with_grid, rank_correlation
from jd_tf.evaluation.fusion.fusion_report import (
    JSON_FILE,
    fusion_report,
    write_fusion_report,
)
from jd_tf.evaluation.fusion.grid import search_weights
from jd_tf.evaluation.fusion.grid_judge import WeightJudge
from jd_tf.evaluation.fusion.observation import LEARNED, observe
from jd_tf.evaluation.fusion.rivals import (
    BY_SIMPLICITY,
    compare_rivals,
    recommend,
)
from jd_tf.evaluation.fusion.session_state import (
    name_hidden_facts,
    session_counts,
)
from jd_tf.evaluation.fusion.stories import tell_stories
from jd_tf.evaluation.fusion.weight_tables import (
    contrasts,
    weights_by_segment,
)
from jd_tf.schema import DataError, IdColumn, ScenarioValues
from tests.evaluation.toy_shop import toy_batch, toy_schema

SESSION = 3000.0
PAGES = ("feed", "cart")
WEIGHTS = np.array([[0.8, 0.2], [0.3, 0.7]])


def shop_schema(**changes):
    scenario = IdColumn("scenario", dtype="string", vocabulary=PAGES)
    plain = toy_schema()
    fields = {
        "context_columns": (*plain.context_columns, scenario),
        "scenario_column": "scenario",
        "oracle_names": ("intent",),
    }
    return dataclasses.replace(plain, **{**fields, **changes})


def shop_batches(first, count=3, size=200):
    """Batches with intent, scenario and probabilities that are true."""
    batches, answers = [], []
    for seed in range(first, first + count):
        batch = toy_batch(seed, size)
        rng = np.random.default_rng(seed)
        real = batch["item_id"] > 0
        intent = rng.integers(0, 2, size)
        chances = rng.beta([2, 1], [5, 9], (size, real.shape[1], 2))
        labels = (rng.random(chances.shape) < chances) & real[..., None]
        pages = np.array([page.encode() for page in PAGES], object)
        batches.append(
            {
                **batch,
                "oracle_intent": intent,
                "scenario": pages[(rng.random(size) < 0.3).astype(int)],
                "labels": labels.astype(np.float32),
                "user_id": np.array(
                    [b"u%d-%d" % (seed, i // 4) for i in range(size)], object
                ),
                "request_time": np.arange(size) * 700 + 10**6 * seed,
            }
        )
        weights = WEIGHTS[intent]
        chances = np.where(real[..., None], chances, 0.5).astype(np.float32)
        answers.append(
            {
                "probabilities": chances,
                "score": np.einsum("bnt,bt->bn", np.log(chances), weights),
                "fusion_weights": weights[:, None],
            }
        )
    return batches, answers


def shop(first=0, schema=None, **changes):
    batches, answers = shop_batches(first)
    for answer in answers:
        answer.update(changes)
    answered = iter(answers)
    return observe(
        batches, schema or shop_schema(), lambda _: next(answered), SESSION
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
        session_seconds=SESSION,
    )


def test_session_counts_are_those_of_the_recent_events():
    batch, schema = toy_batch(7), shop_schema()
    counts = session_counts(batch, schema, SESSION)
    for row in range(100):
        events, dwell = [], 0.0
        for behavior in ("click", "order"):
            recent = [
                event
                for event in range(batch[f"{behavior}_length"][row])
                if batch[f"{behavior}_age_seconds"][row, event] <= SESSION
            ]
            events.append(len(recent))
            if behavior == "click":
                dwell = batch["click_dwell_seconds"][row, recent].sum()
        assert counts["events"][row].tolist() == events
        assert counts["dwell"][row] == pytest.approx(dwell, rel=1e-5)


def test_segments_say_what_was_done_and_what_is_hidden(observation):
    segments = observation.predictions.segments
    reached = np.where(
        observation.events[:, 1] > 0,
        "order",
        np.where(observation.events[:, 0] > 0, "click", "nothing"),
    )
    assert segments["done_so_far"].tolist() == reached.tolist()
    assert set(segments["intent"]) == {"browsing", "buying"}
    assert set(segments["scenario"]) == set(PAGES)
    assert set(segments["proxy_intent"]) == {"engaged", "looking_around"}
    assert (segments["proxy_intent"][reached == "order"] == "engaged").all()


def test_hidden_facts_part_requests_by_their_names():
    schema = shop_schema()
    seen = collect_predictions(
        shop_batches(0, 1)[0],
        schema,
        {"none": lambda batch: {"score": np.zeros(batch["item_id"].shape)}},
        columns=["oracle_intent"],
    )
    raw = seen.columns["oracle_intent"]
    parts = name_hidden_facts(seen).columns_by_request()
    assert "oracle_intent" not in parts
    np.testing.assert_array_equal(
        parts["intent"], np.where(raw == 1, "buying", "browsing")
    )


def test_weights_by_segment_are_means_and_contrasts_their_differences(
    observation, bootstrap
):
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
    apart = contrasts(observation, bootstrap)
    assert apart["intent"]["segments"] == ["browsing", "buying"]
    proxies = apart["proxy_intent"]["segments"]
    assert proxies == ["looking_around", "engaged"]
    order = apart["intent"]["objectives"]["order"]
    assert order["difference"] == pytest.approx(0.5)
    # What no intent decides is not beyond chance.
    page = apart["scenario"]["objectives"]["order"]
    assert abs(page["standard_errors"]) < 4


def test_differences_are_paired_and_those_of_the_judge(observation, bootstrap):
    predictions = observation.predictions
    orders = {
        "expected_value": observation.expected,
        LEARNED: predictions.scores[LEARNED],
        "again": predictions.scores[LEARNED],
    }
    compared = compare_rivals(observation, orders, bootstrap)
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
    advice = recommend(compare_rivals(observation, orders, bootstrap))
    for metric, found in advice.items():
        assert metric in found["sentence"]
        wanted = LEARNED if scenario == "learned" else "expected_value"
        assert found["use"] == wanted
    sentence = advice["ndcg@10"]["sentence"]
    told = {
        "simple": "beats the learned fusion",
        "learned": "use the learned fusion; it leads",
        "equal": "nothing more elaborate is better",
    }[scenario]
    assert told in sentence


def test_regret_is_none_where_the_searched_weights_are_the_learned_ones(
    bootstrap,
):
    searched = shop(100)
    judge = WeightJudge(searched.predictions, segments=["intent"])
    grid = search_weights(judge, 60)
    best = grid.best_weights()
    observation = shop()
    features = WeightJudge(observation.predictions).features
    scores = {LEARNED: features @ best.astype(np.float32)}
    same = dataclasses.replace(
        observation,
        weights=np.tile(best, (len(observation.users), 1)),
        predictions=dataclasses.replace(observation.predictions, scores=scores),
    )
    found = agree_with_grid(
        same, grid, WeightJudge(same.predictions), bootstrap
    )
    assert [e["segment"] for e in found] == ["all", "browsing", "buying"]
    assert found[0]["regret"] == 0
    assert found[0]["rank_correlation"] == pytest.approx(1.0)
    assert found[0]["num_requests"] == sum(e["num_requests"] for e in found[1:])
    for entry in found:
        assert entry["regret"] == pytest.approx(
            entry["ndcg_grid"] - entry["ndcg_learned"], abs=1e-9
        )


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(3)
    for _ in range(5):
        one, other = rng.integers(0, 5, (2, 7)).astype(float)
        wanted = spearmanr(one, other).statistic
        assert rank_correlation(one, other) == pytest.approx(wanted)
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))


def test_stories_are_sessions_in_order(observation):
    events = observation.events.copy()
    events[::2, 1], events[:300, 1] = 1, 0
    observation = dataclasses.replace(observation, events=events)
    stories = tell_stories(observation, 20, SESSION, seed=1)
    assert len(stories) == 20
    assert sum(story["went_far"] for story in stories) == 10
    for story in stories:
        times = [step["seconds"] for step in story["steps"]]
        assert times == [700 * i for i in range(len(times))]
        assert 2 <= len(times) <= 4
        for step in story["steps"]:
            assert sum(step["shares"].values()) == pytest.approx(1.0)
            buying = step["facts"]["intent"] == "buying"
            assert step["shares"]["order"] == pytest.approx(0.2 + 0.5 * buying)
    short = tell_stories(observation, 20, 600.0)
    assert short == []


def test_without_a_clock_numbers_in_ids_tell_the_order(observation):
    ids = [f"f:{i // 12}:{i % 12}" for i in range(len(observation.users))]
    order = np.random.default_rng(0).permutation(len(ids))
    clockless = dataclasses.replace(
        observation,
        request_ids=np.array(ids)[order],
        users=(order // 12),
        times=np.zeros(len(ids), np.int64),
        events=np.stack([order % 12, order % 2], axis=1).astype(float),
    )
    for story in tell_stories(clockless, 5):
        clicks = [step["events"]["click"] for step in story["steps"]]
        assert clicks == list(range(12))
        assert story["steps"][3]["new"].startswith("1 click")


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


def test_the_page_is_whole_and_says_what_the_numbers_say(report, tmp_path):
    page = write_fusion_report(tmp_path, report, "Fusion weights: a shop")
    text = page.read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "")
    images = re.findall(r"<img [^>]*>", text)
    assert len(images) >= 9
    for image in images:
        assert re.search(r'src="data:image/png;base64,[^"]{200}', image)
        assert re.search(r'alt="[^"]{30}', image)
    for advice in report["recommendation"].values():
        # Signs are escaped.
        words = advice["sentence"].split("+")[0].split("-")[0]
        assert words.split("@")[0] in text
    assert text.count("<summary>Session ") == len(report["stories"]) == 20
    stored = json.loads((tmp_path / JSON_FILE).read_text(encoding="utf-8"))
    assert stored["recommendation"] == report["recommendation"]
    assert set(BY_SIMPLICITY) == set(stored["comparison"]["rankings"])
    hours = list(stored["weights"]["time_of_day"])
    assert [int(hour.split()[0]) for hour in hours] == [0, 6, 12, 18]
    assert {e["segmentation"] for e in stored["agreement"]} >= {"all", "intent"}
    regret = {
        e["segment"]: e["regret"]
        for e in stored["agreement"]
        if e["segmentation"] == "intent"
    }
    assert set(regret) == {"browsing", "buying"}


def test_a_log_without_scenarios_and_hidden_facts_has_a_page_too(tmp_path):
    plain = shop_schema(scenario_column="", oracle_names=())
    report = fusion_report(
        shop(100, plain),
        shop(0, plain),
        "additive",
        num_weights=30,
        num_replicates=10,
        session_seconds=SESSION,
    )
    assert set(report["weights"]) == {
        *("done_so_far", "events_so_far", "proxy_intent", "time_of_day")
    }
    page = write_fusion_report(tmp_path, report, "Plain")
    assert "<summary>Session 20:" in page.read_text(encoding="utf-8")


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
