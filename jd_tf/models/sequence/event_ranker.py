"""A base of rankers that read events as tokens."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from jd_tf.models.base import Tensors
from jd_tf.models.blocks.event_encoder import EventEncoder
from jd_tf.models.overlap_ranker import OverlapRanker


class EventRanker(OverlapRanker):
    """Turns events into tokens and scores what candidates read of them.

        candidate  [q | what `read_user` returns | overlaps of ids, if
                    `use_overlap` | dense features]

    A subclass calls `make_encoders`, encodes histories and implements
    `read_user`. Arguments, call arguments and outputs are those of
    `RankingModel`.

    Example:
    >>> from jd_tf.models import get_model
    >>> issubclass(get_model("din").model_class, EventRanker)
    True
    """

    def make_encoders(self, use_overlap: bool, **settings: bool) -> None:
        """Makes what reads ids and events.

        Args:
            use_overlap: whether candidates' ids are compared with events'.
            **settings: of the event encoders.
        """
        self.make_item_encoder()
        if use_overlap:
            self.make_id_overlap()
        self.event_encoders = [
            EventEncoder(
                behavior,
                self.config.items.model_dim,
                **settings,
                name=f"{behavior.name}_events",
                dtype=self.dtype_policy,
            )
            for behavior in self.schema.behaviors
        ]

    def event_tokens(
        self,
        number: int,
        histories: Tensors,
        age_seconds: Any = None,
        training: bool = False,
    ) -> Any:
        """Returns tokens (B, L, D) of the events of behaviour `number`."""
        encoder = self.event_encoders[number]
        prefix = f"{encoder.behavior.name}_"
        events = {n: histories[prefix + n] for n in encoder.event_details}
        events["age_seconds"] = age_seconds
        ids = self.item_ids(histories, prefix)
        length = histories[f"{prefix}length"]
        tokens = self.item_encoder.encode_events(
            ids, length, 1 + number, training
        )
        return encoder(tokens, events, training=training, length=length)

    def read_user(
        self,
        tokens: Any,
        numbers: Sequence[Any],
        user_state: Tensors,
        context: Any,
        training: bool = False,
    ) -> list[Any]:
        """Returns what candidates read of a user, each (B, N, F).

        Args:
            tokens: (B, N, D) float. Candidates.
            numbers: their overlaps and dense features (B, N, F), if any.
            user_state: of `encode_histories`.
            context: of `encode_request`, and `num_candidates`.
            training: whether dropout is active.
        """
        raise NotImplementedError

    def candidate_logits(
        self,
        user_state: Tensors,
        context: Any,
        candidates: Tensors,
        training: bool = False,
    ) -> tuple[Any, Any]:
        ids = self.item_ids(candidates)
        tokens = self.item_encoder(ids)
        numbers = self.match_ids(user_state, self.item_encoder.rows(ids))
        if self.schema.item_dense:
            numbers.append(self.item_normalization(candidates["item_dense"]))
        context = {**context, "num_candidates": candidates["num_candidates"]}
        read = self.read_user(tokens, numbers, user_state, context, training)
        features = ops.concatenate([tokens, *read, *numbers], axis=-1)
        logits, shared = self.conditional_logits(
            user_state,
            context,
            features,
            candidates["num_candidates"],
            training,
        )
        logits = self.with_position_bias(logits, candidates, training)
        return self.entire_space(logits), shared
