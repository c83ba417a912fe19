"""ModelService of the double."""

from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)

from tests.serving.fake_server.prediction_service import answered
from tests.serving.fake_server.status_error import StatusError


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Status and reload."""

    def __init__(self, server):
        self._server = server

    def GetModelStatus(self, request, context):  # noqa: N802
        return answered(context, self._status, request)

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        answer = model_management_pb2.ReloadConfigResponse()
        try:
            self._server.manager.reload(request.config)
        except StatusError as error:
            answer.status.error_code = error_codes_pb2.Code.Value(error.code)
            answer.status.error_message = error.message
            return answered(context, _raise, error)
        return answer

    def _status(self, request):
        found = self._server.manager.status(request.model_spec)
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, record in sorted(found.items(), reverse=True):
            status = response.model_version_status.add(version=version)
            status.state = status.State.Value(record.state)
            status.status.error_code = error_codes_pb2.Code.Value(record.code)
            status.status.error_message = record.message
        return response


def _raise(error):
    raise error
