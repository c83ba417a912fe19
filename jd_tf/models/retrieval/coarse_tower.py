"""A dual tower that orders thousands of items as a fine ranker would."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from jd_tf.layers import FeatureNormalization, IdEmbedding
from jd_tf.layers.masking import length_mask
from jd_tf.models.blocks.context_encoder import ContextEncoder
from jd_tf.models.ranker_config import ConfigGroup
from jd_tf.models.schema_model import SchemaModel

Tensors = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class CoarseConfig(ConfigGroup):
    """Sizes of `CoarseTower`.

    Attributes:
        vector_dim: width of the vectors of users and items.
        item_embedding_dim: of the table of item ids.
        feature_embedding_dim: of the tables of an item's other ids.
        context_embedding_dim: of the tables of context ids.
        numeric_embedding_dim: of each dense feature; 0 for none.
        hidden_units: of the inner layer of both towers.
    """

    vector_dim: int = 64
    item_embedding_dim: int = 32
    feature_embedding_dim: int = 24
    context_embedding_dim: int = 8
    numeric_embedding_dim: int = 4
    hidden_units: int = 128


@keras.saving.register_keras_serializable(package="jd_tf")
class CoarseTower(SchemaModel):
    """Scores items by one product of a user's and an item's vector.

    The user half pools the ids of each history twice, by mean and by a sum
    that weighs the event at place p by 1 / (1 + p), and adds what is known
    of the request. The item half reads ids and dense features. Both are a
    linear map plus one hidden layer, so that a product of pooled and candidate
    ids, which is how often they were met, passes through. An item's vector has
    one number more, its bias, which the user's 1 is multiplied with.

    Args:
        schema: the columns of a request, or their JSON dict.
        config: a `CoarseConfig`, its dict, or None.

    Call arguments:
        inputs: dict of the schema's history, context and candidate columns.
        training: bool. Has no effect.

    Returns:
        (B, N) float32, scores of the candidates.

    Example:
    >>> from jd_tf.schema import Behavior, IdColumn, Objective, Schema
    >>> schema = Schema(
    ...     name="shop",
    ...     item_columns=(IdColumn("item_id", num_buckets=100),),
    ...     behaviors=(Behavior("click", max_length=50),),
    ...     objectives=(Objective("click"),),
    ...     max_candidates=20,
    ... )
    >>> CoarseTower(schema).config.vector_dim
    64

    References:
        Zhe Wang et al., "COLD: Towards the Next Generation of Pre-Ranking
        System", DLP-KDD 2020 (the vector-product form that it starts from).
    """

    config_class = CoarseConfig

    def __init__(self, schema: Any, config: Any = None, **kwargs: Any):
        super().__init__(schema, config, **kwargs)
        schema, config = self.schema, self.config
        self.tables = {}
        for place, column in enumerate(schema.item_id_columns):
            dim = config.feature_embedding_dim
            self.tables[column.name] = IdEmbedding(
                dim if place else config.item_embedding_dim,
                column.num_buckets,
                column.vocabulary,
                column.dtype,
                pooling=column.pooling if column.multi_valued else "",
                name=column.name,
            )
        self.item_normalization = None
        if schema.item_dense:
            self.item_normalization = FeatureNormalization(
                schema.linear_indices(schema.item_dense),
                embedding_dim=config.numeric_embedding_dim,
                name="item_dense",
            )
        self.context_encoder = ContextEncoder(
            schema.context_columns,
            config.context_embedding_dim,
            len(schema.session_dense),
            0,
            schema.linear_indices(schema.session_dense),
            config.numeric_embedding_dim,
            name="context_encoder",
        )
        for half in ("user", "item"):
            for part, units, activation in (
                ("hidden", config.hidden_units, "relu"),
                ("linear", config.vector_dim, None),
                ("output", config.vector_dim, None),
            ):
                layer = keras.layers.Dense(
                    units, activation, name=f"{half}_{part}"
                )
                setattr(self, f"{half}_{part}", layer)
        self.item_bias = keras.layers.Dense(1, name="item_bias")
        self.build()

    def build_layers(self) -> None:
        schema, config = self.schema, self.config
        for table in self.tables.values():
            table.build()
        ids = sum(table.embedding_dim for table in self.tables.values())
        item = ids
        if self.item_normalization is not None:
            width = len(schema.item_dense)
            self.item_normalization.build((None, None, width))
            item += width * (1 + config.numeric_embedding_dim)
        user = len(schema.behaviors) * (2 * ids + 1)
        if self.context_encoder.output_dim:
            self.context_encoder.build()
            user += self.context_encoder.output_dim
        for half, width in (("user", user), ("item", item)):
            for part in ("hidden", "linear"):
                getattr(self, f"{half}_{part}").build((None, width))
            hidden = (None, config.hidden_units)
            getattr(self, f"{half}_output").build(hidden)
        self.item_bias.build((None, config.hidden_units))

    @property
    def item_columns(self) -> list[str]:
        """Names of the candidate columns that the item half reads."""
        names = [column.name for column in self.schema.item_id_columns]
        return names + ["item_dense"] * bool(self.schema.item_dense)

    @property
    def user_columns(self) -> list[str]:
        """Names of the history and context columns the user half reads."""
        names = []
        for behavior in self.schema.behaviors:
            names.append(behavior.length)
            names += [
                f"{behavior.name}_{column.name}"
                for column in self.schema.item_id_columns
            ]
        names += [column.name for column in self.schema.context_columns]
        return names + ["session_dense"] * bool(self.schema.session_dense)

    def encode_items(self, candidates: Tensors) -> Any:
        """Returns the vectors of items, (B, N, D + 1) float32.

        Args:
            candidates: the columns of `item_columns`.
        """
        parts = [table(candidates[n]) for n, table in self.tables.items()]
        if self.item_normalization is not None:
            parts.append(self.item_normalization(candidates["item_dense"]))
        known = ops.concatenate(parts, axis=-1)
        hidden = self.item_hidden(known)
        vectors = self.item_linear(known) + self.item_output(hidden)
        return ops.concatenate([vectors, self.item_bias(hidden)], axis=-1)

    def encode_user(self, inputs: Tensors) -> Any:
        """Returns the vectors of users, (B, D + 1) float32.

        Args:
            inputs: the columns of `user_columns`.
        """
        parts = []
        for behavior in self.schema.behaviors:
            events = [
                table(inputs[f"{behavior.name}_{name}"])
                for name, table in self.tables.items()
            ]
            vectors = ops.concatenate(events, axis=-1)
            parts += self._pooled(vectors, inputs[behavior.length])
        context = self.context_encoder.of_request(inputs)
        if context is not None:
            parts.append(context)
        known = ops.concatenate(parts, axis=-1)
        vectors = self.user_linear(known)
        vectors += self.user_output(self.user_hidden(known))
        one = ops.ones_like(vectors[:, :1])
        return ops.concatenate([vectors, one], axis=-1)

    def call(self, inputs: Tensors, training: bool = False) -> Any:
        items = self.encode_items(inputs)
        users = self.encode_user(inputs)[:, :, None]
        return ops.squeeze(ops.matmul(items, users), axis=-1)

    @staticmethod
    def _pooled(vectors: Any, length: Any) -> list:
        """Returns mean and recency-weighted sum of events, and their number."""
        width = ops.shape(vectors)[1]
        mask = ops.cast(length_mask(length, width), "float32")
        count = ops.cast(length, "float32")[:, None]
        place = 1.0 / (1.0 + ops.cast(ops.arange(width), "float32"))
        mean = ops.sum(vectors * mask[..., None], axis=1)
        mean /= ops.maximum(count, 1.0)
        recent = ops.sum(vectors * (mask * place)[..., None], axis=1)
        return [mean, recent, ops.log1p(count)]

    def compute_output_spec(
        self, inputs: Tensors, training: bool = False, **_: Any
    ) -> keras.KerasTensor:
        """Returns the output's shape without running the model."""
        return keras.KerasTensor(tuple(inputs["item_id"].shape), "float32")
