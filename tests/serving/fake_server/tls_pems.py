"""Certificates of a server, as its `--ssl_config_file` holds them."""

import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class TlsPems:
    """PEM texts, not paths; with `client_verify` clients need one too."""

    server_key: bytes
    server_cert: bytes
    custom_ca: bytes | None = None
    client_verify: bool = False

    def text(self) -> str:
        """The file: newlines are escaped."""
        lines = [
            f"server_key: {json.dumps(self.server_key.decode())}",
            f"server_cert: {json.dumps(self.server_cert.decode())}",
            f"client_verify: {str(self.client_verify).lower()}",
        ]
        if self.custom_ca:
            lines.append(f"custom_ca: {json.dumps(self.custom_ca.decode())}")
        return "\n".join(lines) + "\n"
