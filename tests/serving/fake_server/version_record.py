"""What the server knows about one version."""

import dataclasses

from tests.serving.fake_server.loaded_version import LoadedVersion


@dataclasses.dataclass
class VersionRecord:
    """State by the protocol's names; `code` is OK unless loading failed."""

    state: str = "START"
    code: str = "OK"
    message: str = ""
    loaded: LoadedVersion | None = None

    @property
    def available(self) -> bool:
        return self.state == "AVAILABLE"

    @property
    def failed(self) -> bool:
        return self.state == "END" and self.code != "OK"
