"""PredictionService and ModelService of the fake server."""

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.fake_server.status_error import StatusError, invalid

_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int32": "int_val",
    "int64": "int64_val",
    "bool": "bool_val",
}
_PATIENCE = 3600.0


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the rest is not implemented."""

    def __init__(self, server):
        self._server = server

    def Predict(self, request, context):  # noqa: N802
        return answered(context, self._predict, request, context)

    def GetModelMetadata(self, request, context):  # noqa: N802
        return answered(context, self._metadata, request)

    def _predict(self, request, context):
        server = self._server
        loaded = server.manager.find(request.model_spec)
        try:
            arrays = {n: tf.make_ndarray(p) for n, p in request.inputs.items()}
        except (TypeError, ValueError) as error:
            raise invalid(f"tensor parsing error: {error}") from error
        name = request.model_spec.signature_name
        remaining = context.time_remaining()
        outputs = loaded.run(
            name,
            {n: np.asarray(a) for n, a in arrays.items()},
            request.output_filter,
            _PATIENCE if remaining is None else remaining,
        )
        response = predict_pb2.PredictResponse()
        _fill_spec(response.model_spec, loaded, name)
        for output, array in outputs.items():
            _fill(response.outputs[output], array, server.tensor_content)
        return response

    def _metadata(self, request):
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        if not request.metadata_field:
            raise invalid(
                "GetModelMetadataRequest must specify at least one "
                "metadata_field"
            )
        loaded = self._server.manager.find(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        _fill_spec(response.model_spec, loaded, "")
        response.model_spec.ClearField("signature_name")
        response.metadata["signature_def"].Pack(signature_map(loaded))
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Status and reload."""

    def __init__(self, server):
        self._server = server

    def GetModelStatus(self, request, context):  # noqa: N802
        return answered(
            context, status_response, self._server.manager, request.model_spec
        )

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        answered(context, self._server.manager.reload, request.config)
        return model_management_pb2.ReloadConfigResponse()


def signature_map(loaded):
    """The metadata of a version."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in loaded.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    return signatures


def status_response(manager, spec):
    """The versions of a model, newest first."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, record in sorted(manager.status(spec).items(), reverse=True):
        status = response.model_version_status.add(version=version)
        status.state = status.State.Value(record.state)
        code = getattr(grpc.StatusCode, record.code).value[0]
        status.status.error_code = code
        status.status.error_message = record.message
    return response


def answered(context, method, *arguments):
    """Returns the method's answer, or ends the call with its status."""
    try:
        return method(*arguments)
    except StatusError as error:
        context.abort(getattr(grpc.StatusCode, error.code), error.message)


def _fill_spec(spec, loaded, signature):
    spec.name = loaded.name
    spec.version.value = loaded.version
    spec.signature_name = signature or "serving_default"


def _fill(proto, array, tensor_content):
    """Writes a field per element, or bytes with `tensor_content`."""
    array = np.asarray(array)
    if tensor_content or array.dtype.name not in _FIELDS:
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype = tf.as_dtype(array.dtype).as_datatype_enum
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _FIELDS[array.dtype.name]).extend(array.ravel().tolist())
