"""The ids, picture and title of an item to one token."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import (
    IdEmbedding,
    MultiGateImageTransfer,
    TextEncoder,
    VectorTable,
)
from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.embedding.id_embedding import hashed_rows
from jd_tf.models.blocks.real_cells import compute_real
from jd_tf.schema import IdColumn

# Of every id that is not in a vocabulary; see `IdEmbedding`.
_UNKNOWN_ROW = 1
CANDIDATE = 0  # the gate of candidates; behaviours count from 1


@keras.saving.register_keras_serializable(package="jd_tf")
class ItemEncoder(BaseLayer):
    """Embeds what is known of an item and projects it to one token.

    Its tables are shared by every history and by the candidates: an item is
    the same item wherever it stands. Pictures come as frozen vectors, looked
    up by raw item id; titles are read word by word. Both are aligned with the
    embeddings by multi-gate experts, with a gate for the candidates and one
    for each behaviour, or put beside them as they are.

    Args:
        item_columns: the schema's item columns, or their dicts.
        num_behaviors: int. Behaviours, each with a gate of its own.
        model_dim: int. Width D of a token; 0: the embeddings side by side.
        title_embedding_dim: int. Width of a word's vector; 0 reads no texts.
            All others are fields of `ItemsConfig` and `ContentConfig`.

    Call arguments:
        columns: one tensor (B, L) or (B, N) a column, in the columns' order;
            with M values of an item (B, L, M) or (B, N, M), which are pooled.
        gate_index: int. `CANDIDATE`, or 1 + number of the behaviour.

    Returns:
        (B, L, D) or (B, N, D) float.

    Example:
    >>> import numpy as np
    >>> from jd_tf.schema import IdColumn
    >>> encoder = ItemEncoder([IdColumn("item_id", num_buckets=10)], 1, 8)
    >>> encoder([np.array([[3, 4, 0]])]).shape
    TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        item_columns: Sequence[IdColumn | Mapping[str, Any]],
        num_behaviors: int,
        model_dim: int,
        item_embedding_dim: int = 32,
        feature_embedding_dim: int = 16,
        use_images: str = "",
        num_image_rows: int = 0,
        image_dim: int = 64,
        title_embedding_dim: int = 0,
        num_transfer_experts: int = 4,
        transfer_dim: int = 32,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.keep(locals())
        self.item_columns = tuple(
            column if isinstance(column, IdColumn) else IdColumn(**column)
            for column in item_columns
        )

    def build(self, columns_shape: Any = None) -> None:
        self.tables, self.texts = {}, {}
        for place, column in enumerate(self.item_columns):
            if not column.text:
                dim = self.feature_embedding_dim
                dim = dim if place else self.item_embedding_dim
                self.tables[column.name] = add_id_embedding(self, column, dim)
            elif self.title_embedding_dim:
                self.texts[column.name] = self.add_part(
                    TextEncoder,
                    column.name,
                    (None, None),
                    self.title_embedding_dim,
                    column.num_buckets,
                )
        self.images = None
        if self.use_images:
            if not self.num_image_rows:
                raise ValueError(
                    "`use_images` needs an image table: give `num_image_rows`."
                )
            self.images = self.add_part(
                VectorTable,
                "images",
                (None, None),
                self.num_image_rows,
                self.image_dim,
                self.item_columns[0].dtype,
            )
        width = sum(table.embedding_dim for table in self.tables.values())
        dims = list(self.content_dims)
        self.transfer = None
        if dims and self.use_images != "concat":
            self.transfer = self.add_part(
                MultiGateImageTransfer,
                "transfer",
                {
                    "vectors_shape": [(None, None, dim) for dim in dims],
                    "present_shape": [(None, None)] * len(dims),
                    "gate_inputs_shape": (None, None, width),
                },
                self.transfer_dim,
                self.num_transfer_experts,
                1 + self.num_behaviors,
            )
            dims = [self.transfer_dim]
        self._width = width + sum(dims)
        if self.model_dim:
            self.projection = self.add_dense(
                "projection", self._width, self.model_dim
            )

    @property
    def output_dim(self) -> int:
        """Width of what is returned, where there are no contents."""
        if self.model_dim:
            return self.model_dim
        others = sum(not column.text for column in self.item_columns) - 1
        return self.item_embedding_dim + others * self.feature_embedding_dim

    @property
    def content_dims(self) -> tuple[int, ...]:
        """Widths of picture and texts, as far as they are read."""
        dims = [self.image_dim] if self.use_images else []
        if self.title_embedding_dim:
            texts = [column for column in self.item_columns if column.text]
            dims += [self.title_embedding_dim] * len(texts)
        return tuple(dims)

    def call(self, columns: Sequence[Any], gate_index: int = CANDIDATE) -> Any:
        return self.encode(
            columns, self.content_embeddings(columns), gate_index
        )

    def encode(
        self,
        columns: Sequence[Any],
        content_embeddings: Sequence[tuple[Any, Any]],
        gate_index: int = CANDIDATE,
    ) -> Any:
        """Does the work of the call on a result of `content_embeddings`."""
        learned = self.embed(columns)
        parts = [learned]
        vectors = [vector for vector, _ in content_embeddings]
        present = [is_there for _, is_there in content_embeddings]
        if self.transfer is not None:
            parts.append(
                self.transfer(vectors, present, learned, gate_index=gate_index)
            )
        else:
            parts += vectors
        token = ops.concatenate(parts, axis=-1)
        if not self.model_dim:
            return token
        # As one matrix, whose weight gradient is one product too.
        flat = ops.reshape(token, (-1, self._width))
        # Without an event, -1 cannot be told from the rest of a shape.
        shape = (*ops.shape(token)[:2], self.model_dim)
        return ops.reshape(self.projection(flat), shape)

    def encode_events(
        self,
        columns: Sequence[Any],
        length: Any,
        gate_index: int,
        training: bool = False,
        content_embeddings: Sequence[tuple[Any, Any]] | None = None,
    ) -> Any:
        """Encodes histories; while training, tokens of padding are zero.

        Args:
            columns: as for the call.
            length: (B,) integer. Real events.
            gate_index: as for the call.
            training: whether padding may be left out; exports compute it.
            content_embeddings: of `content_embeddings`, if known.
        """
        if content_embeddings is None:
            content_embeddings = self.content_embeddings(columns)
        return compute_real(
            lambda ids, contents: self.encode(ids, contents, gate_index),
            length,
            training,
            columns,
            content_embeddings,
        )

    def embed(self, columns: Sequence[Any]) -> Any:
        """Returns the embeddings of the ids, (B, L or N, widths)."""
        rows = self._table_rows(columns)
        vectors = [
            table.vectors(rows[name]) for name, table in self.tables.items()
        ]
        return ops.concatenate(vectors, axis=-1)

    def content_embeddings(
        self, columns: Sequence[Any]
    ) -> list[tuple[Any, Any]]:
        """Returns vectors (B, L or N, V) of contents and which are there."""
        named, found = self._named(columns), []
        if self.images is not None:
            found.append(self.images(named[self.item_columns[0].name]))
        for name, text in self.texts.items():
            found.append((text(named[name]), ops.not_equal(named[name], "")))
        return found

    def rows(self, columns: Sequence[Any]) -> Any:
        """Returns the table rows that the ids read, (B, L or N, W) int32.

        W are the values of all columns, several of a multi-valued one.
        Equal ids have equal rows, whatever their dtype. Ids that a
        vocabulary does not know have row 0, like padding: two of them need
        not be the same. Texts have no rows.
        """
        rows = self._table_rows(columns)
        for name, table in self.tables.items():
            row = rows[name]
            if table.vocabulary:
                row = ops.where(row == _UNKNOWN_ROW, 0, row)
            rows[name] = row if table.pooling else row[..., None]
        return ops.cast(ops.concatenate(list(rows.values()), axis=-1), "int32")

    def _table_rows(self, columns: Sequence[Any]) -> dict[str, Any]:
        """Rows (B, L or N[, M]) int64 that the ids read in each table."""
        named, rows = self._named(columns), {}
        hashed = [
            name
            for name, table in self.tables.items()
            if table.num_buckets
            and not table.pooling
            and named[name].dtype == "int64"
        ]
        if hashed:
            buckets = [self.tables[name].num_buckets for name in hashed]
            ids = ops.stack([named[name] for name in hashed], axis=-1)
            unstacked = ops.unstack(hashed_rows(ids, buckets), axis=-1)
            rows = dict(zip(hashed, unstacked, strict=True))
        return {
            name: rows[name] if name in rows else table.rows(named[name])
            for name, table in self.tables.items()
        }

    def _named(self, columns: Sequence[Any]) -> dict[str, Any]:
        names = [column.name for column in self.item_columns]
        return dict(zip(names, columns, strict=True))

    def compute_output_shape(self, columns_shape: Any) -> tuple:
        return (*columns_shape[0], self.model_dim or self._width)


def add_id_embedding(
    layer: BaseLayer, column: IdColumn, embedding_dim: int
) -> IdEmbedding:
    """Returns the embedding of a schema's id column, a part of the layer."""
    return layer.add_part(
        IdEmbedding,
        column.name,
        (None,),
        embedding_dim,
        num_buckets=column.num_buckets,
        vocabulary=column.vocabulary,
        id_dtype=column.dtype,
        pooling=column.pooling if column.multi_valued else "",
    )
