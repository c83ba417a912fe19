"""Status and configuration of a model server."""

import dataclasses
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import text_format
from google.protobuf.message import Message

from jd_tf.serving.client.errors import RejectedError, RequestError, error_of
from jd_tf.serving.protos.messages import (
    ERROR_CODES,
    GET_MODEL_STATUS,
    RELOAD_CONFIG,
    VERSION_STATES,
    GetModelStatusRequest,
    ModelServerConfig,
    ReloadConfigRequest,
    open_method,
)


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """State of one version of a model.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error: why it failed; empty where it did not.
    """

    version: int
    state: str
    error: str = ""

    @property
    def available(self) -> bool:
        """Whether it answers."""
        return self.state == "AVAILABLE"

    @property
    def failed(self) -> bool:
        """Whether it ended with an error; the server does not try again."""
        return self.state == "END" and bool(self.error)


class ModelServiceClient:
    """Reads the versions of a model, and sets the models that are served.

    Args:
        channel: as `open_channel` opened it; stays the caller's to close.
        address: for messages.
    """

    def __init__(self, channel: grpc.Channel, address: str = "model server"):
        self.address = address
        self._status = open_method(channel, GET_MODEL_STATUS)
        self._reload = open_method(channel, RELOAD_CONFIG)

    def status(
        self, model: str, version: int | None = None, timeout: float = 5.0
    ) -> dict[int, VersionStatus]:
        """Returns versions of a model, those that failed or left included.

        There is no status by label: a server ignores labels here.

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
        request = GetModelStatusRequest()
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version
        answer = self._call(self._status, request, timeout, model)
        found = (_status(status) for status in answer.model_version_status)
        return {s.version: s for s in sorted(found, key=lambda s: s.version)}

    def reload_config(self, config: Any, timeout: float) -> None:
        """Sets the models that are served: those left out are unloaded.

        The server answers when new *models* are available, not when new
        versions of known ones are: see `status` for those. A base path that
        is missing or holds no version blocks this and every later reload
        until it does, whatever the timeout here: check paths first.

        Args:
            config: a ModelServerConfig, ours or TensorFlow Serving's, or its
                text form.
            timeout: seconds; always needed.

        Raises:
            RejectedError: if the server refuses; the old one stays then.
            ClientError: for everything else.
        """
        if isinstance(config, str):
            config = parse_config(config)
        request = ReloadConfigRequest()
        # By its bytes: two classes of one message cannot copy each other.
        request.config.ParseFromString(config.SerializeToString())
        request.config.SetInParent()
        answer = self._call(self._reload, request, timeout, "configuration")
        if answer.status.error_code:
            raise RejectedError(
                f"{self.address}: configuration: {_text(answer.status)}. The "
                "old one stays."
            )

    def _call(
        self,
        method: Callable[..., Any],
        request: Message,
        timeout: float,
        what: str,
    ) -> Any:
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            where = f"{self.address}: {what}"
            raise error_of(
                error.code().name, error.details() or "", where
            ) from error


def parse_config(text: str) -> Any:
    """Parses a model configuration, as the server's file has it.

    Raises:
        RequestError: saying where it is malformed.
    """
    config = ModelServerConfig()
    try:
        return text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise RequestError(f"model configuration: {error}.") from error


def _status(message: Any) -> VersionStatus:
    return VersionStatus(
        version=message.version,
        state=VERSION_STATES.get(message.state, f"state {message.state}"),
        error=_text(message.status) if message.status.error_code else "",
    )


def _text(status: Any) -> str:
    code = status.error_code
    return f"{ERROR_CODES.get(code, f'code {code}')}: {status.error_message}"
