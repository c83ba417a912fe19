"""Logged requests: their content and files, and their replay."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import SERVING_ROLES, DataError
from jd_tf.serving.client import ClientOptions, RankingClient, RequestLog
from jd_tf.serving.client.errors import RequestError
from jd_tf.serving.client.request_log import log_files, read_request_log
from jd_tf.serving.export.recordings import read_recordings
from tests.requests import random_requests
from tests.serving.client.fake_transport import (
    SCHEMA,
    FakeTransport,
    expected_scores,
    with_candidates,
)

REQUESTS = [
    with_candidates(request, 2 + number)
    for number, request in enumerate(random_requests(SCHEMA, 6, seed=4))
]


def rank_all(log, requests=REQUESTS, rounds=1, version=1):
    client = RankingClient(
        FakeTransport(version), SCHEMA, ClientOptions(), request_log=log
    )
    with client:
        for _ in range(rounds):
            for request in requests:
                client.rank(request)


def test_logged_requests_are_those_that_were_asked(tmp_path):
    rank_all(RequestLog(tmp_path, rate=1.0, model_name="m"), version=3)
    (file,) = log_files(tmp_path)
    assert [path for path in tmp_path.iterdir() if path != file] == []
    checker = RequestValidator(SCHEMA, SERVING_ROLES)
    found = list(read_request_log(tmp_path, SCHEMA))
    assert len(found) == len(REQUESTS)
    for read, request in zip(found, REQUESTS, strict=True):
        first, second = checker.check(read), checker.check(request)
        for name, array in first.items():
            np.testing.assert_array_equal(array, second[name])
    for recording, request in zip(read_recordings(file), REQUESTS, strict=True):
        assert recording.signature == "serving_default"
        np.testing.assert_allclose(
            recording.outputs["score"][0], expected_scores(request, 3), 1e-6
        )
        assert recording.outputs["probabilities"].shape[2] == 3
        assert recording.outputs["fusion_weights"].tolist() == [[3, 6, 9]]


def test_records_say_where_they_come_from(tmp_path):
    rank_all(RequestLog(tmp_path, rate=1.0, model_name="m"), version=3)
    (file,) = log_files(tmp_path)
    record = next(iter(tf.data.TFRecordDataset(str(file)))).numpy()
    log = prediction_log_pb2.PredictionLog.FromString(record)
    assert log.log_metadata.sampling_config.sampling_rate == 1.0
    assert log.log_metadata.model_spec.version.value == 3
    request = log.predict_log.request
    assert request.model_spec.name == "m"
    assert not request.model_spec.HasField("version"), "any version replays it"
    assert request.inputs["item_dense"].tensor_content


def test_the_rate_is_kept(tmp_path):
    log = RequestLog(tmp_path, rate=0.25, seed=1)
    rank_all(log, REQUESTS[:1], rounds=400)
    assert 70 < log.stats()["written"] < 130
    none = RequestLog(tmp_path / "none", rate=0.0)
    rank_all(none)
    assert none.stats()["written"] == 0
    assert log_files(tmp_path / "none") == []


def test_files_rotate_appear_whole_and_are_bounded(tmp_path):
    log = RequestLog(tmp_path, rate=1.0, max_records=4, max_files=2)
    rank_all(log, rounds=3)
    files = log_files(tmp_path)
    assert [len(list(read_recordings(file))) for file in files] == [4, 2]
    log = RequestLog(tmp_path / "open", rate=1.0)
    client = RankingClient(FakeTransport(), SCHEMA, request_log=log)
    with client:
        client.rank(REQUESTS[0])
        assert log_files(log.folder) == [], "not while it is written"
        assert log.rotate() in log_files(log.folder)
        assert log.rotate() is None
    small = RequestLog(tmp_path / "small", rate=1.0, max_bytes=2000)
    rank_all(small)
    assert all(f.stat().st_size < 2200 for f in log_files(small.folder))
    tiny = RequestLog(tmp_path / "tiny", rate=1.0, max_bytes=10)
    rank_all(tiny)
    assert tiny.stats() == {"written": 0, "dropped": len(REQUESTS)}


def test_no_failure_to_write_fails_a_ranking(tmp_path):
    log = RequestLog(tmp_path / "gone", rate=1.0)
    (tmp_path / "gone").rmdir()
    rank_all(log)
    assert log.stats() == {"written": 0, "dropped": len(REQUESTS)}


def test_empty_rankings_are_not_logged(tmp_path):
    log = RequestLog(tmp_path, rate=1.0)
    rank_all(log, [with_candidates(REQUESTS[0], 0)])
    assert log.stats()["written"] == 0


def test_wrong_settings_and_folders_are_errors(tmp_path):
    for options in ({"rate": 1.5}, {"rate": 1.0, "max_files": 0}):
        with pytest.raises(RequestError, match="must be"):
            RequestLog(tmp_path, **options)
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="file"):
        RequestLog(tmp_path / "file", rate=1.0)
    with pytest.raises(DataError, match="holds no request log"):
        list(read_request_log(tmp_path, SCHEMA))
