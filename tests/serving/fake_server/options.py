"""Options of a model server, as its text files have them."""

import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class BatchingOptions:
    """Settings of `--batching_parameters_file`, by the server's names."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 2
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False

    def text(self) -> str:
        """The file."""
        lines = [
            f"{name} {{ value: {getattr(self, name)} }}"
            for name in (
                "max_batch_size",
                "batch_timeout_micros",
                "max_enqueued_batches",
                "num_batch_threads",
            )
        ]
        lines += [f"allowed_batch_sizes: {n}" for n in self.allowed_batch_sizes]
        padding = str(self.pad_variable_length_inputs).lower()
        return "\n".join([*lines, f"pad_variable_length_inputs: {padding}\n"])


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
