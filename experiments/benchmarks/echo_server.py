"""A gRPC server that answers every Predict with the same bytes.

    python -m experiments.benchmarks.echo_server BYTES

prints the address it answers at, until its standard input ends. What a call
to it takes is what the wire takes: `wire_profile` asks it.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from jd_tf.serving.protos.messages import PREDICT


def main(arguments: list[str]) -> None:
    """Serves until the parent closes the pipe, or is gone."""
    (size,) = arguments
    answer = bytes(int(size))
    service, method = PREDICT.strip("/").split("/")
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _: answer)
    server = grpc.server(
        ThreadPoolExecutor(1),
        handlers=[
            grpc.method_handlers_generic_handler(service, {method: handler})
        ],
        options=[("grpc.max_receive_message_length", -1)],
    )
    port = server.add_insecure_port("localhost:0")
    server.start()
    print(f"localhost:{port}", flush=True)
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main(sys.argv[1:])
