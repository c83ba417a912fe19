"""Invariants of the simulated shop, checked on its requests."""

import itertools

import numpy as np
import pytest

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset_making import make_dataset
from jd_tf.data.simulator import BehaviorParameters, Simulator, SimulatorConfig
from jd_tf.data.simulator.behavior import CLICK, OBJECTIVES, ORDER
from jd_tf.data.simulator.block_requests import ITEM_DENSE, PAST_DENSE
from jd_tf.data.simulator.people.block_simulation import SESSION_DENSE
from jd_tf.data.validation import RequestValidator
from jd_tf.schema import DataError

CONFIG = SimulatorConfig(
    num_users=150,
    num_items=400,
    num_requests=3_000,
    num_days=14,
    num_warm_up_days=14,
    num_categories=10,
    num_brands=20,
    num_shops=30,
    cold_start_share=0.3,
    block_size=60,
    seed=5,
)


@pytest.fixture(scope="module")
def simulator():
    return Simulator(CONFIG)


@pytest.fixture(scope="module")
def requests(simulator):
    return {
        split: list(simulator.requests(split)) for split in CONFIG.split_times
    }


@pytest.fixture(scope="module")
def everything(requests):
    return [request for split in requests.values() for request in split]


def flat(requests, name):
    return np.concatenate([request[name] for request in requests])


def test_requests_keep_the_schema(simulator, everything):
    validator = RequestValidator(simulator.schema)
    for request in everything:
        validator.check(request)


def test_size_is_about_what_was_asked_for(everything):
    assert 0.7 < len(everything) / CONFIG.num_requests < 1.3


def test_splits_follow_each_other_in_time(requests):
    for split, (first, end) in CONFIG.split_times.items():
        times = np.array([r["request_time"] for r in requests[split]])
        assert len(times) > 50
        assert (np.diff(times) >= 0).all()
        assert times[0] >= first
        assert times[-1] < end


def test_labels_follow_the_oracle(everything):
    labels = flat(everything, "labels")
    chance = flat(everything, "oracle_probabilities").astype(np.float64)
    position = flat(everything, "position")
    for group in [np.full(len(labels), True)] + [
        position == place for place in range(CONFIG.num_candidates)
    ]:
        spread = np.sqrt((chance * (1 - chance))[group].sum(axis=0))
        surprise = (labels - chance)[group].sum(axis=0) / spread
        # 66 comparisons; with rare labels the tails are not quite normal.
        assert np.abs(surprise).max() < 4.5


def test_labels_follow_the_oracle_at_every_height(everything):
    labels = flat(everything, "labels")
    chance = flat(everything, "oracle_probabilities").astype(np.float64)
    for objective in range(len(OBJECTIVES)):
        order = np.argsort(chance[:, objective])
        for part in np.array_split(order, 5):
            p, y = chance[part, objective], labels[part, objective]
            assert abs((y - p).sum()) < 4.5 * np.sqrt((p * (1 - p)).sum()) + 2


def test_position_is_in_probabilities_and_not_in_relevance(everything):
    ratio = flat(everything, "oracle_probabilities")[:, CLICK]
    ratio = ratio / flat(everything, "oracle_relevance")[:, CLICK]
    position = flat(everything, "position")
    by_place = [
        ratio[position == place] for place in range(CONFIG.num_candidates)
    ]
    for values in by_place:
        np.testing.assert_allclose(values, values[0], rtol=1e-5)
    means = np.array([values[0] for values in by_place])
    assert means[0] == pytest.approx(1.0)
    assert (np.diff(means) < 0).all()


def test_everything_after_a_click_needs_a_click(everything):
    labels = flat(everything, "labels")
    assert labels[:, ORDER].sum() > 10
    for objective in range(1, len(OBJECTIVES)):
        assert (labels[:, objective] <= labels[:, CLICK]).all()


def test_no_item_twice_and_none_before_it_arrives(simulator, everything):
    arrival = simulator.catalogue.arrival_time
    late_shown = 0
    for request in everything:
        items = request["item_id"]
        assert len(np.unique(items)) == len(items)
        assert (arrival[items - 1] <= request["request_time"] + 1).all()
        late_shown += simulator.catalogue.late[items - 1].sum()
        for name in ("click", "cart", "order"):
            first = arrival[request[f"{name}_item_id"] - 1]
            # Times are whole seconds.
            assert (first <= request[f"{name}_event_time"] + 1).all()
    assert late_shown > 100


