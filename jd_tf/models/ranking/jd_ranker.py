"""JD's fine ranker: the user once a request, then every candidate."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras import ops

from jd_tf.layers import (
    BiasTower,
    EntireSpaceLogits,
    LogScaling,
    MixtureOfExperts,
    TaskTower,
)
from jd_tf.models.blocks.behavior_reader import BehaviorReader
from jd_tf.models.blocks.context_encoder import ContextEncoder
from jd_tf.models.blocks.item_encoder import ItemEncoder
from jd_tf.models.blocks.mean_preserving_bias import mean_preserving_bias
from jd_tf.models.blocks.score_head import ScoreHead
from jd_tf.models.blocks.session_features import SessionFeatures
from jd_tf.models.fusion_sides import FusionSides
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import Behavior, Schema

__all__ = ["JDRanker", "JDRankerConfig"]

STATE = "user_state_"


@keras.saving.register_keras_serializable(package="jd_tf")
class JDRanker(FusionSides, keras.Model):
    """Ranks the candidates of a request by several objectives at once.

    Histories become tokens, get their time, and are encoded by one
    Transformer per behaviour; candidates read the memories by target
    attention; a mixture of experts feeds one tower per objective (JD.com's
    talk on ranking its home feed; Deep Multifaceted Transformers, CIKM
    2020). Objectives that need a click are modelled on all impressions.

    `call` is `encode_user` followed by `rank`: nothing that depends on the
    user alone is ever computed per candidate, in training as in serving.

    Args:
        schema: the columns of a request, or their JSON dict.
        config: sizes and switches, or their dict.

    Call arguments:
        inputs: dict of the schema's history, context and candidate columns,
            and of its bias columns while training. Other keys are ignored.
        training: bool. Whether dropout and the bias tower are active, and
            calibration and fusion are not.

    Returns:
        dict of `logits` (B, N, T) to train on, `probabilities` (B, N, T),
        calibrated if the config says so, both on the entire space of
        impressions, and `score` (B, N): the expected business value, by the
        values of the request's scenario if the schema has such, or what a
        fusion makes of the objectives by `fusion_weights` (B, T).
        While training also `shared` (B, N, T, E), what enters the towers: by
        their gradients there objectives can be balanced. What stands beyond
        `num_candidates` is meaningless.
    """

    def __init__(
        self,
        schema: Schema | Mapping[str, Any],
        config: JDRankerConfig | Mapping[str, Any] | None = None,
        **kwargs,
    ):
        # Ages, prices and labels would overflow half precision.
        super().__init__(**{**kwargs, "autocast": False})
        if not isinstance(schema, Schema):
            schema = Schema.from_json(dict(schema))
        if not isinstance(config, JDRankerConfig):
            config = JDRankerConfig(**(config or {}))
        self.schema = schema
        self.config = config
        self._make_layers()
        # The schema tells every shape, so all weights exist from here on.
        self.build()

    def _make_layers(self) -> None:
        schema, config = self.schema, self.config
        shared = {"dtype": self.dtype_policy}
        num_tasks = len(schema.objectives)
        self.item_encoder = ItemEncoder(
            schema.item_columns,
            len(schema.behaviors),
            config,
            name="item_encoder",
            **shared,
        )
        self.readers = [
            BehaviorReader(
                behavior,
                len(schema.item_id_columns),
                config,
                self.item_encoder.content_dims,
                name=f"{behavior.name}_reader",
                **shared,
            )
            for behavior in schema.behaviors
        ]
        self.context_encoder = ContextEncoder(
            schema.context_columns,
            config.context_embedding_dim,
            len(schema.session_dense),
            name="context_encoder",
            **shared,
        )
        self.item_dense_scaling = LogScaling(name="item_dense", **shared)
        self.experts = MixtureOfExperts(
            config.num_experts,
            config.expert_units,
            num_tasks,
            dropout_rate=config.dropout_rate,
            name="experts",
            **shared,
        )
        self.towers = TaskTower(
            num_tasks,
            config.tower_units,
            dropout_rate=config.dropout_rate,
            name="towers",
            **shared,
        )
        self.bias_tower = None
        if schema.bias_columns:
            self.bias_tower = BiasTower(
                {
                    column.name: column.num_values
                    for column in schema.bias_columns
                },
                config.bias_units,
                num_tasks,
                name="bias_tower",
                **shared,
            )
        self.entire_space = EntireSpaceLogits(
            schema.given_indices, name="entire_space", dtype="float32"
        )
        self.session_features = SessionFeatures(
            schema.behaviors,
            config.model_dim,
            self.context_encoder.output_dim,
            len(schema.session_dense),
            config.session_seconds,
            name="session_features",
        )
        self.session_features.build()
        # Last, so that the network before it starts from the same random
        # weights with it and without.
        self.head = ScoreHead(
            schema.given_indices,
            schema.objective_values,
            config,
            name="score_head",
        )

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        num_dense = len(self.schema.item_dense)
        num_tasks = len(self.schema.objectives)
        for layer in (self.item_encoder, self.context_encoder, *self.readers):
            layer.build()
        if num_dense:
            self.item_dense_scaling.build((None, None, num_dense))
        user_dim = sum(reader.interest_dim for reader in self.readers)
        user_dim += self.context_encoder.output_dim
        candidate_dim = sum(reader.reading_dim for reader in self.readers)
        candidate_dim += self.config.model_dim + num_dense
        self.experts.build((None, None, candidate_dim), (None, user_dim))
        expert_dim = self.config.expert_units[-1]
        self.towers.build((None, None, num_tasks, expert_dim))
        if self.bias_tower is not None:
            columns = self.schema.bias_columns
            self.bias_tower.build({c.name: (None, None) for c in columns})
        self.entire_space.build((None, None, num_tasks))
        logits = (None, None, num_tasks)
        self.head.build(logits, (None, self.session_features.output_dim))
        self.built = True

    # The two halves --------------------------------------------------------

    def encode_user(
        self, inputs: Mapping[str, Any], training: bool = False
    ) -> dict[str, Any]:
        """Computes all that the candidates need to know of the user.

        Args:
            inputs: the schema's history and context columns.
            training: whether dropout is active.

        Returns:
            Tensors named `user_state_*`, dimension 0 is B.
        """
        state, _ = self._encode(inputs, training)
        return state

    def _encode(
        self, inputs: Mapping[str, Any], training: bool
    ) -> tuple[dict[str, Any], Any]:
        """The user's state, and what the fusion reads, None without one."""
        state, interests = {}, []
        for number, (behavior, reader) in enumerate(self._behaviors(), 1):
            name = behavior.name
            ids = self._item_ids(inputs, f"{name}_")
            contents = self.item_encoder.contents(ids)
            encoded, interest = reader.encode(
                self.item_encoder.encode(ids, contents, consumer=number),
                {
                    detail: inputs[f"{name}_{detail}"]
                    for detail in ("age_seconds", *reader.event_details)
                },
                inputs[behavior.length],
                self.item_encoder.rows(ids),
                contents,
                training=training,
            )
            interests.append(interest)
            for part, tensor in encoded.items():
                state[f"{STATE}{name}_{part}"] = tensor
        context = None
        if self.context_encoder.output_dim:
            context = self._context(inputs)
            interests.append(context)
        user_features = ops.concatenate(interests, axis=-1)
        state[f"{STATE}experts"] = self.experts.encode_user(user_features)
        states = [_part(state, behavior) for behavior, _ in self._behaviors()]
        how, session = self.how_to_score(inputs, states, context, training)
        state |= {f"{STATE}{name}": tensor for name, tensor in how.items()}
        return state, session

    def rank(
        self,
        user_state: Mapping[str, Any],
        inputs: Mapping[str, Any],
        training: bool = False,
    ) -> dict[str, Any]:
        """Scores candidates for users already encoded.

        Args:
            user_state: what `encode_user` returned.
            inputs: the schema's candidate columns, and its bias columns
                while training.
            training: whether dropout and the bias tower are active.

        Returns:
            As `call`.
        """
        logits, mixed = self._logits(user_state, inputs, training)
        weights = user_state.get(f"{STATE}fusion_weights")
        values = user_state.get(f"{STATE}objective_values")
        outputs = {
            "logits": logits,
            **self.head(logits, weights, values, training=training),
        }
        return {**outputs, "shared": mixed} if training else outputs

    def _logits(
        self,
        user_state: Mapping[str, Any],
        inputs: Mapping[str, Any],
        training: bool,
    ) -> tuple[Any, Any]:
        """Logits (B, N, T) float32 on the entire space, not calibrated.

        Beside them stands what entered the towers, (B, N, T, E).
        """
        features = self._candidate_features(user_state, inputs, training)
        mixed = self.experts.mix(
            features, user_state[f"{STATE}experts"], training=training
        )
        conditional = ops.cast(self.towers(mixed, training=training), "float32")
        if training and self.bias_tower is not None:
            conditional += self._bias(inputs, conditional)
        return self.entire_space(conditional), mixed

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> dict:
        user_state = self.encode_user(inputs, training=training)
        return self.rank(user_state, inputs, training=training)

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Shows what the ranker looked at.

        Args:
            inputs: as for `call`.

        Returns:
            `attention_<behavior>` (B, H, N, L), per candidate and head over
            the events, `gate_weights` (B, N, T, E) and, with a fusion,
            `fusion_weights` (B, T).
        """
        user_state = self.encode_user(inputs)
        candidates = self.item_encoder(self._item_ids(inputs))
        explained = {
            f"attention_{behavior.name}": reader.attention_weights(
                candidates, _part(user_state, behavior)
            )
            for behavior, reader in self._behaviors()
        }
        features = self._candidate_features(user_state, inputs, training=False)
        explained["gate_weights"] = self.experts.gate_weights(
            features, user_state[f"{STATE}experts"]
        )
        if self.fusion is not None:
            weights = user_state[f"{STATE}fusion_weights"]
            explained["fusion_weights"] = weights
        return explained

    def assign_images(self, item_ids: Any, vectors: Any) -> None:
        """Replaces the image vectors; nothing else changes.

        Args:
            item_ids: (M,) raw ids, each once.
            vectors: (M, image_dim) float.

        Raises:
            ValueError: without images, or as `VectorTable.assign`.
        """
        if self.item_encoder.images is None:
            raise ValueError("the ranker reads no images: set `use_images`.")
        self.item_encoder.images.assign(item_ids, vectors)

    # Parts -----------------------------------------------------------------

    def _behaviors(self) -> Iterator[tuple[Behavior, BehaviorReader]]:
        return zip(self.schema.behaviors, self.readers, strict=True)

    def _context(self, inputs: Mapping[str, Any]) -> Any:
        ids = [inputs[c.name] for c in self.schema.context_columns]
        if not self.schema.session_dense:
            return self.context_encoder(ids)
        return self.context_encoder(ids, inputs["session_dense"])

    def _item_ids(self, inputs: Mapping[str, Any], prefix: str = "") -> list:
        return [inputs[prefix + c.name] for c in self.schema.item_columns]

    def _candidate_features(
        self,
        user_state: Mapping[str, Any],
        inputs: Mapping[str, Any],
        training: bool,
    ) -> Any:
        ids = self._item_ids(inputs)
        rows = self.item_encoder.rows(ids)
        contents = self.item_encoder.contents(ids)
        candidates = self.item_encoder.encode(ids, contents)
        parts = [candidates]
        for behavior, reader in self._behaviors():
            state = _part(user_state, behavior)
            parts += reader.read(candidates, rows, state, contents, training)
        if self.schema.item_dense:
            parts.append(self.item_dense_scaling(inputs["item_dense"]))
        return ops.concatenate(parts, axis=-1)

    def _bias(self, inputs: Mapping[str, Any], conditional: Any) -> Any:
        """What position explains, (B, N, T), to add to `conditional`."""
        columns = self.schema.bias_columns
        return mean_preserving_bias(
            self.bias_tower({c.name: inputs[c.name] for c in columns}),
            conditional,
            self.entire_space,
            self.schema.given_indices,
            inputs["num_candidates"],
        )

    # Keras -----------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            "schema": self.schema.to_json(),
            "config": dataclasses.asdict(self.config),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "JDRanker":
        return cls(**config)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Nothing to do: the constructor has built everything."""


def _part(user_state: Mapping[str, Any], behavior: Behavior) -> dict[str, Any]:
    """What the user state holds of one behaviour."""
    prefix = f"{STATE}{behavior.name}_"
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in user_state.items()
        if name.startswith(prefix)
    }
