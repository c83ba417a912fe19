"""The file by which a model server joins requests to one model."""

from collections.abc import Sequence
from pathlib import Path

from google.protobuf import text_format

from jd_tf.serving.batching import BATCH_SIZES
from jd_tf.serving.errors import ExportError
from jd_tf.serving.protos.messages import BatchingParameters, parse_text

# Read by a server with --enable_per_model_batching_parameters.
BATCHING_FILE = "batching_params.pbtxt"
# A full queue answers UNAVAILABLE at once; the server's own 10 is soon full.
_MAX_ENQUEUED_BATCHES = 100

_COMMENT = """\
# How a model server may join requests to this version into batches. It reads
# the file with --enable_batching --enable_per_model_batching_parameters.
# No call waits for others: batches form from what queued up meanwhile.
# Widths are padded, which changes no answer here: lengths travel as inputs.
"""


def batching_parameters(batch_sizes: Sequence[int] = BATCH_SIZES) -> str:
    """Returns the text of a `BatchingParameters` file; widths are padded."""
    parameters = BatchingParameters(
        allowed_batch_sizes=batch_sizes, pad_variable_length_inputs=True
    )
    parameters.max_batch_size.value = batch_sizes[-1]
    parameters.batch_timeout_micros.value = 0
    parameters.max_enqueued_batches.value = _MAX_ENQUEUED_BATCHES
    return _COMMENT + text_format.MessageToString(parameters)


def read_batching(path: str | Path) -> tuple[int, ...]:
    """Reads a batching file as strictly as a model server."""
    path = Path(path)
    if not path.is_file():
        raise ExportError(
            f"{path}: no such file; a server with per-model batching would "
            "not batch this version."
        )
    parsed = parse_text(
        path.read_text(encoding="utf-8"), BatchingParameters, str(path)
    )
    sizes = tuple(parsed.allowed_batch_sizes)
    largest = parsed.max_batch_size.value
    last = "the last of `allowed_batch_sizes` must be `max_batch_size`"
    rules = {
        "`allowed_batch_sizes` must ascend": [*sizes] == sorted(set(sizes)),
        "`allowed_batch_sizes` must be >= 1": not sizes or sizes[0] > 0,
        f"{last}, {largest}": not sizes or sizes[-1] == largest,
    }
    for rule, holds in rules.items():
        if not holds:
            raise ExportError(f"{path}: {rule}. Got: {list(sizes)}.")
    if not parsed.pad_variable_length_inputs:
        raise ExportError(
            f"{path}: without `pad_variable_length_inputs` a wide request "
            "fails all others of its batch."
        )
    return sizes
