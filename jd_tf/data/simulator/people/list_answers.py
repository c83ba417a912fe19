"""Answers of users to lists that they were not shown."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.data.simulator.people.actions import (
    draw_actions,
    examination,
    session_reward,
)
from jd_tf.data.simulator.people.block_simulation import BlockSimulation
from jd_tf.data.simulator.people.keyed_draws import KeyedDraws
from jd_tf.data.simulator.people.outcome import (
    ShownList,
    mix,
    outcome_chances,
)

# User in the block, session and step, both counted from 0.
Moment = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class ListAnswer:
    """The outcome of a list of N items, in the order of `OBJECTIVES`.

    Attributes:
        labels: (N, 6) bool, what the user did.
        probabilities: (N, 6) float32, of each, at its place in the list.
        reward: (N,) float32, what it was worth; see docs/simulator.md.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    reward: np.ndarray


class AnsweringSimulation(BlockSimulation):
    """Simulates a block as it was logged, and asks its users on the way.

    At the moment of a logged request its user is shown another list, and
    forgets it: the log goes on as if nobody had asked. An item is liked, read
    and bought alike in every list of that moment; where it stands decides
    whether it is seen.

    Args:
        *block: see `BlockSimulation`.
        lists: moment -> items, first to last.
        seed: of what is drawn.

    Attributes:
        answers: moment -> answer; filled by `run`.
    """

    def __init__(
        self, *block: Any, lists: Mapping[Moment, np.ndarray], seed: int
    ):
        super().__init__(*block)
        self._lists, self._seed = lists, seed
        self.answers: dict[Moment, ListAnswer] = {}

    def _show(self, users: np.ndarray) -> ShownList:
        shown = super()._show(users)
        number = self.session.number[users]
        step = self.session.counts[users, 0].astype(int)
        moments = list(
            zip(users.tolist(), number.tolist(), step.tolist(), strict=True)
        )
        asked = [r for r, one in enumerate(moments) if one in self._lists]
        if asked:
            self._ask([moments[row] for row in asked], _rows(shown, asked))
        return shown

    def _ask(self, moments: list[Moment], shown: ShownList) -> None:
        lists = [self._lists[moment] for moment in moments]
        sizes = np.array([len(one) for one in lists])
        items = np.zeros((len(lists), sizes.max()), np.int64)
        for row, one in enumerate(lists):
            items[row, : len(one)] = one
        users = np.array([moment[0] for moment in moments])
        other = dataclasses.replace(
            shown, items=items, num_shown=sizes, owned=self._owned(users, items)
        )
        chances = outcome_chances(self.catalogue, self.behavior, other)
        draws = KeyedDraws(self._keys(moments, items))
        actions = draw_actions(draws, self.behavior, chances, other.real)
        reward = session_reward(
            self.behavior, other.intent, actions.labels, actions.wanted
        )
        seen = examination(self.behavior, items.shape[1])[:, None]
        expected = (chances.relevance * seen).astype(np.float32)
        for row, moment in enumerate(moments):
            size = sizes[row]
            self.answers[moment] = ListAnswer(
                actions.labels[row, :size],
                expected[row, :size],
                reward[row, :size].astype(np.float32),
            )

    def _keys(self, moments: list[Moment], items: np.ndarray) -> np.ndarray:
        """Returns (R, N) keys of user, session, step and item."""
        user, session, step = np.array(moments, np.uint64).T
        user += np.uint64(self.first_user)
        key = mix((user << np.uint64(32)) + np.uint64(self._seed))
        key = mix(key ^ ((session << np.uint64(32)) + step))
        return key[:, None] ^ items.astype(np.uint64)


def _rows(table: Any, rows: list[int]) -> Any:
    """Returns a dataclass of (R, ...) arrays with some of the rows."""
    found = {}
    for field in dataclasses.fields(table):
        part = getattr(table, field.name)
        nested = dataclasses.is_dataclass(part)
        found[field.name] = _rows(part, rows) if nested else part[rows]
    return type(table)(**found)
