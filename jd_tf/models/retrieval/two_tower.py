"""Users and items as vectors of one space."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from jd_tf.layers import FeatureNormalization
from jd_tf.models.blocks.context_encoder import ContextEncoder
from jd_tf.models.blocks.event_ages import newest_time, since_newest
from jd_tf.models.blocks.item_encoder import ItemEncoder
from jd_tf.models.blocks.timeline_encoder import TimelineEncoder
from jd_tf.models.registry import register_model
from jd_tf.models.retrieval.two_tower_config import TwoTowerConfig
from jd_tf.models.schema_model import SchemaModel
from jd_tf.schema import Behavior, SchemaError

Tensors = Mapping[str, Any]


@register_model("two_tower", TwoTowerConfig)
class TwoTower(SchemaModel):
    """Finds candidates: the nearest items to a user's vectors.

    The item tower maps ids and dense features to a vector; the user tower
    reads the same vectors of the items of the history. It is causal, so that a
    timeline is as many training examples as it has events; what is known of
    the request alone is added at its newest place.

    It ranks nothing and is no `RankingModel`: `train_retrieval` trains it.

    Args:
        schema: the columns of a request, or their JSON dict.
        config: a `TwoTowerConfig`, its nested dict, or None.

    Call arguments:
        inputs: dict of the schema's history, context and candidate columns.
        training: bool. Whether dropout is active.

    Returns:
        (B, N) float32, scores of the candidates.

    Raises:
        SchemaError: the config names a behaviour that is not there.

    Example:
    >>> from jd_tf.schema import Behavior, IdColumn, Objective, Schema
    >>> schema = Schema(
    ...     name="shop",
    ...     item_columns=(IdColumn("item_id", num_buckets=100),),
    ...     behaviors=(Behavior("click", max_length=50),),
    ...     objectives=(Objective("click"),),
    ...     max_candidates=20,
    ... )
    >>> TwoTower(schema).behavior.name
    'click'

    References:
        Self-Attentive Sequential Recommendation. Kang and McAuley, ICDM 2018.
        Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
        Recommendations. Yi et al., RecSys 2019.
    """

    config_class = TwoTowerConfig

    def __init__(self, schema: Any, config: Any = None, **kwargs: Any):
        super().__init__(schema, config, **kwargs)
        schema = self.schema
        timeline, items = self.config.timeline, self.config.items
        shared = {"dtype": self.dtype_policy}
        self.behavior = self._behavior(timeline.behavior)
        # Texts are not read.
        columns = schema.item_id_columns
        self._item_columns = columns if items.use_features else columns[:1]
        self.item_encoder = ItemEncoder(
            self._item_columns,
            0,
            items.model_dim,
            items.item_embedding_dim,
            items.feature_embedding_dim,
            name="item_encoder",
            **shared,
        )
        self.item_normalization: Any = None
        self.dense_map: Any = None
        if schema.item_dense and items.use_features and items.use_item_dense:
            self.item_normalization = FeatureNormalization(
                schema.linear_indices(schema.item_dense),
                name="item_dense",
                **shared,
            )
            self.dense_map = keras.layers.Dense(
                items.model_dim, use_bias=False, name="dense_map", **shared
            )
        self.timeline_encoder = TimelineEncoder(
            self.behavior,
            items.model_dim,
            timeline.use_sequence,
            timeline.num_encoder_layers,
            timeline.num_heads,
            timeline.feedforward_dim,
            timeline.use_recency,
            timeline.use_fine_grained,
            timeline.dropout_rate,
            name="timeline_encoder",
            **shared,
        )
        self.context_encoder = ContextEncoder(
            schema.context_columns,
            items.context_embedding_dim,
            len(schema.session_dense),
            int(timeline.use_recency),
            schema.linear_indices(schema.session_dense),
            name="context_encoder",
            **shared,
        )
        self.context_map = None
        if timeline.use_context and self.context_encoder.output_dim:
            self.context_map = keras.layers.Dense(
                items.model_dim, name="context_map", **shared
            )
        self.interests = None
        if timeline.num_interests > 1:
            self.interests = keras.layers.Dense(
                timeline.num_interests * items.model_dim,
                name="interests",
                **shared,
            )
        self.build()

    def _behavior(self, name: str) -> Behavior:
        behaviors = {b.name: b for b in self.schema.behaviors}
        if name and name not in behaviors:
            raise SchemaError(
                f"`timeline.behavior` must be one of {', '.join(behaviors)}. "
                f"Got: {name!r}."
            )
        return behaviors[name] if name else self.schema.behaviors[0]

    def build_layers(self) -> None:
        dim = self.config.items.model_dim
        self.item_encoder.build()
        self.timeline_encoder.build()
        if self.dense_map is not None:
            shape = (None, None, len(self.schema.item_dense))
            self.item_normalization.build(shape)
            self.dense_map.build(shape)
        if self.context_map is not None:
            self.context_encoder.build()
            self.context_map.build((None, self.context_encoder.output_dim))
        if self.interests is not None:
            self.interests.build((None, None, dim))

    # The two towers ---------------------------------------------------------

    @property
    def item_columns(self) -> list[str]:
        """Names of the candidate columns that the item tower reads."""
        names = [column.name for column in self._item_columns]
        return names + ["item_dense"] * (self.dense_map is not None)

    @property
    def user_columns(self) -> list[str]:
        """Names of the history and context columns the user tower reads."""
        prefix = f"{self.behavior.name}_"
        names = [prefix + column.name for column in self._item_columns]
        names += self.timeline_encoder.columns
        if self.context_map is not None:
            names += ["request_time"] * self.config.timeline.use_recency
            names += [column.name for column in self.schema.context_columns]
            names += ["session_dense"] * bool(self.schema.session_dense)
        return names

    def encode_items(self, candidates: Tensors) -> Any:
        """Returns the vectors of items, (B, N, D) float32.

        Args:
            candidates: the columns of `item_columns`.
        """
        vectors = self.item_encoder(
            [candidates[column.name] for column in self._item_columns]
        )
        if self.dense_map is not None:
            numbers = self.item_normalization(candidates["item_dense"])
            vectors += self.dense_map(numbers)
        return self._scaled(vectors, 1.0)

    def encode_timeline(self, inputs: Tensors, training: bool = False) -> Any:
        """Returns the user's vectors after each event, (B, L + 1, K, D).

        Place i has read event i and older ones, place 0 the context besides,
        and place `length` no event at all. Inner products with vectors of
        items are scores, the temperature included.

        Args:
            inputs: the columns of `user_columns`.
            training: whether dropout is active.
        """
        prefix = f"{self.behavior.name}_"
        tokens = self.item_encoder(
            [inputs[prefix + column.name] for column in self._item_columns]
        )
        vectors = self.timeline_encoder(tokens, inputs, training=training)
        if self.context_map is not None:
            context = self.context_map(self._context(inputs))[:, None]
            newest = vectors[:, :1] + context
            vectors = ops.concatenate([newest, vectors[:, 1:]], axis=1)
        count, dim = self.config.timeline.num_interests, vectors.shape[-1]
        if self.interests is not None:
            vectors = self.interests(vectors)
        shape = (-1, ops.shape(vectors)[1], count, dim)
        vectors = ops.reshape(vectors, shape)
        return self._scaled(vectors, 1.0 / self.config.items.temperature)

    def encode_user(self, inputs: Tensors) -> Any:
        """Returns the vectors of users at their requests, (B, K, D) float32.

        Args:
            inputs: the columns of `user_columns`.
        """
        return self.encode_timeline(inputs)[:, 0]

    def call(self, inputs: Tensors, training: bool = False) -> Any:
        users = self.encode_timeline(inputs, training)[:, 0]
        items = self.encode_items(inputs)
        scores = ops.matmul(users, ops.transpose(items, (0, 2, 1)))
        return ops.max(scores, axis=1)

    def _context(self, inputs: Tensors) -> Any:
        name = self.behavior.name
        length = inputs[f"{name}_length"]
        state = {f"{name}_length": length}
        since = None
        if self.config.timeline.use_recency:
            times = inputs[f"{name}_event_time"]
            state[f"{name}_newest_time"] = newest_time(times, length)
            since = since_newest(state, [self.behavior], inputs["request_time"])
        return self.context_encoder.of_request(inputs, since)

    def _scaled(self, vectors: Any, scale: float) -> Any:
        vectors = ops.cast(vectors, "float32")
        if self.config.items.normalize:
            vectors = ops.normalize(vectors, axis=-1, epsilon=1e-6)
        return vectors * scale if scale != 1.0 else vectors

    def compute_output_spec(
        self, inputs: Tensors, training: bool = False, **_: Any
    ) -> keras.KerasTensor:
        """Returns the output's shape without running the model."""
        return keras.KerasTensor(tuple(inputs["item_id"].shape), "float32")
