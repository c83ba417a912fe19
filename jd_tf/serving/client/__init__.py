"""Clients of a served ranker: over gRPC, over REST, or in process."""

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
from jd_tf.serving.client.rest_transport import RestTransport
from jd_tf.serving.client.transport import (
    SavedModelTransport,
    ThreadedTransport,
)

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
