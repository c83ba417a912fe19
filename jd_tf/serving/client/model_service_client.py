"""A model server's own affairs: status and configuration."""

from typing import Any

import grpc
from google.protobuf import text_format
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from jd_tf.serving.client.errors import RejectedError, RequestError
from jd_tf.serving.client.status_errors import error_of
from jd_tf.serving.client.version_status import VersionStatus


class ModelServiceClient:
    """Asks for the versions of a model, and sets what is served.

    Args:
        channel: as `open_channel` opened it; stays the caller's to close.
        address: for messages.
    """

    def __init__(self, channel: grpc.Channel, address: str = "model server"):
        self.address = address
        self._stub = model_service_pb2_grpc.ModelServiceStub(channel)

    def status(
        self, model: str, version: int | None = None, timeout: float = 5.0
    ) -> dict[int, VersionStatus]:
        """Versions of a model, those that failed or left included.

        Labels cannot be asked for: a server ignores them here.

        Args:
            model: its name.
            version: one of them; all by default.
            timeout: seconds.

        Returns:
            Status by version, ascending.

        Raises:
            ModelNotFoundError: if the server knows no such model or version.
            ClientError: for everything else.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version
        answer = self._call("GetModelStatus", request, timeout, model)
        found = (_status(status) for status in answer.model_version_status)
        return {s.version: s for s in sorted(found, key=lambda s: s.version)}

    def reload_config(
        self,
        config: model_server_config_pb2.ModelServerConfig | str,
        timeout: float,
    ) -> None:
        """Sets what is served: models left out are unloaded.

        The server answers when new *models* are available, not when new
        versions of known ones are: ask `status` for those. A base path that
        is missing or holds no version blocks this and every later reload
        until it does, whatever the timeout here: check paths first.

        Args:
            config: a message or its text form.
            timeout: seconds; always needed.

        Raises:
            RejectedError: if the server refuses; the old one stays then.
            ClientError: for everything else.
        """
        if isinstance(config, str):
            config = parse_config(config)
        request = model_management_pb2.ReloadConfigRequest(config=config)
        answer = self._call(
            "HandleReloadConfigRequest", request, timeout, "configuration"
        )
        if answer.status.error_code:
            code = error_codes_pb2.Code.Name(answer.status.error_code)
            raise RejectedError(
                f"{self.address}: configuration: {code}: "
                f"{answer.status.error_message}. The old one stays."
            )

    def _call(
        self, method: str, request: Any, timeout: float, what: str
    ) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=timeout)
        except grpc.RpcError as error:
            where = f"{self.address}: {what}"
            raise error_of(
                error.code().name, error.details() or "", where
            ) from error


def parse_config(text: str) -> model_server_config_pb2.ModelServerConfig:
    """A model configuration from its text form, as the server's file has it.

    Raises:
        RequestError: saying where it is malformed.
    """
    config = model_server_config_pb2.ModelServerConfig()
    try:
        return text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise RequestError(f"model configuration: {error}.") from error


def _status(message: Any) -> VersionStatus:
    code = message.status.error_code
    return VersionStatus(
        version=message.version,
        state=message.State.Name(message.state),
        error=f"{error_codes_pb2.Code.Name(code)}: "
        f"{message.status.error_message}"
        if code
        else "",
    )
