"""JD's fine ranker: the user once a request, then every candidate."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from keras import ops

from jd_tf.layers import TreeEnsemble
from jd_tf.layers.sequence.event_times import seconds_between
from jd_tf.models.base import Tensors
from jd_tf.models.blocks.behavior_reader import BehaviorReader
from jd_tf.models.blocks.event_ages import newest_time
from jd_tf.models.blocks.item_encoder import ItemEncoder
from jd_tf.models.blocks.pair_reader import PairReader
from jd_tf.models.blocks.tree_numbers import TreeNumbers
from jd_tf.models.multi_task_ranker import MultiTaskRanker, behavior_state
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.models.registry import register_model
from jd_tf.schema import Behavior

__all__ = ["JDRanker", "JDRankerConfig"]


@register_model("jd_ranker", JDRankerConfig)
class JDRanker(MultiTaskRanker):
    """Reads histories by Transformers and candidates by target attention.

    Histories become tokens, get their time, and are encoded by one
    Transformer per behaviour; candidates read the memories by target
    attention; a mixture of experts feeds one tower per objective. Objectives
    that need a click are modelled on all impressions. Nothing that depends on
    the user alone is computed per candidate, in training as in serving.
    Without `use_sequence` candidates are only compared with the events, and
    of the user the experts see what the request tells.
    Arguments, call arguments and outputs are those of `RankingModel`.

    Example:
    >>> from jd_tf.schema import Behavior, IdColumn, Objective, Schema
    >>> schema = Schema(
    ...     name="shop",
    ...     item_columns=(IdColumn("item_id", num_buckets=100),),
    ...     behaviors=(Behavior("click", max_length=50),),
    ...     objectives=(Objective("click"),),
    ...     max_candidates=20,
    ... )
    >>> [reader.name for reader in JDRanker(schema).readers]
    ['click_reader']

    References:
        JD.com's talk on ranking its home feed.
        Deep Multifaceted Transformers for Multi-objective Ranking in
        Large-Scale E-commerce Recommender Systems. Gu et al., CIKM 2020.
        Entire Space Multi-Task Model. Ma et al., SIGIR 2018.
        Modeling Task Relationships in Multi-task Learning with Multi-gate
        Mixture-of-Experts. Ma et al., KDD 2018.
    """

    config_class = JDRankerConfig

    def make_layers(self) -> None:
        schema, config = self.schema, self.config
        items, content, head = config.items, config.content, config.head
        shared = {"dtype": self.dtype_policy}
        num_tasks = len(schema.objectives)
        use_sequence = config.sequence.use_sequence
        self.item_encoder = ItemEncoder(
            schema.item_columns,
            len(schema.behaviors) if use_sequence else 0,
            items.model_dim,
            items.item_embedding_dim,
            items.feature_embedding_dim,
            use_images=content.use_images,
            num_image_rows=content.num_image_rows,
            image_dim=content.image_dim,
            title_embedding_dim=content.title_embedding_dim
            * content.use_titles,
            num_transfer_experts=content.num_transfer_experts,
            transfer_dim=content.transfer_dim,
            name="item_encoder",
            **shared,
        )
        reading = dataclasses.asdict(config.sequence)
        if not reading.pop("use_fine_grained"):
            for name in ("use_dwell", "use_action_counts", "use_action_ids"):
                reading[name] = False
        match_dim = content.content_match_dim * content.use_content_matches
        self.readers = [
            BehaviorReader(
                behavior,
                len(schema.item_id_columns),
                items.model_dim,
                content_dims=self.item_encoder.content_dims,
                content_match_dim=match_dim,
                dropout_rate=head.dropout_rate,
                max_values=schema.values_per_id,
                value_rows=[c.value_rows for c in schema.item_id_columns],
                name=f"{behavior.name}_reader",
                **reading,
                **shared,
            )
            for behavior in schema.behaviors
        ]
        if config.pairs.use_pairs:
            sizes = dataclasses.asdict(config.pairs)
            del sizes["use_pairs"], sizes["digest"]
            self.pairs = PairReader(
                {n: schema.column(n).dtype for n in sizes.pop("columns")},
                num_objectives=num_tasks,
                num_weights={
                    behavior.name: reader.match_reader.num_learned
                    for behavior, reader in self._behaviors()
                },
                name="pairs",
                **sizes,
            )
        self.make_head(
            len(schema.behaviors) if config.sequence.use_recency else 0,
            items.model_dim if use_sequence else 0,
        )
        if config.trees.num_trees:
            self.trees = TreeEnsemble(
                schema.given_indices[: len(schema.outcome_names)],
                **dataclasses.asdict(config.trees),
                name="trees",
                dtype="float32",
            )
            # Items are too many for trees to split.
            columns = schema.single_id_columns[1:]
            self.tree_inputs = TreeNumbers(
                {c.name: c.dtype for c in columns},
                {c.name: c.dtype for c in schema.context_columns},
                [b.name for b in schema.behaviors if b.action_slots],
                name="tree_numbers",
            )
        self.make_bias_tower()

    def build_readers(self) -> tuple[int, int]:
        """See `MultiTaskRanker`."""
        for reader in self.readers:
            reader.build()
        candidate_dim = sum(reader.reading_dim for reader in self.readers)
        candidate_dim += self.config.items.model_dim
        if self.pairs is not None:
            self.pairs.build()
            candidate_dim += self.pairs.output_dim
        return candidate_dim, sum(
            reader.interest_dim for reader in self.readers
        )

    def build_layers(self) -> None:
        super().build_layers()
        if self.trees is not None:
            self.trees.build()
            self.tree_inputs.build()

    # The contract -----------------------------------------------------------

    def encode_histories(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        state, interests, states, event_weights = {}, [], [], {}
        for number, (behavior, reader) in enumerate(self._behaviors(), 1):
            name, length = behavior.name, histories[behavior.length]
            times = histories[f"{name}_event_time"]
            newest = newest_time(times, length)
            ids = self.item_ids(histories, f"{name}_")
            contents, tokens = self.item_encoder.content_embeddings(ids), None
            if reader.use_sequence:
                tokens = self.item_encoder.encode_events(
                    ids, length, number, training, contents
                )
            events = {
                detail: histories[f"{name}_{detail}"]
                for detail in reader.event_details
            }
            events["age_seconds"] = seconds_between(times, newest[:, None])
            if reader.num_dense:
                events["item_dense"] = self.item_normalization.normalize(
                    histories[f"{name}_item_dense"],
                    self.schema.dense_indices(behavior),
                )
            encoded, interest = reader.encode(
                tokens,
                events,
                length,
                self.item_encoder.rows(ids),
                contents,
                training=training,
            )
            event_weights[name] = encoded.pop("event_weights", None)
            interests.append(interest)
            states.append(encoded)
            state[f"{name}_newest_time"] = newest
            state |= {f"{name}_{p}": t for p, t in encoded.items()}
        if self.pairs is not None:
            state |= self.pairs.encode(histories, event_weights)
        if self.trees is not None:
            state |= self.tree_inputs.encode(histories)
        return state | self.shared_state(histories, interests, states, training)

    def encode_request(self, user_state: Tensors, request: Tensors) -> Any:
        context = super().encode_request(user_state, request)
        if self.trees is not None:
            context["ranks"] = self.tree_inputs.of_request(request)
        return context

    def candidate_logits(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        training: bool = False,
    ) -> tuple[Any, Any]:
        pairs = self._pair_features(user_state, context, candidates)
        features, numbers = self._candidate_features(
            user_state, context, candidates, pairs, training
        )
        conditional, mixed = self.conditional_logits(
            user_state,
            context,
            ops.concatenate([*features, *numbers], axis=-1),
            candidates["num_candidates"],
            training,
        )
        if self.pairs is not None:
            conditional += self.pairs.logits(pairs[0])
        conditional = self.with_position_bias(conditional, candidates, training)
        logits = self.entire_space(conditional)
        if self.trees is not None and not training:
            numbers = self._tree_numbers(
                user_state, context, candidates, numbers
            )
            if not self.head.num_amounts:
                return self.trees(numbers, logits), mixed
            # Amounts are the network's alone.
            at = self.trees.num_outputs
            outcomes = self.trees(numbers, logits[..., :at])
            logits = ops.concatenate([outcomes, logits[..., at:]], axis=-1)
        return logits, mixed

    def tree_numbers(self, inputs: Tensors) -> Any:
        state = self.encode_histories(inputs)
        context = self.encode_request(state, inputs)
        pairs = self._pair_features(state, context, inputs)
        _, numbers = self._candidate_features(state, context, inputs, pairs)
        return self._tree_numbers(state, context, inputs, numbers)

    def explain(self, inputs: Tensors) -> dict[str, Any]:
        """Returns what the ranker attends to.

        Args:
            inputs: as for `call`.

        Returns:
            `attention_<behavior>` (B, H, N, L), per candidate and head over
            the events, unless there is no sequence part, `gate_weights`
            (B, N, T, E) and, with a fusion, `fusion_weights` (B, T).
        """
        state = self.encode_histories(inputs)
        context = self.encode_request(state, inputs)
        candidates = self.item_encoder(self.item_ids(inputs))
        explained = {
            f"attention_{behavior.name}": reader.attention_weights(
                candidates, behavior_state(state, behavior)
            )
            for behavior, reader in self._behaviors()
            if reader.use_sequence
        }
        pairs = self._pair_features(state, context, inputs)
        features, numbers = self._candidate_features(
            state, context, inputs, pairs
        )
        explained["gate_weights"] = self.experts.gate_weights(
            ops.concatenate([*features, *numbers], axis=-1),
            self.experts_state(state, context),
        )
        if self.fusion is not None:
            session = self.session_features(state, context)
            explained["fusion_weights"] = self.head.request_weights(session)
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

    # Parts ------------------------------------------------------------------

    def _behaviors(self) -> Iterator[tuple[Behavior, BehaviorReader]]:
        return zip(self.schema.behaviors, self.readers, strict=True)

    def _pair_features(
        self, user_state: Tensors, context: Any, candidates: Tensors
    ) -> list:
        """Returns the pair features as the one tensor of a list, if any."""
        if not self.pairs:
            return []
        state = dict(user_state)
        for number, (behavior, reader) in enumerate(self._behaviors()):
            name, match = f"pair_{behavior.name}_weights", reader.match_reader
            if name in state and match.event_weights and match.fades:
                since = context["since_seconds"][:, number]
                left = match.event_weights.fade(since)
                state[name] *= ops.cast(left[:, None], state[name].dtype)
        return [self.pairs.read(state, candidates)]

    def _candidate_features(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        pairs: list,
        training: bool = False,
    ) -> tuple[list, list]:
        """Returns what experts read of candidates: vectors, and numbers."""
        ids = self.item_ids(candidates)
        rows = self.item_encoder.rows(ids)
        contents = self.item_encoder.content_embeddings(ids)
        tokens = self.item_encoder.encode(ids, contents)
        vectors, numbers, dense = [tokens], [], None
        if self.schema.item_dense:
            numbers.append(self.item_normalization(candidates["item_dense"]))
            own = numbers[-1][..., -len(self.schema.item_dense) :]
        for number, (behavior, reader) in enumerate(self._behaviors()):
            state = behavior_state(user_state, behavior)
            since = context["since_seconds"][:, number]
            if reader.num_dense:
                known = self.schema.dense_indices(behavior)
                dense = ops.take(own, known, axis=-1)
            found = reader.read(
                tokens, rows, state, contents, since, dense, training
            )
            num_vectors = 2 * reader.use_sequence
            vectors += found[:num_vectors]
            numbers += found[num_vectors:]
        numbers += [ops.cast(part, tokens.dtype) for part in pairs]
        return vectors, numbers

    def _tree_numbers(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        numbers: list,
    ) -> Any:
        """Returns a candidate's numbers and its request's, (B, N, K)."""
        lengths = [user_state[b.length] for b in self.schema.behaviors]
        request = [context["since_seconds"], ops.stack(lengths, axis=1)]
        if context["encoded"] is not None:
            request.append(context["encoded"])
        return self.tree_inputs.join(
            user_state, context["ranks"], candidates, request, numbers
        )
