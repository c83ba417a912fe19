"""Bare messages, for what no client of ours would send."""

import contextlib
import json
import urllib.error
import urllib.request

import grpc
import pytest

from jd_tf.serving.client.grpc_transport import open_channel
from jd_tf.serving.client.tensors import fill_proto
from jd_tf.serving.protos.messages import (
    GET_MODEL_METADATA,
    PREDICT,
    GetModelMetadataRequest,
    PredictRequest,
    open_method,
)


class Stubs:
    """Sends any message."""

    def __init__(self, server):
        self.server = server
        self._channel = open_channel(server.address)
        self._predict = open_method(self._channel, PREDICT)
        self._metadata = open_method(self._channel, GET_MODEL_METADATA)

    def predict(self, inputs, signature="", timeout=60, filters=(), **spec):
        request = PredictRequest()
        fill(request.model_spec, **spec)
        request.model_spec.signature_name = signature
        request.output_filter.extend(filters)
        for name, array in inputs.items():
            fill_proto(request.inputs[name], array)
        return self._predict(request, timeout=timeout)

    def metadata(self, fields=("signature_def",), **spec):
        request = GetModelMetadataRequest()
        fill(request.model_spec, **spec)
        request.metadata_field.extend(fields)
        return self._metadata(request, timeout=60)

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
