"""Sessions told step by step."""

import dataclasses

import numpy as np
import pytest

from jd_tf.evaluation.fusion.stories import tell_stories
from tests.evaluation.fused_shop import (
    SESSION,
    shop,
)


@pytest.fixture(scope="module")
def observation():
    return shop()


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
