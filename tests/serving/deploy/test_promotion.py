"""Promotions succeed completely, or change nothing."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jd_tf.serving.client.errors import (
    ModelNotFoundError,
    UnavailableError,
)
from jd_tf.serving.client.model_service_client import VersionStatus
from jd_tf.serving.deploy.model_config import (
    OperationError,
    add_model,
    model_of,
    read_config,
    write_config,
)
from jd_tf.serving.deploy.promotion import (
    Promotion,
    RollbackError,
    RolledBackError,
)
from jd_tf.serving.deploy.version_server import VersionServer
from jd_tf.serving.export.recordings import WARMUP_FILE, read_recordings
from jd_tf.serving.protos.messages import ModelServerConfig
from tests.serving.deploy.made_versions import (
    MODEL,
    break_version,
    file_errors,
    make_version,
)
from tests.serving.fake_server.start import model_server

ROOT = Path(__file__).resolve().parents[3]


class Serving:
    """A server of version 1, and promotions there."""

    def __init__(self, base, folder, labels=None, **options):
        self.base = base
        self.file = folder / "models.config"
        config = ModelServerConfig()
        add_model(config, MODEL, str(base), labels or {"stable": 1})
        write_config(self.file, config)
        self.server = model_server(config, **options)
        self.server.start()
        self.client = VersionServer(self.server.address)
        self.lines = []
        call = next(iter(read_recordings(base / "1" / WARMUP_FILE)))
        self.signature, self.inputs = call.signature, call.inputs

    def promotion(self, *others, **options):
        options = {
            "verify": file_errors,
            "load_seconds": 20.0,
            "call_seconds": 5.0,
            "log": self.lines.append,
            **options,
        }
        servers = [self.client, *(other.client for other in others)]
        return Promotion(servers, self.file, MODEL, **options)

    def answer(self, version="stable"):
        return self.client.predict(MODEL, self.signature, self.inputs, version)

    def loaded(self):
        found = self.client.status(MODEL)
        return {n for n, status in found.items() if status.available}

    def close(self):
        self.client.close()
        self.server.stop()


@pytest.fixture
def serving(base, tmp_path):
    made = Serving(base, tmp_path)
    yield made
    made.close()


def wait_for(serving, loaded):
    end = time.monotonic() + 10
    while serving.loaded() != loaded and time.monotonic() < end:
        time.sleep(0.02)
    assert serving.loaded() == loaded


def check_untouched(serving, before):
    """Version 1 answers, alone, and the file is as it was."""
    assert serving.file.read_text() == before
    assert serving.answer()[1] == 1
    wait_for(serving, {1})


def test_the_label_moves_and_the_old_version_goes(serving):
    scores, version = serving.answer()
    assert version == 1
    assert serving.promotion().run(2) == 2
    other, version = serving.answer()
    assert version == 2
    assert np.abs(other["score"] - scores["score"]).max() > 1e-3
    wait_for(serving, {2})
    model = model_of(read_config(serving.file), MODEL, "")
    assert dict(model.version_labels) == {"stable": 2}
    assert list(model.model_version_policy.specific.versions) == [2]
    assert "answers as exported" in " ".join(serving.lines)


def test_the_highest_is_the_default_and_an_older_one_the_way_back(serving):
    assert serving.promotion(keep_old=True).run() == 3
    assert serving.loaded() == {1, 3}
    assert serving.promotion().run(1) == 1
    assert serving.answer()[1] == 1
    wait_for(serving, {1})
    before = serving.file.read_text()
    assert serving.promotion().run(1) == 1
    assert "already" in serving.lines[-1]
    assert serving.file.read_text() == before


def test_versions_under_other_labels_stay(base, tmp_path):
    serving = Serving(base, tmp_path, {"stable": 1, "canary": 3})
    try:
        assert serving.promotion(label="canary").run(2) == 2
        assert serving.answer("canary")[1] == 2
        assert serving.answer()[1] == 1
        wait_for(serving, {1, 2})
        assert serving.promotion().run(2) == 2
        wait_for(serving, {2})
    finally:
        serving.close()


def test_a_version_that_does_not_load_is_rolled_back(serving):
    make_version(serving.base / "1", serving.base / "4")
    break_version(serving.base / "4")
    before = serving.file.read_text()
    with pytest.raises(RolledBackError, match="version 4"):
        serving.promotion(verify=lambda _: []).run()
    check_untouched(serving, before)
    # Verified first, it is not even sent.
    with pytest.raises(OperationError, match="variables") as caught:
        serving.promotion().run()
    assert type(caught.value) is OperationError
    assert serving.promotion().run(2) == 2


def test_a_number_that_failed_is_not_tried_again(serving, monkeypatch):
    status = serving.client.status
    failed = {2: VersionStatus(2, "END", "DATA_LOSS: no variables")}
    monkeypatch.setattr(
        serving.client, "status", lambda *a, **k: {**status(*a, **k), **failed}
    )
    with pytest.raises(OperationError, match=r"DATA_LOSS.*under a new one"):
        serving.promotion().run(2)
    assert serving.loaded() == {1}


def test_other_answers_than_recorded_are_rolled_back(serving):
    make_version(serving.base / "1", serving.base / "4", 9, record=False)
    before = serving.file.read_text()
    with pytest.raises(RolledBackError, match="differs by"):
        serving.promotion().run()
    check_untouched(serving, before)


def test_a_version_that_takes_too_long_is_rolled_back(serving, monkeypatch):
    before = serving.file.read_text()
    promotion = serving.promotion(load_seconds=0.3)
    status = serving.client.status

    def loading(model, version=None, timeout=5.0):
        return {
            number: dataclasses.replace(found, state="LOADING")
            if number == 2
            else found
            for number, found in status(model, version, timeout).items()
        }

    monkeypatch.setattr(serving.client, "status", loading)
    with pytest.raises(RolledBackError, match=r"LOADING after 0\.3 s"):
        promotion.run(2)
    check_untouched(serving, before)


def test_an_interruption_is_rolled_back(serving):
    before = serving.file.read_text()

    def interrupt(line):
        serving.lines.append(line)
        if "is available" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serving.promotion(log=interrupt).run(2)
    check_untouched(serving, before)


@pytest.mark.parametrize("wrong", ["missing", "empty", "no version"])
def test_what_would_hang_a_server_is_never_sent(serving, wrong, tmp_path):
    sent = []
    serving.client.reload_config = lambda *a: sent.append(a)
    promotion = serving.promotion()
    if wrong == "no version":
        with pytest.raises(OperationError, match="no version 7"):
            promotion.run(7)
        assert not sent
        return
    other = tmp_path / "other"
    if wrong == "empty":
        other.mkdir()
    config = read_config(serving.file)
    add_model(config, "other", str(other), {})
    write_config(serving.file, config)
    with pytest.raises(OperationError, match=r"would hang|hangs"):
        promotion.run(2)
    assert not sent
    assert serving.answer()[1] == 1


def test_a_model_the_server_does_not_know_is_refused(serving, base):
    config = read_config(serving.file)
    add_model(config, "other", str(base), {"stable": 1})
    write_config(serving.file, config)
    with pytest.raises(ModelNotFoundError, match="other"):
        serving.promotion().run(2)
    assert serving.loaded() == {1}


def test_base_paths_may_lie_elsewhere_here(serving, tmp_path):
    config = read_config(serving.file)
    model = config.model_config_list.config[0]
    model.base_path = "/models/tiny"
    write_config(serving.file, config)
    with pytest.raises(OperationError, match="--local"):
        serving.promotion().run(2)
    # The fake server reads this machine's disk, so nothing more can be sent.
    promotion = serving.promotion(mapped={"/models": str(tmp_path)})
    sent = []
    serving.client.reload_config = lambda config, _: sent.append(config)
    promotion.load_seconds = 0.1
    with pytest.raises(RolledBackError):
        promotion.run(2)
    assert sent[0].model_config_list.config[0].base_path == "/models/tiny"


def test_a_server_that_is_away_is_refused(serving):
    serving.server.stop()
    with pytest.raises(UnavailableError):
        serving.promotion(call_seconds=1.0).run(2)


def test_a_server_that_dies_on_the_way_is_reported(serving):
    before = serving.file.read_text()

    def die(line):
        if "is available" in line:
            serving.server.stop()

    with pytest.raises(RollbackError, match="Rolling back failed too"):
        serving.promotion(log=die, call_seconds=1.0).run(2)
    assert serving.file.read_text() == before


def test_two_servers_move_together_or_not_at_all(serving, base, tmp_path):
    folder = tmp_path / "second"
    folder.mkdir()
    other = Serving(base, folder)
    try:
        assert serving.promotion(other).run(2) == 2
        assert other.answer()[1] == serving.answer()[1] == 2
        before = serving.file.read_text()
        predict = other.client.predict

        def fail(model, signature, inputs, version=None, timeout=10.0):
            if version == 3:
                raise UnavailableError("the second server chokes.")
            return predict(model, signature, inputs, version, timeout)

        other.client.predict = fail
        with pytest.raises(RolledBackError, match="chokes"):
            serving.promotion(other).run(3)
        other.client.predict = predict
        assert serving.file.read_text() == before
        for one in (serving, other):
            assert one.answer()[1] == 2
            wait_for(one, {2})
    finally:
        other.close()


def test_a_failure_after_the_old_version_went_brings_it_back(
    serving, base, tmp_path
):
    folder = tmp_path / "second"
    folder.mkdir()
    other = Serving(base, folder)
    reload_config = other.client.reload_config

    def fail_to_drop(config, timeout):
        model = model_of(config, MODEL, "")
        if list(model.model_version_policy.specific.versions) == [2]:
            # By now the first server has dropped version 1.
            wait_for(serving, {2})
            raise UnavailableError("the second server chokes.")
        reload_config(config, timeout)

    other.client.reload_config = fail_to_drop
    before = serving.file.read_text()
    try:
        with pytest.raises(RolledBackError, match="chokes"):
            serving.promotion(other).run(2)
        check_untouched(serving, before)
        check_untouched(other, before)
    finally:
        other.close()


def test_one_promotion_at_a_time(serving):
    inside = []

    def again(line):
        if "is available" in line:
            with pytest.raises(OperationError, match="another promotion"):
                serving.promotion().run(3)
            inside.append(line)

    assert serving.promotion(log=again).run(2) == 2
    assert inside


def test_the_program_refuses_in_one_line(tmp_path):
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.promote",
            f"--config_file={tmp_path / 'models.config'}",
            "--model=tiny",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert finished.returncode == 2
    last = finished.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "make_serving_config" in last