def test_ids_of_history_and_candidates_agree(simulator, everything):
    catalogue = simulator.catalogue
    truth = {
        "category_id": catalogue.category + 1,
        "brand_id": catalogue.brand + 1,
        "shop_id": catalogue.shop + 1,
    }
    for request in everything[::20]:
        for prefix in ("", "click_", "cart_", "order_"):
            items = request[f"{prefix}item_id"] - 1
            for column, ids in truth.items():
                np.testing.assert_array_equal(
                    request[prefix + column], ids[items]
                )


def by_user(everything):
    users = {}
    for request in sorted(everything, key=lambda r: r["request_time"]):
        users.setdefault(request["user_id"], []).append(request)
    return users.values()


def test_histories_grow_by_what_was_done_before_and_nothing_else(everything):
    """Each request's clicks stand in the next history, not in its own.

    Searches add clicks that no request shows, so the check is that the
    labelled ones are there, newer than the request, and were not before.
    """
    found = 0
    for requests in by_user(everything):
        for now, later in itertools.pairwise(requests):
            passed = later["request_time"] - now["request_time"]
            assert passed > 0
            for name, objective in (("click", 0), ("cart", 3), ("order", 5)):
                done = now["item_id"][now["labels"][:, objective] > 0]
                age = later["request_time"] - later[f"{name}_event_time"]
                assert (np.diff(age) >= 0).all()
                assert (age > 0).all()
                fresh = later[f"{name}_item_id"][age <= passed]
                if len(fresh) < len(age):
                    assert np.isin(done, fresh).all()
                    found += len(done)
                # What is older than the request was known at the request.
                known = now[f"{name}_item_id"]
                num_new = (age <= passed).sum()
                np.testing.assert_array_equal(
                    later[f"{name}_item_id"][num_new:][: len(known)],
                    known[: max(len(age) - num_new, 0)],
                )
    assert found > 500


def test_session_features_count_the_session_so_far(everything):
    column = SESSION_DENSE.index
    sessions = {}
    for request in everything:
        sessions.setdefault(session_of(request), []).append(request)
    for steps in sessions.values():
        steps.sort(key=lambda r: r["request_time"])
        done = np.zeros(len(OBJECTIVES))
        for request in steps:
            counts = np.expm1(request["session_dense"])
            # Searches may have added to it, the request itself never has.
            assert (counts[1:7] >= done - 1e-3).all()
            if request["request_id"].endswith("-0"):
                np.testing.assert_allclose(counts, 0.0)
            step = int(request["request_id"].rsplit("-", 1)[1])
            assert counts[column("requests")] == pytest.approx(step, rel=1e-3)
            done += request["labels"].sum(axis=0)


def test_counters_hold_only_what_was_over(simulator, everything):
    """Counted again, from the exposures, for some of the requests."""
    column = ITEM_DENSE.index("log_exposures")
    logs = simulator._logs
    items = np.concatenate([log.exposures["item"] for log in logs])
    times = np.concatenate([log.exposures["time"] for log in logs])
    hours = 3600.0 * CONFIG.counter_hours
    for request in everything[::97]:
        since = request["request_time"] - CONFIG.warm_up_time
        update = CONFIG.warm_up_time + since // hours * hours
        known = np.bincount(items[times < update], minlength=CONFIG.num_items)
        np.testing.assert_allclose(
            np.expm1(request["item_dense"][:, column]),
            known[request["item_id"] - 1],
            rtol=1e-4,
            atol=1e-3,
        )


def test_past_items_have_the_price_they_have_as_candidates(everything):
    prices = {}
    for request in everything:
        known = request["item_dense"][:, : len(PAST_DENSE)]
        prices.update(zip(request["item_id"], known, strict=True))
    compared = 0
    for request in everything[::29]:
        for name in ("click", "cart", "order"):
            past = zip(
                request[f"{name}_item_id"],
                request[f"{name}_item_dense"],
                strict=True,
            )
            for item, numbers in past:
                if item in prices:
                    np.testing.assert_array_equal(numbers, prices[item])
                    compared += 1
    assert compared > 50


def test_accidental_clicks_are_short_and_without_actions(simulator):
    """Dwell tells meant clicks from accidents, so it carries interest."""
    log = simulator.simulate_block(0)
    dwell, counts = (
        np.concatenate(
            [
                log.clicks.tables[name][user, :length]
                for user, length in enumerate(log.clicks.length)
            ]
        )
        for name in ("dwell_seconds", "action_counts")
    )
    assert (dwell > 0).all()
    short = dwell < 4
    assert 0.02 < short.mean() < 0.3
    assert counts[short].sum(axis=1).mean() < counts[~short].sum(axis=1).mean()


def session_of(request):
    return request["request_id"].rsplit("-", 1)[0]


