"""The equations of the simulated shop, part by part."""

import numpy as np
import pytest

from jd_tf.data.simulator import BehaviorParameters, Simulator, SimulatorConfig
from jd_tf.data.simulator.behavior import OBJECTIVES, ORDER
from jd_tf.data.simulator.people.actions import continuation, session_reward
from jd_tf.data.simulator.people.event_log import EventLog
from jd_tf.data.simulator.people.outcome import private_liking
from jd_tf.data.simulator.people.users import BROWSING, BUYING
from jd_tf.data.simulator.product_photos import draw_item, product_colours
from jd_tf.data.simulator.shop.logging_policy import ArrivalSampler
from jd_tf.data.simulator.shop.words import (
    CATEGORY_WORDS,
    brand_name,
    style_words,
)

BEHAVIOR = BehaviorParameters()
VALUES = np.array([objective.value for objective in OBJECTIVES])


@pytest.fixture(scope="module")
def simulator():
    return Simulator(SimulatorConfig(num_items=600, seed=3))


# Sampling ------------------------------------------------------------------


def test_sampler_draws_by_weight_among_what_has_arrived():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 40)
    arrival = rng.uniform(0, 100, 40)
    weight = rng.uniform(0.1, 2.0, 40)
    sampler = ArrivalSampler(group, arrival, weight)
    for wanted, since, until in ((0, -np.inf, 50.0), (2, 20.0, 90.0)):
        count = 40_000
        drawn = sampler.draw(
            np.full(count, wanted),
            np.full(count, since),
            np.full(count, until),
            rng.random(count),
        )
        there = (group == wanted) & (arrival >= since) & (arrival <= until)
        expected = np.where(there, weight, 0.0) / weight[there].sum()
        seen = np.bincount(drawn, minlength=40) / count
        np.testing.assert_allclose(seen, expected, atol=0.01)
        assert (seen[~there] == 0).all()


def test_sampler_marks_that_there_is_nothing():
    sampler = ArrivalSampler(
        np.array([0, 0, 1]), np.array([5.0, 6.0, 1.0]), np.ones(3)
    )
    drawn = sampler.draw(
        np.array([0, 0, 1]),
        np.full(3, -np.inf),
        np.array([4.0, 5.5, 4.0]),
        np.full(3, 0.999),
    )
    assert drawn.tolist() == [-1, 0, 2]


def test_event_log_keeps_time_and_grows():
    log = EventLog(2, {"item": (np.int64, 0)})
    expected = {0: [], 1: []}
    rng = np.random.default_rng(1)
    for step in range(60):
        happened = rng.random((2, 3)) < 0.4
        items = rng.integers(1, 99, (2, 3))
        time = step * 10.0 + np.arange(3) + np.zeros((2, 1))
        log.append(np.arange(2), happened, time=time, item=items)
        for user in range(2):
            expected[user] += items[user][happened[user]].tolist()
    newest = log.newest_items(np.arange(2), 5)
    for user in range(2):
        assert newest[user].tolist() == expected[user][::-1][:5]
        table = log.tables["item"][user, : log.length[user]]
        assert table.tolist() == expected[user]


def test_private_liking_is_normal_and_lasting():
    users, items = np.arange(300), np.arange(400)
    liking = private_liking(users, np.tile(items, (300, 1)))
    assert abs(liking.mean()) < 0.01
    assert abs(liking.std() - 1.0) < 0.01
    by_item = np.corrcoef(liking[:-1].ravel(), liking[1:].ravel())[0, 1]
    by_user = np.corrcoef(liking[:, :-1].ravel(), liking[:, 1:].ravel())[0, 1]
    assert abs(by_item) < 0.02
    assert abs(by_user) < 0.02
    again = private_liking(users[7:8], items[np.newaxis, 3:4])
    assert again[0, 0] == liking[7, 3]


# Reward --------------------------------------------------------------------


def labels_of(*clicked_ordered):
    labels = np.zeros((1, 4, len(OBJECTIVES)), bool)
    for place, ordered in clicked_ordered:
        labels[0, place, 0] = True
        labels[0, place, ORDER] = ordered
    return labels


@pytest.mark.parametrize("intent", [BROWSING, BUYING])
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("num_wanted", [0, 1, 3])
def test_reward_sums_to_value_and_change_of_the_rest(
    intent, ordered, num_wanted
):
    if ordered and not num_wanted:
        pytest.skip("an order needs a wanted click")
    clicks = [(p, ordered and p == 0) for p in range(num_wanted)]
    labels = labels_of(*clicks)
    wanted = labels[..., 0].copy()
    intents = np.array([intent])
    reward = session_reward(BEHAVIOR, intents, labels, wanted)
    after = continuation(
        BEHAVIOR, intents, np.array([num_wanted]), np.array([ordered])
    )
    alone = continuation(BEHAVIOR, intents, np.array([0]), np.array([False]))
    rest = BEHAVIOR.continuation_values[intent]
    values = VALUES.copy()
    values[ORDER] *= BEHAVIOR.kept_order_rates[intent]
    earned = (labels * values).sum()
    expected = earned + rest * (after - alone)[0]
    assert reward.sum() == pytest.approx(expected)
    assert (reward[0, num_wanted:] == 0).all()


