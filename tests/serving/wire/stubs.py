"""Bare messages, for what no client of ours would send."""

import contextlib
import json
import urllib.error
import urllib.request

import grpc
import pytest
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from jd_tf.serving.client.channel import open_channel
from jd_tf.serving.client.tensors import to_proto


class Stubs:
    """Sends what it is told to."""

    def __init__(self, server):
        self.server = server
        self._channel = open_channel(server.address)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )

    def predict(self, inputs, signature="", timeout=60, filters=(), **spec):
        request = predict_pb2.PredictRequest()
        fill(request.model_spec, **spec)
        request.model_spec.signature_name = signature
        request.output_filter.extend(filters)
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(to_proto(array))
        return self._stub.Predict(request, timeout=timeout)

    def metadata(self, fields=("signature_def",), **spec):
        request = get_model_metadata_pb2.GetModelMetadataRequest()
        fill(request.model_spec, **spec)
        request.metadata_field.extend(fields)
        return self._stub.GetModelMetadata(request, timeout=60)

    def rest(self, path, body=None):
        """Status and parsed body; text where it is no JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server.rest_url + path, data)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, error.read()
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content.decode()

    def close(self):
        self._channel.close()


def fill(spec, name="rank", version=None, label=None):
    spec.name = name
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label


@contextlib.contextmanager
def refused(code, text=""):
    """The block ends with this gRPC code."""
    with pytest.raises(grpc.RpcError) as caught:
        yield caught
    assert caught.value.code().name == code, caught.value.details()
    assert text in caught.value.details()
