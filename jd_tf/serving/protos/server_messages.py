"""Messages of a model server's own text files, which no package carries.

The protos of batching and monitoring are compiled into the server but not
into `tensorflow-serving-api`. Their fields are described here, so that what
is written can be parsed as strictly as the server does: an unknown field or a
value of the wrong type is an error.

Source: `servables/tensorflow/session_bundle_config.proto` and
`config/monitoring_config.proto` of TensorFlow Serving.
"""

from typing import Any

from google.protobuf import text_format

from jd_tf.serving.errors import ExportError
from jd_tf.serving.protos.message_pool import MessagePool
from jd_tf.serving.protos.package import Package

# Text files know names only; the numbers and the package are ours.
_PACKAGE = Package(
    "jd_tf.serving",
    messages={
        "BatchingParameters": {
            1: "google.protobuf.Int64Value max_batch_size",
            2: "google.protobuf.Int64Value batch_timeout_micros",
            3: "google.protobuf.Int64Value num_batch_threads",
            4: "google.protobuf.Int64Value max_enqueued_batches",
            5: "google.protobuf.StringValue thread_pool_name",
            6: "repeated int64 allowed_batch_sizes",
            7: "bool pad_variable_length_inputs",
            8: "google.protobuf.BoolValue enable_large_batch_splitting",
            9: "google.protobuf.Int64Value max_execution_batch_size",
        },
        "PrometheusConfig": {
            1: "bool enable",
            2: "string path",
        },
        "MonitoringConfig": {
            1: "PrometheusConfig prometheus_config",
        },
    },
)
_POOL = MessagePool((_PACKAGE,))
BatchingParameters = _POOL.message("jd_tf.serving.BatchingParameters")
MonitoringConfig = _POOL.message("jd_tf.serving.MonitoringConfig")


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
