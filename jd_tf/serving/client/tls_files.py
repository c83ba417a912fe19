"""Where a client's certificates are."""

import dataclasses
from pathlib import Path

from jd_tf.serving.client.errors import RequestError


@dataclasses.dataclass(frozen=True)
class TlsFiles:
    """PEM files of a connection that is encrypted.

    Attributes:
        authority: certificates that the server's must go back to; those of
            the system by default.
        certificate: the client's own chain, where the server asks for one
            (mutual TLS); needs `key`.
        key: the private key of `certificate`.
        server_name: the name in the server's certificate, where it is not
            the address.
    """

    authority: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise RequestError(
                "TLS: a certificate and its key come together. Got: "
                f"certificate={self.certificate}, key={self.key}."
            )

    def read(self) -> dict[str, bytes | None]:
        """The files, as the credentials of a gRPC channel name them.

        Raises:
            RequestError: naming the file that cannot be read.
        """
        return {
            "root_certificates": _bytes(self.authority),
            "certificate_chain": _bytes(self.certificate),
            "private_key": _bytes(self.key),
        }


def _bytes(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise RequestError(f"TLS: {path}: {error.strerror}.") from error
    if b"-----BEGIN" not in content:
        raise RequestError(f"TLS: {path}: is not a PEM file.")
    return content
