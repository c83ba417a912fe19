"""The ids of an item to one token."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import IdEmbedding
from jd_tf.schema import IdColumn

# Of every id that is not in a vocabulary; see `IdEmbedding`.
_UNKNOWN_ROW = 1


@keras.saving.register_keras_serializable(package="jd_tf")
class ItemEncoder(keras.layers.Layer):
    """Embeds an item's ids and projects them to one token.

    Its tables are shared by every history and by the candidates: an item is
    the same item wherever it stands.

    Args:
        id_columns: the schema's item columns, or their dicts.
        embedding_dims: int, width of the table of each column, in order.
        model_dim: int. Width D of the token.

    Call arguments:
        ids: one tensor (B, L) or (B, N) a column, in the columns' order.

    Returns:
        (B, L, D) or (B, N, D) float.
    """

    def __init__(
        self,
        id_columns: Sequence[IdColumn | Mapping[str, Any]],
        embedding_dims: Sequence[int],
        model_dim: int,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.id_columns = tuple(
            column if isinstance(column, IdColumn) else IdColumn(**column)
            for column in id_columns
        )
        self.embedding_dims = tuple(embedding_dims)
        self.model_dim = model_dim
        if len(self.embedding_dims) != len(self.id_columns):
            raise ValueError(
                "`embedding_dims` must name a width for each of the "
                f"{len(self.id_columns)} columns. Got: {self.embedding_dims}."
            )

    def build(self, ids_shape: Any = None) -> None:
        self.tables = [
            id_embedding(column, dim, self.dtype_policy)
            for column, dim in zip(
                self.id_columns, self.embedding_dims, strict=True
            )
        ]
        for table in self.tables:
            table.build((None, None))
        self.projection = keras.layers.Dense(
            self.model_dim, dtype=self.dtype_policy, name="projection"
        )
        self.projection.build((None, sum(self.embedding_dims)))

    def call(self, ids: Sequence[Any]) -> Any:
        vectors = [
            table(column_ids)
            for table, column_ids in zip(self.tables, ids, strict=True)
        ]
        concatenated = ops.concatenate(vectors, axis=-1)
        # As one matrix, whose weight gradient is one product too.
        flat = ops.reshape(concatenated, (-1, sum(self.embedding_dims)))
        width = ops.shape(concatenated)[1]
        return ops.reshape(self.projection(flat), (-1, width, self.model_dim))

    def rows(self, ids: Sequence[Any]) -> Any:
        """Says which table rows the ids read, (B, L or N, columns) int32.

        Equal ids have equal rows, whatever their dtype. Ids that a
        vocabulary does not know have row 0, like padding: two of them need
        not be the same.
        """
        rows = []
        for table, column, column_ids in zip(
            self.tables, self.id_columns, ids, strict=True
        ):
            row = ops.cast(table.rows(column_ids), "int32")
            if column.vocabulary:
                row = ops.where(row == _UNKNOWN_ROW, 0, row)
            rows.append(row)
        return ops.stack(rows, axis=-1)

    def compute_output_shape(self, ids_shape: Any) -> tuple:
        return (*tuple(ids_shape[0]), self.model_dim)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "id_columns": [dataclasses.asdict(c) for c in self.id_columns],
            "embedding_dims": list(self.embedding_dims),
            "model_dim": self.model_dim,
        }


def id_embedding(
    column: IdColumn, embedding_dim: int, dtype: Any
) -> IdEmbedding:
    """The embedding layer of a schema's id column."""
    return IdEmbedding(
        embedding_dim,
        num_buckets=column.num_buckets,
        vocabulary=column.vocabulary,
        id_dtype=column.dtype,
        dtype=dtype,
        name=column.name,
    )
