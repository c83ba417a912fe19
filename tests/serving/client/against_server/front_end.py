"""Calls a server as a front end does that has no TensorFlow.

    python -m tests.without_tensorflow \
        tests.serving.client.against_server.front_end FOLDER ADDRESS REST_URL

The folder has `schema.json` and the pickled `requests`; it gets the pickled
`rankings` by kind of client, a request log, and the versions.
"""

import asyncio
import importlib
import pickle
import pkgutil
import sys
from pathlib import Path

import jd_tf.serving.client
import jd_tf.serving.protos
from jd_tf.schema import Schema
from jd_tf.serving.client import (
    AsyncGrpcTransport,
    AsyncRankingClient,
    ClientOptions,
    GrpcTransport,
    ModelChoice,
    RankingClient,
    RequestLog,
    RestTransport,
    SavedModelTransport,
)
from jd_tf.serving.client.grpc_transport import open_channel
from jd_tf.serving.client.model_service_client import ModelServiceClient
from tests.without_tensorflow import FORBIDDEN

OPTIONS = ClientOptions(timeout=60.0, one_call=False)


def main(folder, address, rest_url):
    """Ranks with every kind of client of a server."""
    for package in (jd_tf.serving.client, jd_tf.serving.protos):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    schema = Schema.load(folder / "schema.json")
    requests = pickle.loads((folder / "requests").read_bytes())
    label = ModelChoice("rank", label="stable")
    log = RequestLog(folder / "log", rate=1.0, model_name="rank")
    rankings = {}
    for kind, transport, request_log in (
        ("grpc", GrpcTransport(address, label), log),
        ("rest", RestTransport(rest_url, label), None),
    ):
        with RankingClient(transport, schema, OPTIONS, request_log) as client:
            rankings[kind] = [client.rank(request) for request in requests]
    rankings["async"] = asyncio.run(_ask(address, schema, requests))
    with open_channel(address) as channel:
        found = ModelServiceClient(channel, address).status("rank")
    (folder / "rankings").write_bytes(pickle.dumps(rankings))
    (folder / "versions").write_text(" ".join(map(str, found)))
    try:
        SavedModelTransport(folder)
    except ImportError:
        print("only a model in process needs TensorFlow")
    loaded = [name for name, module in sys.modules.items() if module]
    assert not [n for n in loaded if n.split(".")[0] in FORBIDDEN]


async def _ask(address, schema, requests):
    transport = AsyncGrpcTransport(address, ModelChoice("rank", version=1))
    async with AsyncRankingClient(transport, schema, OPTIONS) as client:
        return [await client.rank(request) for request in requests]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
