"""Attention: averages by loops, warnings, a complete page."""

import re

import matplotlib.image
import numpy as np
import pytest

from jd_tf.evaluation.report.attention_report import (
    age_text,
    lift_of,
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
    age = batch["request_time"][:, None] - batch[f"{name}_event_time"]
    age = np.log1p(age)
    same = (
        batch["category_id"][:, :, None]
        == batch[f"{name}_category_id"][:, None, :]
    )
    new = np.broadcast_to(-0.5 * age[:, None], same.shape)
    score = np.stack([new, 2.0 * same], axis=1)
    return _attention(batch, behavior, score)


def test_lift_by_hand():
    batch = toy_batch(0, size=20)
    weights = _planted(batch, CLICK)
    found = lift_of(batch, CLICK, weights)
    for b, length in enumerate(batch["click_length"]):
        for place in range(length):
            n = batch["num_candidates"][b]
            mean = weights[b, :, :n, place].mean(axis=1)
            np.testing.assert_allclose(
                found[b, place], length * mean, rtol=1e-5
            )
        if length:
            assert found[b, :length].mean() == pytest.approx(1.0, rel=1e-5)


def test_page_shows_the_first_requests_with_events(tmp_path):
    batches = [toy_batch(seed) for seed in range(3)]
    observed = (
        (b, {f"attention_{h.name}": _planted(b, h) for h in SCHEMA.behaviors})
        for b in batches
    )
    page = write_attention_report(tmp_path / "a", SCHEMA, observed)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"src=\"(?!data:)|href=|https?://", text)
    names = {path.name for path in page.parent.glob("*.png")}
    assert len(names) == text.count("<img") == 4
    assert all(name.startswith("request_") for name in names)
    for name in names:
        pixels = matplotlib.image.imread(page.parent / name)
        assert pixels.std() > 0.01


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
    with pytest.raises(ValueError, match=r"`click`: attention must be"):
        lift_of(batch, CLICK, np.zeros((100, 2, 6, 7)))
    with pytest.raises(ValueError, match=r"`click`: .* off by"):
        lift_of(batch, CLICK, 0.5 * _planted(batch, CLICK))


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


def test_a_ranker_without_attention_is_refused(tmp_path):
    with pytest.raises(DataError, match="no attention to `click`"):
        write_attention_report(tmp_path, SCHEMA, [(toy_batch(0, size=5), {})])
