"""Tests of Swing, co-occurrence and EASE against literal versions."""

import itertools

import numpy as np
import pytest

from jd_tf.pipeline.recall.co_occurrence import co_occurrence_table
from jd_tf.pipeline.recall.ease import ease_table
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.pipeline.recall.swing import swing_table
from jd_tf.schema import DataError
from tests.pipeline.recall.small_interactions import (
    random_interactions,
    users_of,
)

ALL = 10**6
JOBS = (swing_table, co_occurrence_table, ease_table)


def literal_swing(logs, alpha, user_damping, event_damping, target_damping):
    """Loops over items and pairs of users, as the paper writes it."""
    users = {u: set(items) for u, items in users_of(logs).items()}
    size = len(logs.item_id)
    found = np.zeros((size, size))
    for i, j in itertools.permutations(range(size), 2):
        both = [u for u, items in users.items() if {i, j} <= items]
        for u, v in itertools.combinations(both, 2):
            weight = (len(users[u]) * len(users[v])) ** -user_damping
            found[i, j] += weight / (alpha + len(users[u] & users[v]))
    number = np.array(
        [sum(i in items for items in users.values()) for i in range(size)]
    )
    return found / np.outer(number**event_damping, number**target_damping)


@pytest.mark.parametrize("max_entries", [1, 60, 1 << 20])
def test_swing_equals_a_literal_loop(max_entries):
    logs = random_interactions()
    options = {
        "alpha": 0.7,
        "user_damping": 0.5,
        "event_damping": 0.4,
        "target_damping": 0.2,
    }
    table = swing_table(
        logs,
        max_users=0,
        num_neighbors=ALL,
        max_entries=max_entries,
        **options,
    )
    np.testing.assert_allclose(
        table.weights.toarray(), literal_swing(logs, **options), rtol=1e-5
    )


def test_capped_swing_is_that_of_the_users_drawn():
    """Row by row: of the drawn users' pairs, with all their items."""
    logs = random_interactions()
    plain = {"user_damping": 0, "event_damping": 0, "target_damping": 0}
    users = {u: set(items) for u, items in users_of(logs).items()}
    whole = swing_table(logs, max_users=0, num_neighbors=ALL, **plain)
    capped = swing_table(logs, max_users=5, num_neighbors=ALL, **plain)
    again = swing_table(logs, max_users=5, num_neighbors=ALL, **plain)
    other = swing_table(logs, max_users=5, num_neighbors=ALL, seed=2, **plain)
    assert (capped.weights != again.weights).nnz == 0
    assert (capped.weights != other.weights).nnz > 0
    popularity = logs.popularity()
    for i in range(len(popularity)):
        row = capped.weights[i].toarray()[0]
        if popularity[i] <= 5:
            np.testing.assert_allclose(row, whole.weights[i].toarray()[0])
            continue
        mine = [u for u, items in users.items() if i in items]
        rows = []
        for drawn in itertools.combinations(mine, 5):
            expected = np.zeros(len(popularity))
            for u, v in itertools.combinations(drawn, 2):
                shared = users[u] & users[v]
                expected[list(shared - {i})] += 1 / (1 + len(shared))
            rows.append(expected)
            if len(rows) > 3000:
                break
        if len(rows) <= 3000:
            assert np.isclose(rows, row, atol=1e-5).all(axis=1).any()


def literal_co_occurrence(logs, half_life, user_damping, target_damping):
    users = users_of(logs)
    newest = logs.time.max()
    size = len(logs.item_id)
    found, square = np.zeros((size, size)), np.zeros(size)
    for items in users.values():
        weight = {
            i: w
            * (0.5 ** ((newest - t) / half_life) if half_life else 1)
            * len(items) ** -user_damping
            for i, (t, w) in items.items()
        }
        for i in items:
            square[i] += weight[i] ** 2
        for i, j in itertools.permutations(items, 2):
            found[i, j] += weight[i] * weight[j]
    return found / np.outer(square**0.5, square**target_damping)


@pytest.mark.parametrize("half_life", [0.0, 300.0])
@pytest.mark.parametrize("max_entries", [1, 1 << 20])
def test_co_occurrence_equals_a_literal_loop(half_life, max_entries):
    logs = random_interactions()
    options = {
        "half_life": half_life,
        "user_damping": 0.3,
        "target_damping": 0.4,
    }
    table = co_occurrence_table(
        logs, num_neighbors=ALL, max_entries=max_entries, **options
    )
    expected = literal_co_occurrence(logs, **options)
    np.testing.assert_allclose(table.weights.toarray(), expected, rtol=1e-5)


def test_what_has_decayed_to_nothing_is_no_number():
    logs = Interactions.of_events(
        np.array([0, 0, 1, 1]),
        np.array([1, 2, 3, 4]),
        np.array([0, 0, 10**6, 10**6]),
    )
    weights = co_occurrence_table(logs, half_life=1.0).weights
    assert np.isfinite(weights.data).all()
    assert weights[2, 3] > 0


def test_ease_is_a_ridge_regression_of_each_item_on_the_others():
    logs = random_interactions()
    users = logs.matrix().toarray().astype(float)
    expected = np.zeros((users.shape[1],) * 2)
    for item in range(users.shape[1]):
        others = np.delete(np.arange(users.shape[1]), item)
        left = users[:, others]
        expected[others, item] = np.linalg.solve(
            left.T @ left + 7.0 * np.eye(len(others)), left.T @ users[:, item]
        )
    table = ease_table(logs, l2=7.0, num_neighbors=ALL)
    np.testing.assert_allclose(
        table.weights.toarray(), np.maximum(expected, 0), atol=1e-4
    )


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("texts", [False, True])
def test_the_strongest_neighbors_of_each_item_are_kept(job, texts):
    logs = random_interactions(texts=texts)
    whole = job(logs, num_neighbors=ALL).weights.toarray()
    table = job(logs, num_neighbors=4)
    assert table.item_id.tolist() == logs.item_id.tolist()
    for row, all_of_row in zip(table.weights.toarray(), whole, strict=True):
        assert row.astype(bool).sum() == min(4, (all_of_row > 0).sum())
        assert row[row > 0].sum() == pytest.approx(
            np.sort(all_of_row)[-4:].clip(min=0).sum()
        )
    assert table.weights.diagonal().max() == 0


@pytest.mark.parametrize("job", JOBS)
def test_one_user_and_one_item_are_enough(job):
    one = np.ones(1, np.int64)
    table = job(Interactions.of_events(one, one, one))
    assert table.weights.nnz == 0


@pytest.mark.parametrize(
    ("job", "options", "message"),
    [
        (swing_table, {"alpha": -1}, "`alpha` must be >= 0. Got: -1"),
        (swing_table, {"max_users": -2}, "`max_users`.*-2"),
        (swing_table, {"target_damping": 2}, "between 0 and 1. Got: 2"),
        (swing_table, {"max_entries": 0}, "`max_entries` must be >= 1"),
        (co_occurrence_table, {"half_life": -1.0}, "`half_life`.*-1.0"),
        (co_occurrence_table, {"num_neighbors": 0}, "`num_neighbors`.*0"),
        (ease_table, {"l2": 0}, "`l2` must be > 0. Got: 0"),
        (ease_table, {"max_items": 3}, "15 x 15.*only 3.*`max_items`"),
    ],
)
def test_bad_options_are_named(job, options, message):
    with pytest.raises(DataError, match=message):
        job(random_interactions(), **options)
