"""A ranker's head: the request, experts and one tower per objective."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from jd_tf.layers import (
    BiasTower,
    EntireSpaceLogits,
    FeatureNormalization,
    MixtureOfExperts,
    TaskTower,
)
from jd_tf.layers.split_layer import SplitLayer
from jd_tf.models.base import RankingModel, Tensors
from jd_tf.models.blocks.context_encoder import ContextEncoder
from jd_tf.models.blocks.event_ages import since_newest
from jd_tf.models.blocks.item_encoder import ItemEncoder
from jd_tf.models.blocks.mean_preserving_bias import mean_preserving_bias
from jd_tf.models.blocks.real_cells import RealCells
from jd_tf.models.blocks.session_features import SessionFeatures, scaled
from jd_tf.schema import Behavior


class MultiTaskRanker(RankingModel):
    """Scores features of user and candidate by a mixture of experts.

    A subclass makes its `item_encoder` and what reads the histories in
    `make_layers`, which ends with `make_head`; its config has the groups
    `items` and `head`.
    Arguments, call arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("jd_ranker").model_class, MultiTaskRanker)
    True
    """

    item_encoder: Any
    # The `BiasTower` of a model that makes one.
    bias_tower: Any = None

    def make_item_encoder(self) -> None:
        """Makes the encoder of ids, of candidates and events alike."""
        schema, items = self.schema, self.config.items
        self.item_encoder = ItemEncoder(
            schema.item_columns,
            len(schema.behaviors),
            items.model_dim,
            items.item_embedding_dim,
            items.feature_embedding_dim,
            name="item_encoder",
            dtype=self.dtype_policy,
        )

    def make_head(self, num_ages: int, interest_dim: int) -> None:
        """Makes the layers that do not depend on how histories are read.

        `num_ages` counts the histories whose newest event's age is read with
        the request; `interest_dim` is the width of a history's interest.
        """
        schema, items = self.schema, self.config.items
        shared = {"dtype": self.dtype_policy}
        self.context_encoder = ContextEncoder(
            schema.context_columns,
            items.context_embedding_dim,
            len(schema.session_dense),
            num_ages,
            schema.linear_indices(schema.session_dense),
            items.numeric_embedding_dim,
            name="context_encoder",
            **shared,
        )
        self.item_normalization = FeatureNormalization(
            schema.linear_indices(schema.item_dense),
            embedding_dim=items.numeric_embedding_dim,
            name="item_dense",
            **shared,
        )
        self.make_network()
        self.entire_space = EntireSpaceLogits(
            schema.given_indices,
            len(schema.amount_names),
            name="entire_space",
            dtype="float32",
        )
        self.session = SessionFeatures(
            schema.behaviors,
            interest_dim,
            self.context_encoder.output_dim,
            len(schema.session_dense),
            self.config.fusion.session_seconds,
            name="session_features",
        )

    def make_network(self) -> None:
        """Makes the layers between features and conditional logits.

        Here `make_experts` and a tower for each objective.
        """
        head = self.config.head
        self.experts = self.make_experts()
        self.towers = TaskTower(
            len(self.schema.objectives),
            head.tower_units,
            dropout_rate=head.dropout_rate,
            name="towers",
            dtype=self.dtype_policy,
        )

    def make_experts(self) -> SplitLayer:
        """Returns what towers read: T outputs, or one, of each candidate."""
        head = self.config.head
        return MixtureOfExperts(
            head.num_experts,
            head.expert_units,
            len(self.schema.objectives),
            dropout_rate=head.dropout_rate,
            name="experts",
            dtype=self.dtype_policy,
        )

    def build_network(self, candidate_dim: int, user_dim: int) -> None:
        """Builds the layers of `make_network` for features of these widths."""
        num_tasks = len(self.schema.objectives)
        shapes = (None, None, candidate_dim), (None, user_dim)
        self.experts.build(*shapes)
        expert_dim = self.experts.compute_output_shape(*shapes)[-1]
        self.towers.build((None, None, num_tasks, expert_dim))

    def build_readers(self) -> tuple[int, int]:
        """Builds what reads the histories.

        Returns:
            Widths of a candidate's features, without its own `item_dense`,
            and of the interests of all histories.
        """
        raise NotImplementedError

    def build_layers(self) -> None:
        num_dense = len(self.schema.item_dense)
        num_tasks = len(self.schema.objectives)
        self.item_encoder.build()
        self.context_encoder.build()
        candidate_dim, user_dim = self.build_readers()
        if num_dense:
            self.item_normalization.build((None, None, num_dense))
        candidate_dim += num_dense * (1 + self.item_normalization.embedding_dim)
        user_dim += self.context_encoder.output_dim
        self.build_network(candidate_dim, user_dim)
        self.entire_space.build((None, None, num_tasks))
        self.session.build()
        if self.bias_tower is not None:
            columns = self.schema.bias_columns
            self.bias_tower.build({c.name: (None, None) for c in columns})

    def item_ids(self, inputs: Tensors, prefix: str = "") -> list:
        """Returns the ids of candidates, or of a behaviour's events."""
        return [inputs[prefix + c.name] for c in self.schema.item_columns]

    def item_rows(self, batch: Tensors) -> np.ndarray:
        """Returns the table rows of candidates' ids, (B, N, W)."""
        return np.asarray(self.item_encoder.rows(self.item_ids(batch)))

    def shared_state(
        self,
        histories: Tensors,
        interests: Sequence[Any],
        states: Sequence[Mapping[str, Any]],
        training: bool,
    ) -> dict[str, Any]:
        """Returns the part of the user state that the head reads.

        `interests` are (B, D), `states` what `SessionFeatures` reads, one a
        behaviour; other arguments are those of `encode_histories`.
        """
        joined = ops.concatenate(interests, axis=-1)
        state = self.network_state(joined)
        if self.fusion is not None and not training:
            read = {name: histories[name] for name in self.session.columns}
            state["session"] = self.session.encode_histories(read, states)
        return state

    def network_state(self, interests: Any) -> dict[str, Any]:
        """Returns what the network keeps of all interests (B, D), by name."""
        return {"experts": self.experts.encode_user(interests)}

    def encode_request(self, user_state: Tensors, request: Tensors) -> Any:
        time, behaviors = request["request_time"], self.schema.behaviors
        since = since_newest(user_state, behaviors, time)
        encoded = self.context_encoder.of_request(request, since)
        return {"encoded": encoded, "since_seconds": since}

    def experts_state(self, user_state: Tensors, context: Any) -> Any:
        """Returns the user half of the experts for this request."""
        if context["encoded"] is None:
            return user_state["experts"]
        return self.experts.add_request(
            user_state["experts"], context["encoded"]
        )

    def conditional_logits(
        self,
        user_state: Tensors,
        context: Any,
        features: Any,
        num_candidates: Any,
        training: bool = False,
    ) -> tuple[Any, Any]:
        """Returns logits before the entire space, and what the towers read.

        `features` (B, N, F) are the candidates'; other arguments are those of
        `candidate_logits`. While training, padding is not computed: its logits
        are 0, and the towers read (M, 1, T, D) of the M real candidates.
        """
        state = self.experts_state(user_state, context)
        if not training:
            return self._tower_logits(features, state)
        real = RealCells(num_candidates, ops.shape(features)[1])
        logits, shared = self._tower_logits(
            real.pack(features), real.requests(state), training
        )
        return real.unpack(logits), shared

    def _tower_logits(
        self, features: Any, state: Any, training: bool = False
    ) -> tuple[Any, Any]:
        mixed = self.experts.mix(features, state, training)
        read, num_tasks = mixed, len(self.schema.objectives)
        if read.shape[2] < num_tasks:
            # One network, which every tower reads.
            read = ops.repeat(read, num_tasks, axis=2)
        logits = self.towers(read, training=training)
        return ops.cast(logits, "float32"), mixed

    def make_bias_tower(self) -> None:
        """Makes a tower of the columns that only training knows, if any."""
        columns, units = self.schema.bias_columns, self.config.head.bias_units
        if columns:
            self.bias_tower = BiasTower(
                {c.name: c.num_values for c in columns},
                units,
                len(self.schema.objectives),
                name="bias_tower",
                dtype=self.dtype_policy,
            )

    def with_position_bias(
        self, conditional: Any, candidates: Tensors, training: bool = False
    ) -> Any:
        """Adds to logits what position explains, while training.

        Args:
            conditional: (B, N, T) float, before the entire space.
            candidates: of `candidate_logits`.
            training: of `candidate_logits`.
        """
        if not training or self.bias_tower is None:
            return conditional
        return conditional + self.position_bias(candidates, conditional)

    def position_bias(self, candidates: Tensors, conditional: Any) -> Any:
        """Returns what position explains, (B, N, T), to add to logits."""
        columns = self.schema.bias_columns
        return mean_preserving_bias(
            self.bias_tower({c.name: candidates[c.name] for c in columns}),
            conditional,
            self.entire_space,
            self.schema.given_indices,
            candidates["num_candidates"],
        )

    @property
    def session_dim(self) -> int:
        """Returns the width of the session features."""
        more = self.config.fusion.use_representation
        return self.session.output_dim + more * self.representation_dim

    @property
    def representation_dim(self) -> int:
        """Returns the width of `experts_state`."""
        return self.experts.user_state_dim

    def session_features(self, user_state: Tensors, context: Any) -> Any:
        features = self.session.at_request(
            user_state["session"], context["encoded"], context["since_seconds"]
        )
        if not self.config.fusion.use_representation:
            return features
        state = scaled(self.experts_state(user_state, context))
        return ops.concatenate([features, state], axis=-1)


def behavior_state(
    user_state: Mapping[str, Any], behavior: Behavior
) -> dict[str, Any]:
    """Returns what the user state holds of one behaviour."""
    prefix = f"{behavior.name}_"
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in user_state.items()
        if name.startswith(prefix)
    }
