"""Messages of TensorFlow: tensors, and signatures of a SavedModel.

What clients of a model server need, no more; a field that is not here is
kept as it came. Source: `tensor.proto`, `tensor_shape.proto`, `types.proto`
of `tensorflow/core/framework`, `meta_graph.proto` and `error_codes.proto` of
`tensorflow/core/protobuf`; tests compare with the installed ones.
"""

from jd_tf.serving.protos.package import Package

_DATA_TYPES = {
    0: "DT_INVALID",
    1: "DT_FLOAT",
    2: "DT_DOUBLE",
    3: "DT_INT32",
    4: "DT_UINT8",
    5: "DT_INT16",
    6: "DT_INT8",
    7: "DT_STRING",
    8: "DT_COMPLEX64",
    9: "DT_INT64",
    10: "DT_BOOL",
    11: "DT_QINT8",
    12: "DT_QUINT8",
    13: "DT_QINT32",
    14: "DT_BFLOAT16",
    15: "DT_QINT16",
    16: "DT_QUINT16",
    17: "DT_UINT16",
    18: "DT_COMPLEX128",
    19: "DT_HALF",
    20: "DT_RESOURCE",
    21: "DT_VARIANT",
    22: "DT_UINT32",
    23: "DT_UINT64",
    24: "DT_FLOAT8_E5M2",
    25: "DT_FLOAT8_E4M3FN",
    26: "DT_FLOAT8_E4M3FNUZ",
    27: "DT_FLOAT8_E4M3B11FNUZ",
    28: "DT_FLOAT8_E5M2FNUZ",
    29: "DT_INT4",
    30: "DT_UINT4",
    31: "DT_INT2",
    32: "DT_UINT2",
    33: "DT_FLOAT4_E2M1FN",
}

ERROR = Package(
    "tensorflow.error",
    messages={},
    enums={
        "Code": {
            0: "OK",
            1: "CANCELLED",
            2: "UNKNOWN",
            3: "INVALID_ARGUMENT",
            4: "DEADLINE_EXCEEDED",
            5: "NOT_FOUND",
            6: "ALREADY_EXISTS",
            7: "PERMISSION_DENIED",
            8: "RESOURCE_EXHAUSTED",
            9: "FAILED_PRECONDITION",
            10: "ABORTED",
            11: "OUT_OF_RANGE",
            12: "UNIMPLEMENTED",
            13: "INTERNAL",
            14: "UNAVAILABLE",
            15: "DATA_LOSS",
            16: "UNAUTHENTICATED",
        },
    },
)

TENSORFLOW = Package(
    "tensorflow",
    messages={
        "TensorShapeProto": {
            2: "repeated Dim dim",
            3: "bool unknown_rank",
        },
        "TensorShapeProto.Dim": {
            1: "int64 size",
            2: "string name",
        },
        "TensorProto": {
            1: "DataType dtype",
            2: "TensorShapeProto tensor_shape",
            3: "int32 version_number",
            4: "bytes tensor_content",
            5: "repeated float float_val",
            6: "repeated double double_val",
            7: "repeated int32 int_val",
            8: "repeated bytes string_val",
            9: "repeated float scomplex_val",
            10: "repeated int64 int64_val",
            11: "repeated bool bool_val",
            12: "repeated double dcomplex_val",
            13: "repeated int32 half_val",
            16: "repeated uint32 uint32_val",
            17: "repeated uint64 uint64_val",
            18: "bytes float8_val",
        },
        "TensorInfo": {
            1: "oneof encoding string name",
            2: "DataType dtype",
            3: "TensorShapeProto tensor_shape",
        },
        "SignatureDef": {
            1: "map<string, TensorInfo> inputs",
            2: "map<string, TensorInfo> outputs",
            3: "string method_name",
            4: "map<string, TensorProto> defaults",
        },
    },
    enums={
        "DataType": {
            **_DATA_TYPES,
            # References to variables, which no signature has any more.
            **{
                100 + number: f"{name}_REF"
                for number, name in _DATA_TYPES.items()
                if number
            },
        },
    },
)
