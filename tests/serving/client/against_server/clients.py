"""Every kind of client that talks to a server."""

from jd_tf.serving.client import (
    AsyncGrpcTransport,
    AsyncRankingClient,
    ClientOptions,
    GrpcTransport,
    ModelChoice,
    RankingClient,
    RestTransport,
    ThreadedTransport,
)
from tests.serving.client.against_server.async_as_sync import AsyncAsSync
from tests.serving.fake_server.start import server_kind

KINDS = ("grpc", "rest", "async_grpc", "async_rest")
# The test ids name the server.
IDS = [f"{server_kind()}_server-{kind}" for kind in KINDS]


def make_client(
    kind, server, schema, choice=None, tls=None, retries=None, **options
):
    """A client with generous time."""
    choice = choice or ModelChoice("rank")
    settings = {"tls": tls, "retries": retries}
    options = ClientOptions(**{"timeout": 60.0, **options})
    if kind == "grpc":
        transport = GrpcTransport(server.address, choice, **settings)
        return RankingClient(transport, schema, options)
    if kind == "rest":
        transport = RestTransport(server.rest_url, choice, **settings)
        return RankingClient(transport, schema, options)

    def make():
        if kind == "async_grpc":
            transport = AsyncGrpcTransport(server.address, choice, **settings)
        else:
            rest = RestTransport(server.rest_url, choice, **settings)
            transport = ThreadedTransport(rest)
        return AsyncRankingClient(transport, schema, options)

    return AsyncAsSync(make)
