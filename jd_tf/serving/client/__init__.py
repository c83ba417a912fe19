"""Clients of a served ranker: over gRPC, over REST, or in process."""

from jd_tf.serving.client.async_grpc_transport import AsyncGrpcTransport
from jd_tf.serving.client.async_ranking_client import AsyncRankingClient
from jd_tf.serving.client.client_options import ClientOptions
from jd_tf.serving.client.grpc_transport import GrpcTransport
from jd_tf.serving.client.model_choice import ModelChoice
from jd_tf.serving.client.ranking_client import RankingClient
from jd_tf.serving.client.request_log import RequestLog
from jd_tf.serving.client.rest_transport import RestTransport
from jd_tf.serving.client.retry_policy import RetryPolicy
from jd_tf.serving.client.saved_model_transport import SavedModelTransport
from jd_tf.serving.client.threaded_transport import ThreadedTransport
from jd_tf.serving.client.tls_files import TlsFiles

__all__ = [
    "AsyncGrpcTransport",
    "AsyncRankingClient",
    "ClientOptions",
    "GrpcTransport",
    "ModelChoice",
    "RankingClient",
    "RequestLog",
    "RestTransport",
    "RetryPolicy",
    "SavedModelTransport",
    "ThreadedTransport",
    "TlsFiles",
]
