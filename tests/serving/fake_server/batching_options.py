"""Batching parameters, as the server's file has them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class BatchingOptions:
    """What `--batching_parameters_file` says; names are the server's."""

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
