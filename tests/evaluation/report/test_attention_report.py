"""Attention: averages by loops, planted patterns found, page complete."""

import re

import matplotlib.image
import numpy as np
import pytest

from jd_tf.evaluation.report.attention_pictures import age_text, bucket_means
from jd_tf.evaluation.report.attention_report import (
    AttentionLift,
    write_attention_report,
)
from jd_tf.schema import DataError
from tests.evaluation.toy_shop import toy_batch, toy_schema

SCHEMA = toy_schema()
CLICK = SCHEMA.behaviors[0]


def _attention(batch, behavior, score):
    """Softmax over real events of (B, H, N, L) scores; 0 elsewhere."""
    length = batch[behavior.length]
    real = np.arange(score.shape[-1]) < length[:, None]
    weights = np.exp(score) * real[:, None, None]
    total = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


def _planted(batch, behavior):
    """Head 0 reads what is new, head 1 what shares the category."""
    name = behavior.name
    age = np.log1p(batch[f"{name}_age_seconds"])
    same = (
        batch["category_id"][:, :, None]
        == batch[f"{name}_category_id"][:, None, :]
    )
    new = np.broadcast_to(-0.5 * age[:, None], same.shape)
    score = np.stack([new, 2.0 * same], axis=1)
    return _attention(batch, behavior, score)


def _lift(batches):
    lift = AttentionLift(CLICK)
    for batch in batches:
        lift.add(batch, _planted(batch, CLICK))
    return lift


def test_lift_by_hand():
    batches = [toy_batch(0, size=20), toy_batch(1, size=30)]
    lift = _lift(batches)
    expected, ages, owners = [], [], []
    for start, batch in zip((0, 20), batches, strict=True):
        weights = _planted(batch, CLICK)
        for b, length in enumerate(batch["click_length"]):
            for place in range(length if length > 1 else 0):
                n = batch["num_candidates"][b]
                mean = weights[b, :, :n, place].mean(axis=1)
                expected.append(length * mean)
                ages.append(batch["click_age_seconds"][b, place])
                owners.append(start + b)
    np.testing.assert_allclose(lift.get("lift"), expected, rtol=1e-5)
    np.testing.assert_array_equal(lift.get("age"), ages)
    np.testing.assert_array_equal(lift.get("request"), owners)
    assert lift.num_requests == len(set(owners))
    assert lift.get("lift").mean() == pytest.approx(1.0)


def test_bucket_means_equal_loops():
    rng = np.random.default_rng(4)
    lift, bucket = rng.random((200, 2)), rng.integers(0, 3, 200)
    request = np.sort(rng.integers(0, 40, 200))
    means, half, events = bucket_means(lift, bucket, request, 4)
    for k in range(3):
        mine = bucket == k
        np.testing.assert_allclose(means[k], lift[mine].mean(axis=0))
        assert events[k] == mine.sum()
        rest = [
            (lift[mine & (request == r)] - means[k]).sum(axis=0)
            for r in range(40)
        ]
        expected = 1.96 * np.sqrt(np.square(rest).sum(axis=0)) / mine.sum()
        np.testing.assert_allclose(half[k], expected)
    assert events[3] == 0
    assert np.isnan(means[3]).all()


def test_page_shows_the_planted_patterns(tmp_path):
    batches = [toy_batch(seed) for seed in range(3)]
    observed = (
        (b, {f"attention_{h.name}": _planted(b, h) for h in SCHEMA.behaviors})
        for b in batches
    )
    page = write_attention_report(tmp_path / "a", SCHEMA, observed)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"src=\"(?!data:)|href=|https?://", text)
    names = {path.name for path in page.parent.glob("*.png")}
    requests = {name for name in names if name.startswith("request_")}
    assert names - requests == {
        "click_attention_against_recency.png",
        "order_attention_against_recency.png",
    }
    assert len(requests) == 4
    assert text.count("<img") == len(names)
    for name in names:
        pixels = matplotlib.image.imread(page.parent / name)
        assert pixels.std() > 0.01
    lift = _lift(batches)
    old = (lift.get("age") > 600).astype(int)
    by_age = bucket_means(lift.get("lift"), old, lift.get("request"), 2)[0]
    assert by_age[0, 0] > 1.2 > 0.9 > by_age[1, 0]


def test_attention_that_does_not_choose_is_a_warning(tmp_path):
    batch = toy_batch(0)
    explained = {
        f"attention_{h.name}": _attention(
            batch, h, np.zeros((100, 2, 6, h.max_length))
        )
        for h in SCHEMA.behaviors
    }
    explained["attention_click"] = _planted(batch, CLICK)
    page = write_attention_report(tmp_path, SCHEMA, [(batch, explained)], 0)
    text = page.read_text(encoding="utf-8")
    assert "order: every head spreads its attention almost evenly" in text
    assert "click: every head" not in text


def test_wrong_attention_is_refused_by_name():
    batch = toy_batch(0)
    lift = AttentionLift(CLICK)
    with pytest.raises(ValueError, match=r"`click`: attention must be"):
        lift.add(batch, np.zeros((100, 2, 6, 7)))
    with pytest.raises(ValueError, match=r"`click`: .* off by"):
        lift.add(batch, 0.5 * _planted(batch, CLICK))


def test_no_history_at_all_is_an_error(tmp_path):
    batch = toy_batch(0, size=5)
    for behavior in SCHEMA.behaviors:
        batch[behavior.length][:] = 0
    explained = {
        f"attention_{h.name}": np.zeros((5, 2, 6, h.max_length))
        for h in SCHEMA.behaviors
    }
    with pytest.raises(DataError, match="history of two events"):
        write_attention_report(tmp_path / "a", SCHEMA, [(batch, explained)])
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "3 s"), (60, "1 min"), (7300, "2 h"), (864_000, "10 d"), (4e7, "1 y")],
)
def test_ages_are_readable(seconds, text):
    assert age_text(seconds) == text
