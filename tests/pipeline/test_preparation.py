"""A build that is stopped leaves nothing that is not whole."""

import signal
import types

import numpy as np
import pytest

from jd_tf.pipeline import preparation
from jd_tf.pipeline.catalogue import Catalogue


def test_a_training_that_a_signal_stopped_is_not_exported(
    tmp_path, monkeypatch
):
    Catalogue({"item_id": np.arange(1, 4)}).save(tmp_path / "catalogue.npz")
    exported, met = [], [signal.SIGTERM, 0]
    monkeypatch.setattr(
        preparation,
        "train_retrieval",
        lambda *_: types.SimpleNamespace(signal=met.pop(0)),
    )
    monkeypatch.setattr(
        preparation, "export_retrieval", lambda *_: exported.append(1)
    )
    with pytest.raises(SystemExit) as stopped:
        preparation.prepare_two_tower("data", tmp_path, 3)
    assert stopped.value.code == 143
    assert not exported
    # Run again, it is.
    preparation.prepare_two_tower("data", tmp_path, 3)
    assert exported
