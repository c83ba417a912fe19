"""The documented rules of a model server, the fake or the real one."""

import base64
import threading
import time

import numpy as np
import pytest

from jd_tf.data.validation import RequestValidator
from jd_tf.schema import SERVING_ROLES
from jd_tf.serving.batching import pad_requests
from jd_tf.serving.client.errors import (
    ClientError,
    ModelNotFoundError,
    RejectedError,
)
from jd_tf.serving.client.grpc_transport import open_channel
from jd_tf.serving.client.model_service_client import ModelServiceClient
from jd_tf.serving.client.tensors import to_arrays
from jd_tf.serving.protos.messages import ModelServerConfig, parse_text
from tests.serving.client.against_server.stubs import Stubs, refused
from tests.serving.fake_server.model_server import add_model, model_config
from tests.serving.fake_server.options import BatchingOptions
from tests.serving.fake_server.start import model_server


@pytest.fixture(scope="module")
def stubs(server):
    stubs = Stubs(server)
    yield stubs
    stubs.close()


@pytest.fixture(scope="module")
def service(server):
    with open_channel(server.address) as channel:
        yield ModelServiceClient(channel, server.address)


def inputs_of(two_versions, *requests):
    checker = RequestValidator(two_versions.schema, SERVING_ROLES)
    columns = two_versions.schema.columns(*SERVING_ROLES)
    return pad_requests([checker.check(r) for r in requests], columns)


def test_names_and_dtypes_are_checked(stubs, two_versions, requests):
    inputs = inputs_of(two_versions, requests[0])
    answer = stubs.predict(inputs)
    assert answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "serving_default"
    with refused("INVALID_ARGUMENT", "item_idd"):
        stubs.predict({**inputs, "item_idd": inputs["item_id"]})
    with refused("INVALID_ARGUMENT", "hour"):
        stubs.predict({n: a for n, a in inputs.items() if n != "hour"})
    with refused("INVALID_ARGUMENT", "to be"):
        stubs.predict({**inputs, "hour": inputs["hour"].astype("float32")})
    with refused("FAILED_PRECONDITION", "nothing"):
        stubs.predict(inputs, "nothing")


def test_outputs_can_be_chosen(stubs, two_versions, requests):
    inputs = inputs_of(two_versions, requests[0])
    assert set(stubs.predict(inputs, filters=["score"]).outputs) == {"score"}
    with refused("INVALID_ARGUMENT", "rank"):
        stubs.predict(inputs, filters=["rank"])


def test_versions_and_labels(stubs, two_versions, requests):
    inputs = inputs_of(two_versions, requests[0])
    for spec, version in (
        ({}, 2),
        ({"version": 1}, 1),
        ({"label": "stable"}, 1),
        ({"label": "canary"}, 2),
    ):
        answer = stubs.predict(inputs, **spec)
        assert answer.model_spec.version.value == version
    with refused("NOT_FOUND", "Servable not found"):
        stubs.predict(inputs, version=0)
    with refused("NOT_FOUND", "Servable not found"):
        stubs.predict(inputs, name="other")
    with refused("INVALID_ARGUMENT"):
        stubs.predict(inputs, label="beta")


def test_metadata_is_of_signatures_only(stubs):
    answer = stubs.metadata()
    assert answer.model_spec.version.value == 2
    for fields in ((), ("graph",)):
        with refused("INVALID_ARGUMENT"):
            stubs.metadata(fields)


def test_status(service):
    found = service.status("rank")
    assert {v: s.state for v, s in found.items()} == {
        1: "AVAILABLE",
        2: "AVAILABLE",
    }
    assert list(service.status("rank", version=2)) == [2]
    for arguments in (("other",), ("rank", 7)):
        with pytest.raises(ModelNotFoundError):
            service.status(*arguments)


def test_rest_answers_columns_and_rows_alike(stubs, two_versions, requests):
    inputs = inputs_of(two_versions, *requests[:2])
    plain = {
        name: array.astype(str).tolist()
        if array.dtype == object
        else array.tolist()
        for name, array in inputs.items()
    }
    for name, array in inputs.items():
        if array.dtype == object:
            plain[name] = [
                [{"b64": base64.b64encode(t).decode()} for t in row]
                for row in array
            ]
    rows = [
        {name: values[row] for name, values in plain.items()} for row in (0, 1)
    ]
    path = "/v1/models/rank:predict"
    status, columns = stubs.rest(path, {"inputs": {**plain, "unknown": 1}})
    assert status == 200, columns
    status, by_row = stubs.rest(path, {"instances": rows})
    assert status == 200, by_row
    expected = to_arrays(stubs.predict(inputs).outputs)
    for name, array in expected.items():
        np.testing.assert_allclose(columns["outputs"][name], array, 1e-5, 1e-6)
        np.testing.assert_allclose(
            [row[name] for row in by_row["predictions"]], array, 1e-5, 1e-6
        )


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"instances": []},
        {"instances": [{"hour": 1}], "inputs": {"hour": [1]}},
        {"inputs": {"hour": [1]}},
        {"inputs": None},
        {"instances": [{"hour": 1, "other": 2}]},
    ],
    ids=str,
)
def test_rest_refuses(body, stubs):
    status, answer = stubs.rest("/v1/models/rank:predict", body)
    assert status == 400
    assert isinstance(answer["error"], str)


