"""TensorFlow's own messages, by the names of ours."""

from google.protobuf import descriptor_pool, message_factory
from tensorflow.core.protobuf import error_codes_pb2, meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2,
    prediction_log_pb2,
    prediction_service_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

# Importing them is what fills the default pool.
MODULES = (
    error_codes_pb2,
    meta_graph_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    prediction_log_pb2,
    model_server_config_pb2,
)
SERVICES = {
    service.full_name: service
    for module in (model_service_pb2, prediction_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}
_POOL = descriptor_pool.Default()


def official_message(name):
    """The class of a message, by its full name."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


def official_enum(name):
    """Name -> number of an enum, by its full name."""
    values = _POOL.FindEnumTypeByName(name).values
    return {value.name: value.number for value in values}
