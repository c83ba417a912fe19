"""Arrays on the wire, against TensorFlow's own conversions."""

import numpy as np
import pytest
import tensorflow as tf

from jd_tf.serving.client.errors import AnswerError, RequestError
from jd_tf.serving.client.tensors import to_array, to_proto

KINDS = [
    "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool", "float16",
    tf.bfloat16.as_numpy_dtype,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 0), (1, 2, 2)])
def test_numbers_are_what_tensorflow_reads_and_writes(kind, shape):
    array = np.random.default_rng(1).integers(0, 2, shape).astype(kind)
    sent = to_proto(array)
    np.testing.assert_array_equal(tf.make_ndarray(sent), array)
    if array.size:
        assert sent.tensor_content, "bytes, no field per element"
    for proto in (sent, tf.make_tensor_proto(array)):
        read = to_array(proto)
        assert read.dtype == array.dtype
        assert read.shape == shape
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("float32", "float_val"), ("float64", "double_val"),
        ("int32", "int_val"), ("int8", "int_val"), ("int64", "int64_val"),
        ("bool", "bool_val"), ("uint64", "uint64_val"),
    ],
)  # fmt: skip
def test_fields_per_element_are_read(kind, field):
    array = np.array([[1, 0, 1], [0, 1, 1]], kind)
    proto = tf.make_tensor_proto(array)
    proto.ClearField("tensor_content")
    proto.ClearField(field)
    getattr(proto, field).extend(array.ravel().tolist())
    read = to_array(proto)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_half_precision_fields_are_bits():
    for kind in (np.float16, tf.bfloat16.as_numpy_dtype):
        array = np.array([1.5, -2.0], kind)
        proto = to_proto(array)
        proto.tensor_content = b""
        proto.half_val.extend(array.view(np.uint16).tolist())
        np.testing.assert_array_equal(to_array(proto), array)


def test_the_last_value_is_repeated():
    proto = tf.make_tensor_proto(2.5, shape=[2, 2])
    np.testing.assert_array_equal(to_array(proto), np.full((2, 2), 2.5, "f4"))


@pytest.mark.parametrize(
    "texts",
    [
        [b"a", b"\xff\0"],
        ["ä", "b"],
        np.array(["x", "yz"]),
        np.array([], object),
    ],
)
def test_texts(texts):
    array = np.asarray(texts, object) if isinstance(texts, list) else texts
    expected = [t.encode() if isinstance(t, str) else t for t in array]
    sent = to_proto(array)
    assert tf.make_ndarray(sent).tolist() == expected
    assert to_array(sent).tolist() == expected


def test_what_is_no_tensor_is_an_error():
    with pytest.raises(RequestError, match="datetime64"):
        to_proto(np.array(["2020-01-01"], "datetime64[D]"))
    proto = to_proto(np.zeros((2, 2), "float32"))
    proto.tensor_shape.dim[0].size = 3
    with pytest.raises(AnswerError, match=r"DT_FLOAT with shape \[3, 2\]"):
        to_array(proto)
    proto = tf.make_tensor_proto([1.0, 2.0])
    proto.dtype = 20
    with pytest.raises(AnswerError, match="DT_RESOURCE"):
        to_array(proto)
