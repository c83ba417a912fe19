"""Our messages against TensorFlow's and TensorFlow Serving's own."""

import math

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from jd_tf.serving.client.tensors import to_array, to_proto
from jd_tf.serving.export.signature_table import dtype_name, signature_table
from jd_tf.serving.protos import methods
from jd_tf.serving.protos.message_pool import MessagePool
from jd_tf.serving.protos.messages import (
    DATA_TYPES,
    POOL,
    GetModelMetadataResponse,
    PredictRequest,
    SignatureDefMap,
)
from jd_tf.serving.protos.package import Package
from jd_tf.serving.protos.serving_package import SERVING
from jd_tf.serving.protos.tensorflow_package import ERROR, TENSORFLOW
from tests.serving.protos.official import (
    SERVICES,
    official_enum,
    official_message,
)

PACKAGES = (ERROR, TENSORFLOW, SERVING)
MESSAGES = [f"{p.name}.{name}" for p in PACKAGES for name in p.messages]
ENUMS = {
    f"{p.name}.{name}": values
    for p in PACKAGES
    for name, values in p.enums.items()
}
# A number that no released C++ code has; protobuf keeps a place for it.
RESERVED = "DO_NOT_USE"


def described(field):
    """All that decides how a field is written."""
    kind = field.message_type or field.enum_type
    entry = field.message_type
    is_map = bool(entry and entry.GetOptions().map_entry)
    return {
        "name": field.name,
        "type": field.type,
        "of": kind.full_name if kind else None,
        "repeated": field.is_repeated,
        "packed": field.is_packed,
        "presence": field.has_presence,
        "oneof": field.containing_oneof and field.containing_oneof.name,
        "map": [described(f) for f in entry.fields] if is_map else None,
    }


@pytest.mark.parametrize("name", MESSAGES)
def test_fields_are_the_official_ones(name):
    ours = POOL.message(name).DESCRIPTOR
    official = official_message(name).DESCRIPTOR
    assert ours.full_name == official.full_name == name
    assert ours is not official, "a pool of our own"
    for field in ours.fields:
        assert described(field) == described(
            official.fields_by_number[field.number]
        )


@pytest.mark.parametrize("name", ENUMS)
def test_enums_are_the_official_ones(name):
    official = official_enum(name)
    ours = {value: number for number, value in ENUMS[name].items()}
    rest = {value for value in official if value not in ours}
    assert all(value.startswith(RESERVED) for value in rest)
    assert ours == {v: n for v, n in official.items() if v not in rest}


def test_methods_are_the_official_ones():
    for path, (request, response) in methods._MESSAGES.items():
        _, service, name = path.split("/")
        official = SERVICES[service].methods_by_name[name]
        assert request.DESCRIPTOR.full_name == official.input_type.full_name
        assert response.DESCRIPTOR.full_name == official.output_type.full_name


def filled(message, generator, depth=0):
    """Puts something into every field; a oneof keeps its last."""
    for field in message.DESCRIPTOR.fields:
        if field.type == field.TYPE_MESSAGE:
            fill_message(message, field, generator, depth)
            continue
        values = [value_of(field, generator) for _ in range(3)]
        if field.is_repeated:
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, values[0])
    return message


def fill_message(message, field, generator, depth):
    if depth > 6:
        return
    inner = getattr(message, field.name)
    if not field.message_type.GetOptions().map_entry:
        part = inner.add() if field.is_repeated else inner
        part.SetInParent()
        filled(part, generator, depth + 1)
        return
    key, value = field.message_type.fields
    for _ in range(2):
        name = value_of(key, generator)
        if value.type == value.TYPE_MESSAGE:
            filled(inner[name], generator, depth + 1)
        else:
            inner[name] = value_of(value, generator)


