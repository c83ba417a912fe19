"""User and session context to one vector."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import FeatureNormalization, LogBucketEmbedding
from jd_tf.layers.base_layer import BaseLayer
from jd_tf.models.blocks.item_encoder import add_id_embedding
from jd_tf.schema import IdColumn

_NUM_AGE_BUCKETS = 32
_TWO_YEARS = 2 * 365 * 24 * 3600.0
_MINUTE = 60.0


@keras.saving.register_keras_serializable(package="jd_tf")
class ContextEncoder(BaseLayer):
    """Puts everything known of a request beside its histories in a vector.

    Args:
        id_columns: the schema's context columns, or their dicts.
        embedding_dim: int. Width of each of their tables.
        num_dense: int. Number of dense session features; 0 for none.
        num_histories: int. Histories the ages of whose newest events are
            embedded in the same width; 0 for none.
        linear: ints. Indices of the session features that are logarithms or
            rates already.
        numeric_embedding_dim: int. Width in which they are embedded besides;
            0 for none.

    Call arguments:
        ids: one tensor (B,) a column, in the columns' order.
        session_dense: (B, F) float32; left out where `num_dense` is 0.
        since_seconds: (B, `num_histories`) float32. Ages of the newest
            events, below 0 where there is none; left out where it is 0.

    Returns:
        (B, `output_dim`) float; session features come last.

    Example:
    >>> import numpy as np
    >>> from jd_tf.schema import IdColumn
    >>> encoder = ContextEncoder([IdColumn("hour", num_buckets=25)], 4, 0)
    >>> encoder([np.array([7, 23])]).shape
    TensorShape([2, 4])
    """

    def __init__(
        self,
        id_columns: Sequence[IdColumn | Mapping[str, Any]],
        embedding_dim: int,
        num_dense: int,
        num_histories: int = 0,
        linear: Sequence[int] = (),
        numeric_embedding_dim: int = 0,
        **kwargs,
    ):
        # Session features and ages may overflow half precision.
        super().__init__(**{**kwargs, "autocast": False})
        self.keep(locals())
        self.id_columns = tuple(
            column if isinstance(column, IdColumn) else IdColumn(**column)
            for column in id_columns
        )

    @property
    def output_dim(self) -> int:
        """Width of the vector."""
        embedded = len(self.id_columns) + self.num_histories
        width = self.num_dense * (1 + self.numeric_embedding_dim)
        return embedded * self.embedding_dim + width

    def build(
        self,
        ids_shape: Any = None,
        session_dense_shape: Any = None,
        since_seconds_shape: Any = None,
    ):
        self.tables = [
            add_id_embedding(self, column, self.embedding_dim)
            for column in self.id_columns
        ]
        self.normalization = None
        if self.num_dense:
            self.normalization = self.add_part(
                FeatureNormalization,
                "session_dense",
                (None, self.num_dense),
                self.linear,
                embedding_dim=self.numeric_embedding_dim,
            )
        if self.num_histories:
            self.recency = self.add_part(
                LogBucketEmbedding,
                "recency",
                (None, self.num_histories),
                self.num_histories,
                self.embedding_dim,
                _NUM_AGE_BUCKETS,
                max_value=_TWO_YEARS,
                initial_scale=_MINUTE,
            )

    def call(
        self,
        ids: Sequence[Any],
        session_dense: Any = None,
        since_seconds: Any = None,
    ) -> Any:
        parts = [
            table(column_ids)
            for table, column_ids in zip(self.tables, ids, strict=True)
        ]
        if self.num_histories:
            width = self.num_histories * self.embedding_dim
            ages = self.recency(since_seconds)
            parts.append(ops.reshape(ages, (-1, width)))
        if self.normalization is not None:
            parts.append(self.normalization(session_dense))
        return ops.concatenate(parts, axis=-1)

    def of_request(
        self, request: Mapping[str, Any], since_seconds: Any = None
    ) -> Any:
        """Encodes the columns of a request; None if there is nothing."""
        if not self.output_dim:
            return None
        ids = [request[column.name] for column in self.id_columns]
        dense = request["session_dense"] if self.num_dense else None
        return self(ids, dense, since_seconds if self.num_histories else None)

    def compute_output_shape(
        self,
        ids_shape: Any,
        session_dense_shape: Any = None,
        since_seconds_shape: Any = None,
    ) -> tuple:
        first = ids_shape[0] if ids_shape else session_dense_shape
        first = first or since_seconds_shape
        return (first[0], self.output_dim)
