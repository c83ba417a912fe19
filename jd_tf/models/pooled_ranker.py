"""A base of rankers that read histories as means."""

from typing import Any

from keras import ops

from jd_tf.layers.masking import mean_of_real
from jd_tf.models.base import Tensors
from jd_tf.models.blocks.event_ages import newest_time
from jd_tf.models.blocks.real_cells import RealCells
from jd_tf.models.overlap_ranker import OverlapRanker


class PooledRanker(OverlapRanker):
    """Averages histories and compares their ids with the candidates'.

    All that models of one kind share: they differ in what they make of these
    features. With `items.model_dim` an item is one token; without, its
    embeddings side by side, and products with the histories are left to the
    model:

        user       [mean of each history | context ids, ages, session]
        candidate  [item | item * mean of each history, if tokens |
                    overlaps of ids with each history, dense features]

    The means are the user state; the rest of the user enters with the
    request. Arguments, call arguments and outputs are those of
    `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("pooled_mmoe").model_class, PooledRanker)
    True
    """

    def make_layers(self) -> None:
        self.make_item_encoder()
        self.make_id_overlap()
        self.make_head(len(self.schema.behaviors), self.item_encoder.output_dim)

    @property
    def feature_dims(self) -> tuple[int, int]:
        """Widths of a candidate's features, and of those of the request."""
        candidate_dim, user_dim = self._reading_dims
        num_dense = len(self.schema.item_dense)
        candidate_dim += num_dense * (1 + self.item_normalization.embedding_dim)
        return candidate_dim, user_dim + self.context_encoder.output_dim

    @property
    def _reading_dims(self) -> tuple[int, int]:
        num_behaviors = len(self.schema.behaviors)
        dim = self.item_encoder.output_dim
        products = dim if self.config.items.model_dim else 0
        candidate_dim = dim + num_behaviors * products + self.overlap_dim
        return candidate_dim, num_behaviors * dim

    def build_readers(self) -> tuple[int, int]:
        """See `MultiTaskRanker`."""
        self.build_id_overlap()
        return self._reading_dims

    def encode_histories(
        self, histories: Tensors, training: bool = False
    ) -> dict[str, Any]:
        state, means, read = {}, [], []
        for number, behavior in enumerate(self.schema.behaviors, 1):
            name, length = behavior.name, histories[behavior.length]
            ids = self.item_ids(histories, f"{name}_")
            if training:
                real = RealCells(length, ops.shape(ids[0])[1])
                packed = self.item_encoder(
                    [real.pack(column) for column in ids], gate_index=number
                )
                means.append(real.mean(packed))
            else:
                tokens = self.item_encoder(ids, gate_index=number)
                means.append(mean_of_real(tokens, length))
                # What the fusion reads, which has no part in training.
                values = {"interest": means[-1], "values": tokens[:, None]}
                read.append(values)
            if self.config.items.model_dim:
                state[f"{name}_mean"] = means[-1]
            rows = self.item_encoder.rows(ids)
            state |= self.overlap_state(name, rows, length)
            state[f"{name}_length"] = length
            state[f"{name}_newest_time"] = newest_time(
                histories[f"{name}_event_time"], length
            )
        return state | self.shared_state(histories, means, read, training)

    def candidate_features(
        self, user_state: Tensors, candidates: Tensors
    ) -> Any:
        """Returns what the network reads of candidates, (B, N, F).

        Arguments are those of `candidate_logits`.
        """
        ids = self.item_ids(candidates)
        tokens, rows = self.item_encoder(ids), self.item_encoder.rows(ids)
        parts: list[Any] = [tokens]
        for behavior, overlap in zip(
            self.schema.behaviors,
            self.match_ids(user_state, rows),
            strict=True,
        ):
            if self.config.items.model_dim:
                mean = user_state[f"{behavior.name}_mean"]
                parts.append(tokens * ops.expand_dims(mean, 1))
            parts.append(overlap)
        if self.schema.item_dense:
            parts.append(self.item_normalization(candidates["item_dense"]))
        return ops.concatenate(parts, axis=-1)

    def candidate_logits(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        training: bool = False,
    ) -> tuple[Any, Any]:
        features = self.candidate_features(user_state, candidates)
        logits, shared = self.conditional_logits(
            user_state,
            context,
            features,
            candidates["num_candidates"],
            training,
        )
        return self.entire_space(logits), shared
