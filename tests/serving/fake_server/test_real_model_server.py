"""The real server's files, without a real server."""

import gc
import sys
import warnings

from tests.serving.fake_server.model_server import model_config
from tests.serving.fake_server.real_model_server import RealModelServer


def test_a_server_that_is_let_go_warns_of_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("JD_TF_MODEL_SERVER", sys.executable)
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        server = RealModelServer(model_config("m", tmp_path), max_threads=32)
        folder = server._folder
        assert (folder / "model_config").is_file()
        del server
        gc.collect()
    assert not unraisable
