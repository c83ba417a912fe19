"""Public data sets of user timelines, for next-item prediction.

`NAME.txt` holds a user a line: user id, then item ids, oldest first. The
protocol is that of S3-Rec (Zhou et al., CIKM 2020): the last item of a user is
the test target, the one before it the validation target, and all before that
is for training.

How it is read, and why:

- A request asks for the next item: the target and negatives, items that the
  user never touches, neither before nor after. Its history is everything
  before the target; that of a test request includes the validation target.
- Every training event after a user's first is the target of a training
  request.
- Negatives of validation and test are fixed: those of `NAME_negatives.npz`,
  a row a line of `NAME.txt`, else drawn once by the seed.
- There are no times: `request_time` is 0 and the newest event is at -1, the one
  before it at -2.
- `attribute_ids` are those of `NAME_item2attributes.json`, if there is one.
- `item_dense` is the popularity of a candidate, counted over training events;
  the event that is a training request's own target does not count.
- Draws depend on the seed and the user's line alone.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from jd_tf.data.sources.item_attributes import read_attributes
from jd_tf.data.sources.source import Request, Source, check_least
from jd_tf.data.sources.timelines import (
    MIN_EVENTS,
    Timeline,
    draw_untouched,
    read_timelines,
)
from jd_tf.schema import Behavior, DataError, IdColumn, Objective, Schema

# As in the papers that publish figures.
_NUM_DRAWN = 99
# More ids than these are hashed, with that many rows for each.
_MAX_VOCABULARY = 1 << 17
_ROWS_PER_ITEM = 8


@dataclasses.dataclass(eq=False)
class SequencesSource(Source):
    """Timelines of `NAME.txt` as next-item requests.

    Attributes:
        dataset: NAME; "" for the only one in the folder.
        max_length: events of a history kept.
        num_negatives: of each training request.
        popular_share: probability that a training negative is drawn in
            proportion to training events, not uniformly.
        popularity: whether candidates have the logarithm of their popularity.
        max_attributes: of an item kept, the rarest; 0 for none.
        validation_users: users drawn for validation; 0 for all of them.
        seed: of everything drawn.
    """

    name = "sequences"
    # The protocol has no shares.
    validation_share: float = dataclasses.field(default=0.1, init=False)
    test_share: float = dataclasses.field(default=0.2, init=False)
    dataset: str = ""
    max_length: int = 50
    num_negatives: int = 24
    popular_share: float = 0.0
    popularity: bool = True
    max_attributes: int = 8
    validation_users: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, max_length=1, num_negatives=1, validation_users=0)
        check_least(self, max_attributes=0)
        if not 0 <= self.popular_share <= 1:
            raise DataError(
                "`popular_share` must be between 0 and 1. "
                f"Got: {self.popular_share}."
            )
        paths = {path.stem: path for path in self.find_files("*.txt")}
        if len(paths) == 1 and not self.dataset:
            self.dataset = next(iter(paths))
        if self.dataset not in paths:
            raise DataError(
                f"{self.folder}: name one of its data sets with --dataset: "
                f"{', '.join(paths)}. Got: {self.dataset!r}."
            )
        self.path = paths[self.dataset]

    @functools.cached_property
    def timelines(self) -> list[Timeline]:
        """Users with their events; the file is read once."""
        negatives = self.path.with_name(f"{self.dataset}_negatives.npz")
        found = list(read_timelines(self.path, negatives, self.report))
        if not found:
            raise DataError(f"{self.path}: no user with enough events.")
        if found[0].negatives is None:
            self.report.notes.append(
                f"No {negatives.name}: {_NUM_DRAWN} negatives of validation "
                f"and test drawn uniformly with seed {self.seed}, so figures "
                "carry the noise of this draw."
            )
        return found

    @functools.cached_property
    def items(self) -> np.ndarray:
        """(I,) int64, the ids of all items of the log, ascending."""
        return np.unique(np.concatenate([t.items for t in self.timelines]))

    @functools.cached_property
    def training_events(self) -> np.ndarray:
        """Item ids of all training events."""
        return np.concatenate([t.items[:-2] for t in self.timelines])

    @functools.cached_property
    def _counts(self) -> np.ndarray:
        rows = np.searchsorted(self.items, self.training_events)
        return np.bincount(rows, minlength=len(self.items))

    @functools.cached_property
    def catalogue(self) -> dict[str, np.ndarray]:
        """Candidate columns of `items`, as evaluation has them."""
        columns = {"item_id": self.items}
        if self._attributes is not None:
            columns["attribute_ids"] = self._attributes
        if self.popularity:
            popularity = np.log1p(self._counts).astype(np.float32)
            columns["item_dense"] = popularity[:, None]
        return columns

    @functools.cached_property
    def _attributes(self) -> np.ndarray | None:
        """(I, M), of `items`; None without any."""
        path = self.path.with_name(f"{self.dataset}_item2attributes.json")
        if not self.max_attributes:
            return None
        if not path.exists():
            self.report.notes.append(f"No {path.name}: no attributes.")
            return None
        found = read_attributes(
            path, self.items, self.max_attributes, self.report
        )
        return found if found.any() else None

    @functools.cached_property
    def schema(self) -> Schema:  # type: ignore[override]
        """Item ids, one history, one objective."""
        columns = [_id_column("item_id", self.items)]
        if self._attributes is not None:
            width = self._attributes.shape[1]
            values = np.setdiff1d(self._attributes, [0])
            columns.append(
                _id_column("attribute_ids", values, max_values=width)
            )
        fixed = self.timelines[0].negatives
        evaluated = _NUM_DRAWN if fixed is None else len(fixed)
        return Schema(
            name=self.name,
            item_columns=tuple(columns),
            behaviors=(Behavior("click", self.max_length),),
            objectives=(Objective("click"),),
            max_candidates=1 + max(self.num_negatives, evaluated),
            item_dense=("log_popularity",) if self.popularity else (),
        )

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yields (split, request) user by user."""
        self.report.notes.append(
            "No clock: the event at place k of a history, from 1, has time "
            "-k. Validation and test are the last two items of each user."
        )
        validated = np.ones(len(self.timelines), bool)
        if 0 < self.validation_users < len(validated):
            order = np.random.default_rng(self.seed).permutation(len(validated))
            validated[order[self.validation_users :]] = False
        for timeline, is_validated in zip(
            self.timelines, validated, strict=True
        ):
            generator = np.random.default_rng([self.seed, timeline.number])
            try:
                fixed, drawn = self._negatives(timeline, generator)
            except DataError as error:
                line = timeline.number + 1
                self.report.tolerate(f"{self.path}: line {line}: {error}")
                continue
            last = len(timeline.items) - 1
            first_targets = {"train": 1, "validation": last - 1, "test": last}
            for split, first in first_targets.items():
                if split != "validation" or is_validated:
                    negatives = drawn if split == "train" else fixed
                    for request in self._requests(
                        timeline, first, negatives, split == "train", generator
                    ):
                        yield split, request

    def _negatives(
        self, timeline: Timeline, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns (1, K) of evaluation and (P, K) of P training requests."""
        draw = functools.partial(
            draw_untouched,
            generator,
            timeline.items,
            items=self.items,
            events=self.training_events,
        )
        fixed = timeline.negatives
        if fixed is None:
            fixed = draw((1, _NUM_DRAWN), popular_share=0.0)
        shape = (len(timeline.items) - MIN_EVENTS, self.num_negatives)
        return fixed.reshape(1, -1), draw(
            shape, popular_share=self.popular_share
        )

    def _requests(
        self,
        timeline: Timeline,
        first: int,
        negatives: np.ndarray,
        training: bool,
        generator: np.random.Generator,
    ) -> Iterator[dict[str, Any]]:
        """Yields requests for the events from place `first` on, one a row."""
        items, count = timeline.items, len(negatives)
        positives = items[first : first + count, None]
        candidates = np.concatenate([positives, negatives], axis=1)
        popularity = self._of(candidates, self._counts)
        popularity[:, 0] -= training
        order = np.argsort(generator.random(candidates.shape), axis=1)
        candidates = np.take_along_axis(candidates, order, axis=1)
        popularity = np.take_along_axis(popularity, order, axis=1)
        dense = np.log1p(popularity).astype(np.float32)[..., None]
        labels = (order == 0).astype(np.float32)[..., None]
        for row, place in enumerate(range(first, first + count)):
            history = items[max(place - self.max_length, 0) : place][::-1]
            # A few published negatives are there twice.
            shown = np.sort(np.unique(candidates[row], return_index=True)[1])
            twice = candidates.shape[1] - len(shown)
            if twice:
                self.report.counts["repeated negatives dropped"] += twice
            several = {}
            if self._attributes is not None:
                several = {
                    "click_attribute_ids": self._of(history, self._attributes),
                    "attribute_ids": self._of(
                        candidates[row, shown], self._attributes
                    ),
                }
            yield {
                **several,
                "request_id": f"{timeline.user_id}:{place}",
                "user_id": timeline.user_id,
                "request_time": 0,
                "click_item_id": history,
                "click_event_time": -np.arange(1, 1 + len(history)),
                "item_id": candidates[row, shown],
                "item_dense": dense[row, shown],
                "labels": labels[row, shown],
                "label_weights": np.ones_like(labels[row, shown]),
            }

    def _of(self, ids: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Looks up a value an item; 0 for ids that the log does not have."""
        rows = np.searchsorted(self.items, ids).clip(max=len(self.items) - 1)
        found = values[rows]
        found[self.items[rows] != ids] = 0
        return found


def _id_column(name: str, ids: np.ndarray, **options: Any) -> IdColumn:
    if len(ids) <= _MAX_VOCABULARY:
        return IdColumn(name, vocabulary=tuple(ids.tolist()), **options)
    return IdColumn(name, num_buckets=_ROWS_PER_ITEM * len(ids), **options)
