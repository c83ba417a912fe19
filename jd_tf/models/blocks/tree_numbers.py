"""Numbers of candidates and their requests, for boosted trees."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import IdRanks
from jd_tf.layers.base_layer import BaseLayer


@keras.saving.register_keras_serializable(package="jd_tf")
class TreeNumbers(BaseLayer):
    """Joins what trees split: numbers of a request and of its candidates.

    To the numbers that a ranker computes come the ranks of frequent ids of
    candidates and requests, and what was done at the newest event.

    Args:
        item_columns: dict of id columns of candidates to their dtypes.
        context_columns: dict of id columns of requests, likewise.
        behaviors: names of the behaviours whose events have `action_ids`.

    Call arguments:
        histories: dict of `<behavior>_action_ids` (B, L, A) and
            `<behavior>_length` (B,).
        request: dict of the context columns, (B,).
        candidates: dict of the item columns, (B, N).
        shared: (B, F) float, numbers of the request.
        own: (B, N, G) float, numbers of the candidates.

    Returns:
        (B, N, K) float32.

    Example:
    >>> TreeNumbers({"category_id": "int64"}, {}, []).behaviors
    ()
    """

    def __init__(
        self,
        item_columns: Mapping[str, str],
        context_columns: Mapping[str, str],
        behaviors: Sequence[str],
        **kwargs: Any,
    ):
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.item_columns = dict(item_columns)
        self.context_columns = dict(context_columns)
        self.behaviors = tuple(behaviors)

    def build(
        self,
        histories_shape: Any = None,
        request_shape: Any = None,
        candidates_shape: Any = None,
        shared_shape: Any = None,
        own_shape: Any = None,
    ) -> None:
        columns = {**self.item_columns, **self.context_columns}
        self.ranks = {
            name: self.add_part(IdRanks, name, None, id_dtype=dtype)
            for name, dtype in columns.items()
        }

    def encode(self, histories: Mapping[str, Any]) -> dict[str, Any]:
        """Returns `<behavior>_newest_actions` (B, A), 0 without an event."""
        state = {}
        for name in self.behaviors:
            actions = histories[f"{name}_action_ids"][:, :1]
            some = histories[f"{name}_length"][:, None, None] > 0
            newest = ops.sum(ops.where(some, actions, 0), axis=1)
            state[f"{name}_newest_actions"] = newest
        return state

    def of_request(self, request: Mapping[str, Any]) -> list:
        """Returns the ranks (B, 1) of each context column."""
        return [
            self.ranks[name](request[name]) for name in self.context_columns
        ]

    def join(
        self,
        state: Mapping[str, Any],
        ranks: Sequence[Any],
        candidates: Mapping[str, Any],
        shared: Sequence[Any],
        own: Sequence[Any],
    ) -> Any:
        """Returns all numbers side by side.

        `state` is of `encode`, `ranks` of `of_request`; for the rest see the
        call arguments, where `shared` and `own` are whole.
        """
        actions = [state[f"{name}_newest_actions"] for name in self.behaviors]
        places = [
            self.ranks[name](candidates[name]) for name in self.item_columns
        ]
        request, items = (
            [ops.cast(part, "float32") for part in parts]
            for parts in ((*ranks, *actions, *shared), (*places, *own))
        )
        width = ops.shape(items[-1])[1]
        joined = ops.concatenate(request, axis=-1)[:, None]
        joined = ops.repeat(joined, width, axis=1)
        return ops.concatenate([joined, *items], axis=-1)

    def call(
        self,
        histories: Mapping[str, Any],
        request: Mapping[str, Any],
        candidates: Mapping[str, Any],
        shared: Any,
        own: Any,
    ) -> Any:
        state, ranks = self.encode(histories), self.of_request(request)
        return self.join(state, ranks, candidates, [shared], [own])

    def compute_output_shape(
        self,
        histories_shape: Any = None,
        request_shape: Any = None,
        candidates_shape: Any = None,
        shared_shape: Any = None,
        own_shape: Any = None,
    ) -> tuple:
        slots = sum(
            histories_shape[f"{name}_action_ids"][-1] for name in self.behaviors
        )
        width = slots + len(self.ranks) + shared_shape[-1] + own_shape[-1]
        return (*own_shape[:-1], width)
