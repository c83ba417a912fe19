"""Clients of a served ranker: over gRPC, over REST, or in process."""

from typing import TYPE_CHECKING, Any

from jd_tf.serving.client.grpc_transport import (
    AsyncGrpcTransport,
    GrpcTransport,
)
from jd_tf.serving.client.options import (
    ClientOptions,
    ModelChoice,
    RetryPolicy,
    TlsFiles,
)
from jd_tf.serving.client.ranking import Ranking
from jd_tf.serving.client.ranking_client import (
    AsyncRankingClient,
    RankingClient,
)
from jd_tf.serving.client.request_file import read_requests
from jd_tf.serving.client.request_log import RequestLog
from jd_tf.serving.client.transport import (
    SavedModelTransport,
    ThreadedTransport,
)

if TYPE_CHECKING:
    from jd_tf.serving.client.rest_transport import RestTransport

__all__ = [
    "AsyncGrpcTransport",
    "AsyncRankingClient",
    "ClientOptions",
    "GrpcTransport",
    "ModelChoice",
    "Ranking",
    "RankingClient",
    "RequestLog",
    "RestTransport",
    "RetryPolicy",
    "SavedModelTransport",
    "ThreadedTransport",
    "TlsFiles",
    "read_requests",
]


def __getattr__(name: str) -> Any:
    # urllib3 takes time and memory, which only REST needs.
    if name == "RestTransport":
        from jd_tf.serving.client.rest_transport import RestTransport

        return RestTransport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
