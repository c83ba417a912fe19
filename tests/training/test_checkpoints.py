"""Checkpoints: whole or not there, and damage is named."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.schema import DataError
from jd_tf.training.checkpoints import Checkpoints

STATE = {"step": 7, "value": 0.1 + 0.2, "rows": [{"a": None}]}


def _variables(value=1.0):
    return {
        "model/a layer/kernel": tf.Variable(tf.fill((300, 5), value)),
        "optimizer/iteration": tf.Variable(int(value), dtype=tf.int64),
    }


@pytest.fixture
def checkpoints(tmp_path):
    found = Checkpoints(tmp_path / "with a blank")
    found.write(7, _variables(3.0), STATE)
    return found


def test_round_trip(checkpoints):
    variables = _variables(0.0)
    assert checkpoints.restore(7, variables) == STATE
    assert (variables["model/a layer/kernel"].numpy() == 3).all()
    assert variables["optimizer/iteration"].numpy() == 3


def test_a_part_can_be_restored(checkpoints):
    part = dict(list(_variables(0.0).items())[:1])
    checkpoints.restore(7, part)
    assert (part["model/a layer/kernel"].numpy() == 3).all()


def test_newest_and_best_are_kept(checkpoints):
    for step in (8, 9, 10):
        checkpoints.write(step, _variables(), STATE)
    checkpoints.prune(keep=2, best_step=7)
    assert checkpoints.steps() == [7, 9, 10]
    assert len(list(checkpoints.folder.iterdir())) == 3


def _files(checkpoints):
    return sorted(checkpoints.path(7).iterdir())


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "remove"])
def test_damage_to_any_file_is_named(checkpoints, index, damage):
    file = _files(checkpoints)[index]
    content = file.read_bytes()
    if damage == "remove":
        file.unlink()
    elif damage == "flip":
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 0x40])
        file.write_bytes(content[:middle] + flipped + content[middle + 1 :])
    else:
        keep = len(content) - 1 if damage == "truncate" else 0
        file.write_bytes(content[:keep])
    variables = _variables(0.0)
    with pytest.raises(DataError) as caught:
        checkpoints.restore(7, variables)
    message = str(caught.value)
    assert "\n" not in message
    # A flipped byte of the manifest accuses the file it describes.
    assert str(file if damage != "flip" else file.parent) in message
    assert f"Delete the folder {checkpoints.path(7)}" in message
    assert (variables["model/a layer/kernel"].numpy() == 0).all()


def test_every_file_is_covered(checkpoints):
    names = {file.name for file in _files(checkpoints)}
    manifest = json.loads(
        (checkpoints.path(7) / "manifest.json").read_text(encoding="utf-8")
    )
    assert names == {*manifest, "manifest.json"}
    assert len(names) == 4


def test_a_manifest_that_lists_nothing_is_damage(checkpoints):
    (checkpoints.path(7) / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match=r"manifest\.json"):
        checkpoints.restore(7, _variables())


def test_another_shape_is_refused_by_name(checkpoints):
    variables = _variables()
    variables["model/a layer/kernel"] = tf.Variable(tf.zeros((300, 6)))
    with pytest.raises(DataError, match=r"a layer/kernel.*300, 5.*300, 6"):
        checkpoints.restore(7, variables)


def test_a_new_variable_is_refused_by_name(checkpoints):
    variables = {**_variables(), "model/new": tf.Variable(1.0)}
    with pytest.raises(DataError, match="model/new"):
        checkpoints.restore(7, variables)


def test_a_write_that_fails_leaves_nothing(checkpoints, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        checkpoints.write(8, _variables(), STATE)
    assert checkpoints.steps() == [7]
    assert [p.name for p in checkpoints.folder.iterdir()] == ["step-000000007"]


def test_what_a_kill_leaves_is_cleared(checkpoints):
    (checkpoints.folder / ".step-000000008.abc").mkdir()
    replaced = checkpoints.folder / ".old.xyz"
    replaced.mkdir()
    checkpoints.path(7).rename(replaced / "step-000000007")
    checkpoints.recover()
    assert [p.name for p in checkpoints.folder.iterdir()] == ["step-000000007"]
    assert checkpoints.restore(7, _variables()) == STATE


def test_strange_variable_names_survive(tmp_path):
    names = ["a/b", "a.b", "a b", "ä", "_", "seed#2", "x/.ATTRIBUTES/y"]
    variables = {n: tf.Variable(float(i)) for i, n in enumerate(names)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, variables, {})
    fresh = {name: tf.Variable(-1.0) for name in names}
    checkpoints.restore(1, fresh)
    for name in names:
        np.testing.assert_equal(fresh[name].numpy(), variables[name].numpy())