def test_a_click_prolongs_browsing_and_adds_little_to_buying():
    labels = labels_of((1, False))
    browsing, buying = (
        session_reward(BEHAVIOR, np.array([i]), labels, labels[..., 0])[0, 1]
        for i in (BROWSING, BUYING)
    )
    assert browsing > 1.5 * buying
    assert buying > VALUES[0]


def test_an_accident_earns_its_click_only():
    labels = labels_of((2, False))
    nothing = np.zeros((1, 4), bool)
    reward = session_reward(BEHAVIOR, np.array([BROWSING]), labels, nothing)
    assert reward[0].tolist() == [0.0, 0.0, VALUES[0], 0.0]


# Photos and words ----------------------------------------------------------


def photos(simulator, items):
    return np.stack(
        [draw_item(simulator.catalogue, 3, int(item)) for item in items]
    )


def test_photo_is_drawn_again_the_same(simulator):
    one, two, other = photos(simulator, [4, 4, 5])
    assert one.shape == (64, 64, 3)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_every_word_has_a_silhouette_of_its_own(simulator):
    catalogue = simulator.catalogue
    outlines = []
    for category in range(len(CATEGORY_WORDS)):
        item = np.flatnonzero(catalogue.category == category)[0]
        picture = photos(simulator, [item])[0].astype(float)
        # The backdrop is light and nearly grey.
        grey = picture.max(axis=-1) - picture.min(axis=-1) < 25
        outlines.append(~(grey & (picture.min(axis=-1) > 180)))
    assert all(0.02 < outline.mean() < 0.8 for outline in outlines)


def test_the_nearest_photo_shares_category_and_style(simulator):
    """Nearest by shape finds the word, nearest by colour finds the style."""
    catalogue = simulator.catalogue
    items = np.arange(300)
    pictures = photos(simulator, items).astype(float)
    middle = pictures[:, 20:44, 20:44].mean(axis=(1, 2))
    distance = np.square(middle[:, np.newaxis] - middle).sum(axis=-1)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1)
    style = catalogue.style[items]
    apart = np.square(style[:, np.newaxis] - style).sum(axis=-1)[:, :]
    pairs = apart[~np.eye(len(items), dtype=bool)].mean()
    assert apart[items, nearest].mean() < 0.75 * pairs

    small = pictures.reshape(300, 16, 4, 16, 4, 3).mean(axis=(2, 4))
    outline = small.mean(axis=-1) < 0.85 * small[:, :1, :1].mean(axis=-1)
    differ = (outline[:, np.newaxis] != outline).sum(axis=(2, 3)).astype(float)
    np.fill_diagonal(differ, np.inf)
    same = (
        catalogue.category[differ.argmin(axis=1)] == catalogue.category[items]
    )
    chance = np.square(np.bincount(catalogue.category) / 600).sum()
    assert same.mean() > 4 * chance


def test_colours_follow_the_hue_vector():
    red, _ = product_colours(np.array([2.0, 0.0, 0.0, 0.0]))
    green, _ = product_colours(np.array([-1.0, np.sqrt(3.0), 0.0, 0.0]))
    blue, _ = product_colours(np.array([-1.0, -np.sqrt(3.0), 0.0, 0.0]))
    for strongest, colour in enumerate((red, green, blue)):
        assert colour.argmax() == strongest
    dark, _ = product_colours(np.array([2.0, 0.0, -2.0, 0.0]))
    assert dark.max() < red.max()


def test_titles_name_brand_style_and_product(simulator):
    catalogue = simulator.catalogue
    for item in (0, 17, 99):
        title = catalogue.title(item).split()
        assert title[0] == brand_name(int(catalogue.brand[item]))
        assert tuple(title[1:4]) == style_words(catalogue.style[item])
        word = CATEGORY_WORDS[catalogue.category[item]]
        assert title[4] == word
    names = {brand_name(number) for number in range(5000)}
    assert len(names) == 5000


# Catalogue -----------------------------------------------------------------


def test_late_items_are_the_share_asked_for(simulator):
    catalogue, config = simulator.catalogue, simulator.config
    late = catalogue.arrival_time >= config.start_time
    np.testing.assert_array_equal(late, catalogue.late)
    assert late.mean() == pytest.approx(config.cold_start_share, abs=0.01)
    first = catalogue.arrival_time <= config.warm_up_time
    assert len(np.unique(catalogue.category[first])) == 24


def test_a_brand_has_a_style_and_a_price(simulator):
    catalogue = simulator.catalogue
    for values, share in (
        (catalogue.style[:, 0], BEHAVIOR.brand_style_share),
        (catalogue.price_level, BEHAVIOR.brand_style_share),
    ):
        total = values.var()
        within = np.mean(
            [
                values[catalogue.brand == brand].var()
                for brand in np.unique(catalogue.brand)
                if (catalogue.brand == brand).sum() > 5
            ]
        )
        assert within < 0.85 * total
        assert within > 0.5 * (1 - share) * total