def test_rest_integers_are_no_decimals(stubs, two_versions, requests):
    inputs = inputs_of(two_versions, requests[0])
    plain = {n: a.tolist() for n, a in inputs.items() if a.dtype != object}
    for name, array in inputs.items():
        if array.dtype == object:
            plain[name] = [[t.decode() for t in row] for row in array]
    path = "/v1/models/rank/versions/1:predict"
    assert stubs.rest(path, {"inputs": plain})[0] == 200
    status, _ = stubs.rest(path, {"inputs": {**plain, "hour": [2.0]}})
    assert status == 400


def test_rest_paths(stubs):
    status, answer = stubs.rest("/v1/models/rank")
    assert status == 200
    states = {s["version"]: s["state"] for s in answer["model_version_status"]}
    assert states == {"1": "AVAILABLE", "2": "AVAILABLE"}
    for path, version in (
        ("", "2"),
        ("/versions/1", "1"),
        ("/labels/stable", "1"),
    ):
        status, answer = stubs.rest(f"/v1/models/rank{path}/metadata")
        assert status == 200
        assert answer["model_spec"]["version"] == version
    assert stubs.rest("/v1/models/other")[0] == 404
    assert stubs.rest("/v1/models/rank/versions/7/metadata")[0] == 404
    assert stubs.rest("/v1/models/rank/labels/beta/metadata")[0] == 400
    status, html = stubs.rest("/v2/models/rank")
    assert status == 404
    assert isinstance(html, str)


def test_reloads_are_checked_before_they_apply(two_versions, tmp_path):
    base = tmp_path / "rank"
    for version in (1, 2):
        two_versions.publish(version, base)
    config = model_config("rank", base, versions=(1,), labels={"stable": 1})
    with (
        model_server(config, warm=False) as server,
        open_channel(server.address) as channel,
    ):
        service = ModelServiceClient(channel)
        # A label may not move to what is not there yet, and the versions
        # of the same request do not come either.
        moved = model_config(
            "rank", base, versions=(1, 2), labels={"stable": 2}
        )
        with pytest.raises(RejectedError, match="FAILED_PRECONDITION"):
            service.reload_config(moved, 60)
        with pytest.raises(RejectedError):
            service.reload_config(type(config)(), 60)
        with pytest.raises(ClientError):
            service.reload_config(model_config("rank", "relative"), 60)
        assert not any(
            s.available for v, s in service.status("rank").items() if v == 2
        )
        # Known model: answered at once; new one: when it answers.
        both = model_config("rank", base, versions=(1, 2), labels={"stable": 1})
        add_model(both, "second", base, versions=(2,))
        service.reload_config(both, 120)
        assert service.status("second")[2].available
        server.wait_until("rank", 2)
        service.reload_config(moved, 60)
        # What is left out is unloaded.
        server.wait_until("second", 2, "END")
        stubs = Stubs(server)
        assert stubs.metadata(label="stable").model_spec.version.value == 2
        # A label that was left behind is an error of the request.
        left = model_config("rank", base, versions=(1,), labels={"stable": 2})
        service.reload_config(left, 60)
        server.wait_until("rank", 2, "END")
        with refused("NOT_FOUND"):
            stubs.metadata(label="stable")
        stubs.close()
        nothing = parse_text("model_config_list {}", ModelServerConfig, "")
        service.reload_config(nothing, 60)
        server.wait_until("rank", 1, "END")


def test_batches_join_rows_and_pad_with_the_first_element(
    two_versions, requests, tmp_path
):
    """Neighbours of other lengths change no answer."""
    two_versions.publish(1, tmp_path)
    options = BatchingOptions(
        max_batch_size=4,
        batch_timeout_micros=5_000_000,
        allowed_batch_sizes=(2, 4),
        pad_variable_length_inputs=True,
    )
    config = model_config("rank", tmp_path)
    with model_server(config, batching=options, warm=False) as server:
        stubs = Stubs(server)
        with refused("INVALID_ARGUMENT", "0th-dimension"):
            stubs.predict(
                {
                    **inputs_of(two_versions, requests[0]),
                    "hour": np.array([1, 2]),
                }
            )
        with refused("INVALID_ARGUMENT", "larger than maximum"):
            stubs.predict(inputs_of(two_versions, *requests[:4], requests[0]))
        start = time.monotonic()
        with refused("DEADLINE_EXCEEDED"):
            empty = inputs_of(two_versions, requests[0])
            stubs.predict({n: a[:0] for n, a in empty.items()}, timeout=1.0)
        assert time.monotonic() - start > 0.9, "no rows are never answered"
        answers = {}

        def ask(number):
            inputs = inputs_of(two_versions, requests[number])
            answers[number] = to_arrays(stubs.predict(inputs).outputs)

        asking = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        widths = {answers[n]["score"].shape[1] for n in range(4)}
        counts = [len(requests[n]["item_id"]) for n in range(4)]
        assert max(widths) == max(counts), "answers keep the padded width"
        assert len(widths) < len(set(counts)), "some were batched"
        for number, count in enumerate(counts):
            expected = two_versions.references[1].rank(requests[number], 60)
            np.testing.assert_allclose(
                answers[number]["score"][0, :count],
                expected.scores[np.argsort(expected.order)],
                rtol=1e-4,
                atol=1e-5,
            )
        if server.kind == "fake":
            (loaded,) = [
                r.loaded for r in server.manager.records.values() if r.loaded
            ]
            assert set(loaded.batch_sizes()) & {2, 3, 4}
        stubs.close()
