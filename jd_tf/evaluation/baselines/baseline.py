"""The interface of a baseline."""

import abc
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jd_tf.schema import Schema

Batch = Mapping[str, Any]


class Baseline(abc.ABC):
    """Ranks candidates of batches laid out as the schema says.

    Args:
        schema: of the batches.
    """

    def __init__(self, schema: Schema):
        self.schema = schema

    @abc.abstractmethod
    def fit(self, batches: Iterable[Batch]) -> "Baseline":
        """Learns from batches of the training split.

        Args:
            batches: dicts of arrays or tensors with labels; iterated more
                than once by some, so pass a list or a `tf.data.Dataset`,
                not a generator.

        Returns:
            Itself.
        """

    @abc.abstractmethod
    def score(self, batch: Batch) -> dict[str, np.ndarray]:
        """Scores the candidates of a batch; higher is better.

        Args:
            batch: dict of arrays or tensors.

        Returns:
            `probabilities` [B, N, T] or `score` [B, N], float32. What stands
            beyond `num_candidates` is meaningless.
        """
