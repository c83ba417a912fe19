"""Status and configuration of a model server."""

import dataclasses
from typing import Any

import grpc

from jd_tf.serving.client.errors import RejectedError
from jd_tf.serving.client.grpc_transport import rpc_errors
from jd_tf.serving.protos import messages


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """State of one version: START, LOADING, AVAILABLE, UNLOADING or END."""

    version: int
    state: str
    error: str = ""

    @property
    def available(self) -> bool:
        """True if it answers."""
        return self.state == "AVAILABLE"

    @property
    def failed(self) -> bool:
        """True if it ended with an error; the server does not try again."""
        return self.state == "END" and bool(self.error)


class ModelServiceClient:
    """Reads the versions of a model, and sets the models that are served.

    The channel, of `open_channel`, stays the caller's to close.
    """

    def __init__(self, channel: grpc.Channel, address: str = "model server"):
        self.address = address
        self._status = messages.open_method(channel, messages.GET_MODEL_STATUS)
        self._reload = messages.open_method(channel, messages.RELOAD_CONFIG)

    def status(
        self, model: str, version: int | None = None, timeout: float = 5.0
    ) -> dict[int, VersionStatus]:
        """Returns the status of a model's versions, ascending.

        Those that failed or left are among them; labels are ignored.
        """
        request = messages.GetModelStatusRequest()
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version
        with rpc_errors(f"{self.address}: {model}"):
            answer = self._status(request, timeout=timeout)
        return {
            found.version: VersionStatus(
                found.version,
                messages.VERSION_STATES.get(
                    found.state, f"state {found.state}"
                ),
                _text(found.status) if found.status.error_code else "",
            )
            for found in sorted(
                answer.model_version_status, key=lambda s: s.version
            )
        }

    def reload_config(self, config: Any, timeout: float) -> None:
        """Sets the models that are served: those left out are unloaded.

        The server answers when new *models* are available, not when new
        versions of known ones are. A base path without a version blocks this
        and every later reload, whatever the timeout: check paths first.
        """
        request = messages.ReloadConfigRequest()
        # By its bytes: two classes of one message cannot copy each other.
        request.config.ParseFromString(config.SerializeToString())
        request.config.SetInParent()
        where = f"{self.address}: configuration"
        with rpc_errors(where):
            answer = self._reload(request, timeout=timeout)
        if answer.status.error_code:
            reason = _text(answer.status)
            raise RejectedError(f"{where}: {reason}. The old one stays.")


def _text(status: Any) -> str:
    code = status.error_code
    name = messages.ERROR_CODES.get(code, f"code {code}")
    return f"{name}: {status.error_message}"
