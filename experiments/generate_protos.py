"""Writes the descriptors of a model server's messages to one file.

    python -m experiments.generate_protos

They come from `tensorflow-serving-api` and TensorFlow, which only this
program imports; `jd_tf.serving.protos.messages` loads the file without them.
Run it after an update of those packages.
"""

import importlib
from typing import Any

from google.protobuf import descriptor_pb2

from experiments import program
from jd_tf.serving.protos.messages import FILE

_MODULES = (
    "get_model_metadata_pb2",
    "model_service_pb2",
    "prediction_log_pb2",
    "prediction_service_pb2",
)
# Of messages in the server's own text files, which no package carries. Text
# files know names only; the numbers and the package are ours. Sources:
# `servables/tensorflow/session_bundle_config.proto` and
# `config/monitoring_config.proto` of TensorFlow Serving.
_TEXT_PACKAGE = "jd_tf.serving"
_TEXT_MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": ".google.protobuf.Int64Value",
        "batch_timeout_micros": ".google.protobuf.Int64Value",
        "num_batch_threads": ".google.protobuf.Int64Value",
        "max_enqueued_batches": ".google.protobuf.Int64Value",
        "thread_pool_name": ".google.protobuf.StringValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": ".google.protobuf.BoolValue",
        "max_execution_batch_size": ".google.protobuf.Int64Value",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {
        "prometheus_config": f".{_TEXT_PACKAGE}.PrometheusConfig"
    },
}


def file_set() -> descriptor_pb2.FileDescriptorSet:
    """Returns the descriptors, those that others refer to first."""
    from google.protobuf import wrappers_pb2

    collected: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def collect(file: Any) -> None:
        for dependency in file.dependencies:
            collect(dependency)
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        collected.setdefault(file.name, proto)

    collect(wrappers_pb2.DESCRIPTOR)
    for name in _MODULES:
        module = importlib.import_module(f"tensorflow_serving.apis.{name}")
        collect(module.DESCRIPTOR)
    return descriptor_pb2.FileDescriptorSet(
        file=[*collected.values(), _text_file()]
    )


def _text_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="jd_tf/serving/server_text_files.proto",
        package=_TEXT_PACKAGE,
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for name, fields in _TEXT_MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field_name, kind) in enumerate(fields.items(), start=1):
            field = message.field.add(name=field_name, number=number)
            repeated, kind = kind.startswith("repeated "), kind.split()[-1]
            field.label = (
                field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            )
            if kind.startswith("."):
                field.type, field.type_name = field.TYPE_MESSAGE, kind
            else:
                field.type = field.Type.Value(f"TYPE_{kind.upper()}")
    return file


def main(_: object) -> None:
    """Writes the file."""
    FILE.write_bytes(file_set().SerializeToString(deterministic=True))
    print(f"wrote {FILE}")


if __name__ == "__main__":
    program.run(main)
