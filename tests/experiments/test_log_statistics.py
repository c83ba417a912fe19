"""Statistics of logs that are known by construction."""

import itertools
import json

import numpy as np
import pytest

from experiments.benchmarks.logs.log_events import (
    CART,
    ORDER,
    VISIT,
    event_table,
    read_log,
    readers,
)
from experiments.benchmarks.logs.statistics_of_log import (
    _lift,
    log_statistics,
    markdown,
    recalls,
    visits_of,
)
from jd_tf.data.simulator import SimulatorConfig
from jd_tf.schema import DataError
from tests.experiments.programs import assert_help_is_light

PROGRAM = "benchmarks.logs.log_statistics"
NUM_GROUPS = 60
# Two users: item, category, brand, kind, second.
EVENTS = [
    *[
        (1, 10, 0, 5, VISIT, 0),
        (1, 10, 0, 5, CART, 5),
        (1, 11, 0, 6, VISIT, 60),
    ],
    *[(1, 10, 0, 5, VISIT, 90), (1, 12, 1, 6, VISIT, 9_000)],
    *[(1, 12, 1, 6, ORDER, 9_010), (2, 12, 1, 6, VISIT, 0)],
    *[(2, 13, 1, 7, VISIT, 40), (2, 12, 1, 6, ORDER, 50)],
]


@pytest.fixture(scope="module")
def small():
    names = ("user", "item", "category", "brand", "kind", "time")
    columns = dict(zip(names, np.array(EVENTS).T, strict=True))
    return event_table(**columns)


@pytest.fixture(scope="module")
def groups():
    """Users visit the three items of a group in some order."""
    rng, rows = np.random.default_rng(0), []
    orders = list(itertools.permutations(range(3)))
    for group in range(NUM_GROUPS):
        for order in orders:
            user = len(rows) // 3
            rows += [(user, 3 * group + item) for item in order]
    user, item = np.array(rows).T
    category = rng.permutation(np.arange(3 * NUM_GROUPS) % 2)[item]
    return event_table(user=user, session=user, item=item, category=category)


def test_counts_of_a_small_log(small):
    found = log_statistics(small)
    # 10, 11, 10, 12 and 12, 13, 12: two of the five later ones are repeats.
    assert found["visits_an_item"] == pytest.approx(7 / 4)
    assert found["repeat_share"] == pytest.approx(2 / 5)
    # New ones: 11 after 10, 12 after 10, 13 after 12.
    assert found["category_share"] == pytest.approx(2 / 3)
    assert found["brand_share"] == 0.0
    assert found["brand_share_of_last_five"] == pytest.approx(1 / 3)
    # User 1 comes again after half an hour.
    assert found["session_visits_mean"] == pytest.approx(7 / 3)
    assert found["gap_days_median"] == pytest.approx(8_910 / 86_400)
    assert found["gap_seconds_median"] == pytest.approx(
        np.median([60, 30, 40, 10])
    )
    # Five pairs of a user and an item, one carted, two ordered.
    assert found["carted_share"] == pytest.approx(1 / 5)
    assert found["ordered_share"] == pytest.approx(2 / 5)
    assert found["ordered_of_carted"] == 0.0
    # 12 alone, then 12 and 13.
    assert found["compared_before_order"] == pytest.approx(1.5)


def test_ties_between_items_show_in_co_visits_alone(groups):
    found = recalls(visits_of(groups))
    assert found["recall_users"] == 6 * NUM_GROUPS
    assert found["recall_co_visits"] == found["recall_successors"] == 1.0
    # Popularity is even, so twenty of 178 items are as good as any.
    assert 0.04 < found["recall_popular"] < 0.2
    # The target shares a category with one of two visits in 3 of 4 cases.
    assert 0.08 < found["recall_category"] < 0.35
    ratio = found["co_visits_over_category"]
    assert ratio == pytest.approx(1 / found["recall_category"])
    assert found["co_visits_over_category_low"] < ratio