def test_intent_shows_in_the_session(requests):
    dense = np.stack([r["session_dense"] for r in requests["train"]])
    buying = np.array([r["oracle_intent"] == 1 for r in requests["train"]])
    assert 0.1 < buying.mean() < 0.6
    # Per click, as browsing sessions see and click more. Orders are no sign:
    # they end a buying session.
    counts = np.expm1(dense)
    clicks = counts[:, SESSION_DENSE.index("clicks")]
    for name in ("comment_views", "carts"):
        column = counts[:, SESSION_DENSE.index(name)]
        when_buying = column[buying].sum() / clicks[buying].sum()
        when_browsing = column[~buying].sum() / clicks[~buying].sum()
        assert when_buying > when_browsing


def test_a_session_has_one_intent_and_buyers_buy_and_leave(requests):
    intents, last, chances = {}, {}, ([], [])
    for request in requests["train"]:
        intent = int(request["oracle_intent"])
        assert intents.setdefault(session_of(request), intent) == intent
        last[session_of(request)] = request["request_id"]
        chances[intent].append(request["oracle_relevance"][:, ORDER].mean())
    assert np.mean(chances[1]) > 2 * np.mean(chances[0])
    buying = np.array([r["oracle_intent"] == 1 for r in requests["train"]])
    orders = np.array([r["labels"][:, ORDER].sum() for r in requests["train"]])
    assert orders[buying].mean() > 1.5 * orders[~buying].mean()
    is_last = np.array(
        [last[session_of(r)] == r["request_id"] for r in requests["train"]]
    )
    bought = buying & (orders > 0)
    assert is_last[bought].mean() > is_last[buying & (orders == 0)].mean() + 0.2


def test_same_seed_same_shop_other_seed_another(requests):
    again = list(Simulator(CONFIG).requests("test"))
    assert len(again) == len(requests["test"])
    for one, two in zip(again, requests["test"], strict=True):
        assert one.keys() == two.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
    other = SimulatorConfig(**{**vars(CONFIG), "seed": 6})
    first = next(Simulator(other).requests("test"))
    assert first["request_id"] != again[0]["request_id"] or not (
        np.array_equal(first["item_id"], again[0]["item_id"])
    )


def test_blocks_do_not_depend_on_each_other(simulator):
    alone = simulator.simulate_block(2)
    kept = simulator._logs[2]
    for name, part in kept.requests.items():
        np.testing.assert_array_equal(alone.requests[name], part)
    assert alone.first_user == 120
    assert len(alone.level) == 30


@pytest.mark.parametrize(
    "processes", [1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_what_is_written_is_what_is_yielded(
    simulator, requests, tmp_path, processes
):
    summary = make_dataset(
        simulator, tmp_path / "shop", num_processes=processes
    )
    counts = {s: found["requests"] for s, found in summary["splits"].items()}
    assert counts == {s: len(r) for s, r in requests.items()}
    for split, expected in requests.items():
        by_id = {r["request_id"].encode(): r for r in expected}
        batches = numpy_batches(
            tmp_path / "shop", split, 64, keys=True, reward=True, oracle=True
        )
        for batch in batches:
            for row, key in enumerate(batch["request_id"].tolist()):
                request = by_id.pop(key)
                count = batch["num_candidates"][row]
                for name in ("item_id", "labels", "reward", "item_dense"):
                    np.testing.assert_array_equal(
                        batch[name][row, :count], request[name]
                    )
                assert batch["oracle_intent"][row] == request["oracle_intent"]
                clicks = batch["click_length"][row]
                np.testing.assert_array_equal(
                    batch["click_dwell_seconds"][row, :clicks],
                    request["click_dwell_seconds"],
                )
        assert not by_id
    plain = next(numpy_batches(tmp_path / "shop", "train", 64, keys=True))
    assert "oracle_intent" not in plain


def test_bad_sizes_are_refused_by_name():
    with pytest.raises(DataError, match="num_users"):
        SimulatorConfig(num_users=0)
    with pytest.raises(DataError, match="num_categories"):
        SimulatorConfig(num_categories=99)
    with pytest.raises(DataError, match="cold_start_share"):
        SimulatorConfig(cold_start_share=0.9)
    with pytest.raises(DataError, match="test_share"):
        SimulatorConfig(validation_share=0.6, test_share=0.5)
    with pytest.raises(DataError, match="num_interests"):
        Simulator(
            SimulatorConfig(num_categories=6),
            BehaviorParameters(num_interests=6),
        )
    with pytest.raises(DataError, match="no split 'dev'"):
        next(Simulator(CONFIG).requests("dev"))
