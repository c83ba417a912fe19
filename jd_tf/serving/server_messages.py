"""Messages of a model server's own text files, which no package carries.

The protos of batching and monitoring are compiled into the server but not
into `tensorflow-serving-api`. Their fields are described here, in a pool of
their own, so that what is written can be parsed as strictly as the server
does: an unknown field or a value of the wrong type is an error.

Source: `servables/tensorflow/session_bundle_config.proto` and
`config/monitoring_config.proto` of TensorFlow Serving.
"""

from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from jd_tf.serving.errors import ExportError

_PACKAGE = "jd_tf.serving"
_FIELD = descriptor_pb2.FieldDescriptorProto
_INT64 = ".google.protobuf.Int64Value"
_BOOL = ".google.protobuf.BoolValue"
_FIELDS = {
    "BatchingParameters": {
        "max_batch_size": _INT64,
        "batch_timeout_micros": _INT64,
        "num_batch_threads": _INT64,
        "max_enqueued_batches": _INT64,
        "thread_pool_name": ".google.protobuf.StringValue",
        "allowed_batch_sizes": _FIELD.TYPE_INT64,
        "pad_variable_length_inputs": _FIELD.TYPE_BOOL,
        "enable_large_batch_splitting": _BOOL,
        "max_execution_batch_size": _INT64,
    },
    "PrometheusConfig": {
        "enable": _FIELD.TYPE_BOOL,
        "path": _FIELD.TYPE_STRING,
    },
    "MonitoringConfig": {"prometheus_config": f".{_PACKAGE}.PrometheusConfig"},
}
_REPEATED = ("allowed_batch_sizes",)


def _make_messages() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="jd_tf/server_messages.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        # Text files know names only; the numbers are ours.
        for number, (name, kind) in enumerate(fields.items(), start=1):
            repeated = name in _REPEATED
            field = described.field.add(
                name=name,
                number=number,
                label=_FIELD.LABEL_REPEATED
                if repeated
                else _FIELD.LABEL_OPTIONAL,
            )
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, kind
            else:
                field.type = kind
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        )
        for name in _FIELDS
    }


_MESSAGES = _make_messages()
BatchingParameters = _MESSAGES["BatchingParameters"]
MonitoringConfig = _MESSAGES["MonitoringConfig"]


def parse_text(text: str, message: type, where: str) -> Any:
    """Parses a text proto as strictly as a model server.

    Args:
        text: of the file.
        message: class of the message it should hold.
        where: the file, for the error.

    Raises:
        ExportError: naming the line that is wrong.
    """
    try:
        return text_format.Parse(text, message())
    except text_format.ParseError as error:
        raise ExportError(f"{where}: not a {message.__name__}: {error}.") from (
            error
        )