def value_of(field, generator):
    if field.type == field.TYPE_ENUM:
        return int(generator.choice([v.number for v in field.enum_type.values]))
    if field.type == field.TYPE_STRING:
        return f"text ä {generator.integers(1e6)}"
    if field.type == field.TYPE_BYTES:
        return generator.bytes(5)
    if field.type == field.TYPE_BOOL:
        return bool(generator.integers(2))
    if field.type == field.TYPE_FLOAT:
        return float(np.float32(generator.normal()))
    if field.type == field.TYPE_DOUBLE:
        return float(generator.normal())
    bits = 32 if field.type in (field.TYPE_INT32, field.TYPE_UINT32) else 63
    signed = field.type in (field.TYPE_INT32, field.TYPE_INT64)
    low = -(2 ** (bits - 1)) if signed else 0
    return int(generator.integers(low, 2 ** (bits - 1)))


@pytest.mark.parametrize("name", MESSAGES)
def test_bytes_go_there_and_back(name):
    ours, official = POOL.message(name), official_message(name)
    sent = filled(ours(), np.random.default_rng(7))
    read = official.FromString(sent.SerializeToString())
    for field, _ in sent.ListFields():
        assert field.number in {f.number for f, _ in read.ListFields()}
    assert not unknown_to(read), "every field of ours has its official place"
    back = ours.FromString(read.SerializeToString())
    assert back == sent
    as_text = text_format.MessageToString
    assert as_text(read, print_unknown_fields=True) == as_text(sent)


def unknown_to(message):
    """Whether there are fields, at any depth, that the class lacks."""
    with_them = text_format.MessageToString(message, print_unknown_fields=True)
    return with_them != text_format.MessageToString(message)


@pytest.mark.parametrize("name", MESSAGES)
def test_what_only_they_know_is_kept(name):
    ours, official = POOL.message(name), official_message(name)
    sent = filled(official(), np.random.default_rng(8), depth=3)
    kept = ours.FromString(sent.SerializeToString())
    assert official.FromString(kept.SerializeToString()) == sent


def test_metadata_of_a_server_are_unpacked():
    official = official_message("tensorflow.serving.SignatureDefMap")()
    info = official.signature_def["serving_default"].inputs["item_id"]
    info.name, info.dtype = "serving_default_item_id:0", 9
    info.tensor_shape.dim.add(size=-1)
    sparse = official.signature_def["serving_default"].inputs["tags"]
    sparse.coo_sparse.values_tensor_name = "values:0"
    response = official_message("tensorflow.serving.GetModelMetadataResponse")()
    response.metadata["signature_def"].Pack(official)
    ours = GetModelMetadataResponse.FromString(response.SerializeToString())
    signatures = SignatureDefMap()
    assert ours.metadata["signature_def"].Unpack(signatures)
    table = signature_table(signatures)
    assert table == signature_table(official)
    assert table["serving_default"]["inputs"]["item_id"] == {
        "dtype": "int64",
        "shape": [None],
    }
    back = GetModelMetadataResponse()
    back.metadata["signature_def"].Pack(signatures)
    assert ours.metadata["signature_def"].type_url == (
        back.metadata["signature_def"].type_url
    )
    assert not ours.metadata["signature_def"].Unpack(PredictRequest())


def test_types_are_called_as_tensorflow_calls_them():
    for number in DATA_TYPES:
        if number:
            assert dtype_name(number) == tf.as_dtype(number).name
    assert dtype_name(0) == "invalid"
    assert dtype_name(77) == "77"


def test_tensors_are_what_tensorflow_makes_of_them():
    official = official_message("tensorflow.TensorProto")
    for array in (
        np.array([[1.5, -math.inf], [2.0, 3.0]], "float32"),
        np.array([b"a", b"\xff"], object),
    ):
        sent = official.FromString(to_proto(array).SerializeToString())
        np.testing.assert_array_equal(tf.make_ndarray(sent), array)
        made = tf.make_tensor_proto(array).SerializeToString()
        ours = type(to_proto(array)).FromString(made)
        np.testing.assert_array_equal(to_array(ours), array)


def test_malformed_tables_are_told():
    for line, complaint in (
        ("string", "field 1 is malformed: 'string'"),
        ("Strange thing", "nothing is called 'Strange'"),
    ):
        package = Package("some.package", {"Message": {1: line}})
        with pytest.raises(ValueError, match=rf"some.package.M.*{complaint}"):
            MessagePool((package,))
