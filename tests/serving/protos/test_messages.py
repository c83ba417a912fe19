"""Our messages against TensorFlow's and TensorFlow Serving's own."""

import math

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2

from experiments.generate_protos import file_set
from jd_tf.serving.client.tensors import to_array, to_proto
from jd_tf.serving.errors import ExportError
from jd_tf.serving.protos import messages
from jd_tf.serving.protos.messages import (
    DATA_TYPES,
    POOL,
    BatchingParameters,
    PredictRequest,
    SignatureDefMap,
    dtype_name,
    message,
    parse_text,
    signature_table,
)


def test_descriptors_are_those_of_the_installed_packages():
    made = file_set()
    checked_in = type(made).FromString(messages.FILE.read_bytes())
    remedy = "run: python -m experiments.generate_protos"
    assert [f.name for f in checked_in.file] == [f.name for f in made.file], (
        remedy
    )
    for ours, theirs in zip(checked_in.file, made.file, strict=True):
        assert ours == theirs, f"{ours.name}: {remedy}"


def test_the_pool_is_our_own():
    official = tf.make_tensor_proto(1.0)
    ours = message("tensorflow.TensorProto")
    assert ours.DESCRIPTOR.full_name == official.DESCRIPTOR.full_name
    assert ours.DESCRIPTOR is not official.DESCRIPTOR


def test_every_method_is_in_the_pool():
    opened = {}

    class Channel:
        def unary_unary(self, path, request_serializer, response_deserializer):
            opened[path] = request_serializer, response_deserializer

    for path in (
        messages.PREDICT,
        messages.GET_MODEL_METADATA,
        messages.GET_MODEL_STATUS,
        messages.RELOAD_CONFIG,
    ):
        messages.open_method(Channel(), path)
    serialize, _ = opened["/tensorflow.serving.PredictionService/Predict"]
    assert serialize(PredictRequest()) == b""


def test_metadata_of_a_server_are_unpacked():
    official = get_model_metadata_pb2.SignatureDefMap()
    info = official.signature_def["serving_default"].inputs["item_id"]
    info.name, info.dtype = "serving_default_item_id:0", 9
    info.tensor_shape.dim.add(size=-1)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(official)
    kind = message("tensorflow.serving.GetModelMetadataResponse")
    ours = kind.FromString(response.SerializeToString())
    signatures = SignatureDefMap()
    assert ours.metadata["signature_def"].Unpack(signatures)
    table = signature_table(signatures)
    assert table == signature_table(official)
    assert table["serving_default"]["inputs"]["item_id"] == {
        "dtype": "int64",
        "shape": [None],
    }
    assert not ours.metadata["signature_def"].Unpack(PredictRequest())


def test_types_have_the_names_of_tensorflow():
    named = [n for n in DATA_TYPES if "DO_NOT_USE" not in DATA_TYPES[n]]
    for number in named:
        if number:
            assert dtype_name(number) == tf.as_dtype(number).name
    assert len(named) > 30
    assert dtype_name(0) == "invalid"
    assert dtype_name(77) == "77"


def test_tensors_are_what_tensorflow_makes_of_them():
    official = type(tf.make_tensor_proto(1.0))
    for array in (
        np.array([[1.5, -math.inf], [2.0, 3.0]], "float32"),
        np.array([b"a", b"\xff"], object),
    ):
        sent = official.FromString(to_proto(array).SerializeToString())
        np.testing.assert_array_equal(tf.make_ndarray(sent), array)
        made = tf.make_tensor_proto(array).SerializeToString()
        ours = type(to_proto(array)).FromString(made)
        np.testing.assert_array_equal(to_array(ours), array)
        assert POOL.FindFileByName("tensorflow/core/framework/tensor.proto")


def test_text_files_are_parsed_as_strictly_as_by_a_server():
    text = "max_batch_size { value: 8 } allowed_batch_sizes: [4, 8]"
    parsed = parse_text(text, BatchingParameters, "file")
    assert parsed.max_batch_size.value == 8
    assert list(parsed.allowed_batch_sizes) == [4, 8]
    for wrong in ("max_batch_size: 8", "batch_size { value: 8 }"):
        with pytest.raises(ExportError, match="file: not a BatchingParameters"):
            parse_text(wrong, BatchingParameters, "file")
