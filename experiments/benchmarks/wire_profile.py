"""Times what gRPC adds to a call, part by part."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from experiments.benchmarks.serving_ways import Call, Inputs
from jd_tf.serving.client.grpc_transport import (
    MAX_MESSAGE_BYTES,
    open_channel,
    predict_request,
)
from jd_tf.serving.client.options import ModelChoice
from jd_tf.serving.client.tensors import fill_proto, to_arrays
from jd_tf.serving.client.transport import Call as Asked
from jd_tf.serving.protos.messages import PREDICT, PredictResponse

MODEL = "the model, in process"
MAKING = "making the message"
WIRE = "its bytes and the answer's on the wire"
READING = "reading the answer"
REST = "the server, beyond the model"
WHOLE = "over gRPC"
_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 60.0


def wire_profile(
    in_process: Call,
    over_grpc: Call,
    signature: str,
    inputs: Inputs,
    num_rounds: int = 60,
) -> dict[str, float]:
    """Milliseconds of a call over gRPC and of its parts, in turns.

    The wire is a server of this kind of message that does nothing but answer
    as many bytes (`echo_server`). The server's own share, reading
    the message, waiting for a thread and writing the answer, is what is left
    of the whole.

    Args:
        in_process: asks the model without a wire.
        over_grpc: asks the same model by a server.
        signature: of the call.
        inputs: of the call.
        num_rounds: turns of each part; the median counts.

    Returns:
        Part -> milliseconds; the parts add up to the whole, "over gRPC".
    """
    choice = ModelChoice("any")
    asked = Asked(signature, inputs)
    request = predict_request(choice, asked).SerializeToString()
    answer = _message(over_grpc(signature, inputs))
    with _echo(len(answer)) as echo:
        parts: dict[str, Callable[[], object]] = {
            MODEL: lambda: in_process(signature, inputs),
            MAKING: lambda: predict_request(choice, asked).SerializeToString(),
            WIRE: lambda: echo(request),
            READING: lambda: to_arrays(
                PredictResponse.FromString(answer).outputs
            ),
            WHOLE: lambda: over_grpc(signature, inputs),
        }
        times: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(num_rounds):
            for name, part in parts.items():
                start = time.perf_counter()
                part()
                times[name].append(time.perf_counter() - start)
    found = {n: float(np.median(t)) * 1e3 for n, t in times.items()}
    whole = found.pop(WHOLE)
    return {**found, REST: whole - sum(found.values()), WHOLE: whole}


def _message(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The answer as a server sends it."""
    response = PredictResponse()
    for name, array in outputs.items():
        fill_proto(response.outputs[name], array)
    return response.SerializeToString()


@contextmanager
def _echo(size: int) -> Iterator[Callable[[bytes], bytes]]:
    """Starts the bare server; gives what sends it bytes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.benchmarks.echo_server", str(size)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError("the echo server did not start.")
        with open_channel(address, None, MAX_MESSAGE_BYTES) as channel:
            send = channel.unary_unary(PREDICT)
            yield lambda request: send(request, timeout=_PATIENCE)
    finally:
        process.communicate()
