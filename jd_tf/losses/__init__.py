"""Keras losses and metrics over the candidates of requests.

Labels below 0 mark cells that never count: padding beyond
`num_candidates`, and what is outside an objective's sample space.
`labels_and_weights` makes such labels from a request batch.
"""

import jd_tf.keras_backend  # noqa: F401
from jd_tf.losses.amount_metrics import AmountMetric
from jd_tf.losses.listwise_metrics import GAUC, NDCG, Concordance
from jd_tf.losses.listwise_softmax import ListwiseSoftmaxLoss
from jd_tf.losses.multi_objective import MultiObjectiveLoss, labels_and_weights
from jd_tf.losses.retrieval_softmax import retrieval_softmax

__all__ = [
    "GAUC",
    "NDCG",
    "AmountMetric",
    "Concordance",
    "ListwiseSoftmaxLoss",
    "MultiObjectiveLoss",
    "labels_and_weights",
    "retrieval_softmax",
]
