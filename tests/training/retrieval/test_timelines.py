"""Timelines: what each place has to predict, and their batches."""

import numpy as np
import pytest

from jd_tf.models.retrieval.two_tower import TwoTower
from jd_tf.training.retrieval.timelines import TARGETS, Timelines
from tests.training.retrieval.chains import (
    FIRST_ID,
    LENGTH,
    STEPS,
    ring_ids,
    ring_schema,
    walks,
    write_ring,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ring") / "data"
    write_ring(path)
    return path


@pytest.fixture(scope="module")
def model():
    return TwoTower(ring_schema())


def read(model, folder, ids, **options):
    return Timelines.read(model, folder, "train", ids, **options)


def test_the_last_request_of_a_user_holds_his_timeline(model, folder):
    found = read(model, folder, ring_ids(), last_only=True)
    expected = set()
    for walk in walks():
        # The target of the last training request, then events, newest first.
        targets = walk[STEPS - 2 :: -1][: LENGTH + 1]
        expected.add(tuple(item - FIRST_ID for item in targets))
    assert {tuple(row) for row in found.targets.tolist()} == expected
    assert len(found) == len(walks())
    assert (found.length == min(LENGTH, STEPS - 2)).all()


def test_items_that_the_catalogue_lacks_are_no_targets(model, folder):
    found = read(model, folder, ring_ids()[2:])
    whole = read(model, folder, ring_ids())
    known = whole.targets >= 2
    assert (found.targets[known] == whole.targets[known] - 2).all()
    assert (found.targets[~known] == -1).all()
    assert len(found) == len(walks()) * (STEPS - 1)


def test_items_met_before_are_no_targets():
    targets = np.array([[3, 1, 2, 1, -1], [5, 5, 5, -1, -1]], np.int32)
    given = Timelines({}, targets, np.array([4, 2]), "click")
    assert given.without_repeats().targets.tolist() == [
        [3, -1, 2, 1, -1],
        [-1, -1, 5, -1, -1],
    ]


def test_batches_are_cut_repeatable_and_go_on(model, folder):
    found = read(model, folder, ring_ids())
    options = {"seed": 3, "epoch": 2, "bucket_batches": 4}
    passed = list(found.batches(16, **options))
    assert sum(len(b[TARGETS]) for b in passed) == len(found)
    for batch in passed:
        longest = max(1, int(batch["click_length"].numpy().max()))
        assert batch["click_item_id"].shape[1] == longest
        assert batch[TARGETS].shape[1] == longest + 1
        events = batch["click_item_id"].numpy() - FIRST_ID
        real = np.arange(longest) < batch["click_length"].numpy()[:, None]
        assert (batch[TARGETS].numpy()[:, 1:][real] == events[real]).all()
    rest = list(found.batches(16, skip_batches=5, **options))
    for one, two in zip(passed[5:], rest, strict=True):
        np.testing.assert_array_equal(one[TARGETS], two[TARGETS])
    other = next(iter(found.batches(16, seed=3, epoch=3, bucket_batches=4)))
    assert other[TARGETS].shape != passed[0][TARGETS].shape or (
        (other[TARGETS].numpy() != passed[0][TARGETS].numpy()).any()
    )