def test_without_ties_co_visits_are_worth_little(groups):
    items = np.random.default_rng(5).permutation(groups["item"].to_numpy())
    found = recalls(visits_of(groups.assign(item=items)))
    assert found["recall_co_visits"] < 0.2


def test_what_the_user_had_does_not_compete():
    """Item 21 has the fewest users; items 0 and 1 of the history the most."""
    rows = [(user, item) for user in range(30) for item in (0, 1, 21)]
    for item, count in [(21, 2), *((filler, 3) for filler in range(2, 21))]:
        for _ in range(count):
            user = rows[-1][0] + 1
            rows += [(user, item), (user, 0)]
    user, item = np.array(rows).T
    found = recalls(visits_of(event_table(user=user, session=user, item=item)))
    assert found["recall_popular"] == 1.0
    assert "recall_category" not in found


def test_lift_of_moves_to_other_categories():
    rng = np.random.default_rng(1)
    before = np.arange(8_000) % 4
    # Always to the next of four; by chance it would be each third time.
    assert _lift(before, (before + 1) % 4) == pytest.approx(3.0, rel=0.01)
    by_chance = (before + rng.integers(0, 4, len(before))) % 4
    assert _lift(before, by_chance) == pytest.approx(1.0, abs=0.1)


def test_what_a_log_does_not_tell_is_a_dash(groups):
    unknown = log_statistics(groups.assign(category=-1))
    for name in ("category_share", "lift_90", "co_visits_over_category"):
        assert np.isnan(unknown[name])
    line = markdown({"log": unknown}).splitlines()
    assert "| category_share | - |" in line


def test_the_simulated_shop_is_read_with_its_orders(tmp_path):
    config = SimulatorConfig(
        num_users=40,
        num_items=120,
        num_requests=400,
        num_days=5,
        num_warm_up_days=5,
        num_categories=8,
        num_brands=16,
        num_shops=20,
        block_size=20,
    )
    events = readers(tmp_path, config)["simulator"]()
    assert events["user"].nunique() > 30
    assert set(events["kind"]) == {VISIT, CART, ORDER}
    visited = events[events["kind"] == VISIT][["user", "item"]]
    pairs = set(map(tuple, visited.to_numpy()))
    carted = events[events["kind"] == CART][["user", "item"]].to_numpy()
    assert len(carted)
    assert all(tuple(pair) in pairs for pair in carted)


def test_readers_of_files(tmp_path):
    micro = tmp_path / "jd_micro_behaviors"
    micro.mkdir()
    text = "7+1+3+10+5 7+9+3+2+5 8+5+4+1+0\n9+1+3+0+0\n"
    (micro / "JD_Appliances_sample.txt").write_text(text)
    shop = tmp_path / "amazon_sequences"
    shop.mkdir()
    (shop / "Beauty.txt").write_text("a 1 2 3\nb 2 3 1\n")
    attributes = {"1": [5, 6], "2": [5], "3": []}
    path = shop / "Beauty_item2attributes.json"
    path.write_text(json.dumps(attributes))
    known = readers(tmp_path, SimulatorConfig())
    sessions = known["jd_appliances"]()
    assert sessions["kind"].tolist() == [VISIT, CART, VISIT, VISIT]
    assert sessions["category"].tolist() == [3, 3, 4, 3]
    assert sessions["time"].tolist() == [0, 10, 12, 0]
    lines = known["beauty"]()
    # The rarest attribute; 6 belongs to one item alone.
    assert lines["category"].tolist() == [6, 5, -1, 5, -1, 6]
    assert np.isnan(log_statistics(lines)["session_visits_mean"])
    with pytest.raises(DataError, match="no folder"):
        readers(tmp_path / "none", SimulatorConfig())
    with pytest.raises(DataError, match="no log `beaty`, only jd_appl"):
        read_log(known, "beaty")
    for name in ("jdata2016", "retailrocket", "kuairand", "toys"):
        with pytest.raises(DataError, match=f"--input: {name}: .*--logs"):
            read_log(known, name)


def test_help_is_light():
    assert_help_is_light(PROGRAM)
