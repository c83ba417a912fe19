"""Signs of leaks and of wrong units in the requests that are written."""

import collections
from collections.abc import Mapping
from typing import Any

import numpy as np

from jd_tf.schema import Schema

_TEN_YEARS, _TWO_HOURS = 10 * 365 * 86_400, 7200
# Fewer positives may be chance.
_ENOUGH = 5
_SHARE, _TIMES_AS_OFTEN = 0.02, 3


class Suspicions:
    """Adds up what is possible in a request, but seldom meant.

    Args:
        schema: of the requests.
    """

    def __init__(self, schema: Schema):
        self._schema = schema
        self._times: dict[str, list[int]] = collections.defaultdict(list)
        self._ids: dict[str, set[bytes]] = collections.defaultdict(set)
        # Kind of sign -> how often, and the first request it was met in.
        self._counts: collections.Counter = collections.Counter()
        self._first: dict[tuple, str] = {}

    def add(self, split: str, request: Mapping[str, np.ndarray]) -> None:
        """Takes a checked request into account."""
        now, self._name = request["request_time"], request["request_id"].item()
        self._times[split].append(int(now))
        self._ids[split].add(self._name)
        real = request["label_weights"] > 0
        liked = real & (request["labels"] > 0)
        for index, objective in enumerate(self._schema.objective_names):
            for name, part in (("liked", liked), ("other", real & ~liked)):
                self._count((split, objective, name), part[:, index].sum())
        for behavior in self._schema.behaviors:
            name = behavior.name
            ages = now - request[f"{name}_event_time"]
            self._count((name, "events"), len(ages))
            self._count((name, "old"), (ages > _TEN_YEARS).sum())
            if behavior.dwell:
                dwell = request[f"{name}_dwell_seconds"]
                self._count((name, "long"), (dwell > _TWO_HOURS).sum())
            # Newest first: without such an event there is nothing to compare.
            if not len(ages) or ages[0]:
                continue
            own = request[f"{name}_item_id"][ages == 0]
            own = np.isin(request["item_id"], own)
            for index, objective in enumerate(self._schema.objective_names):
                for kind, part in (("liked", liked), ("other", real & ~liked)):
                    found = (part[:, index] & own).sum()
                    self._count((split, objective, kind, name), found)

    def merge(self, other: "Suspicions") -> None:
        """Takes into account what another was given, of other requests."""
        for split, times in other._times.items():
            self._times[split] += times
            self._ids[split] |= other._ids[split]
        self._counts += other._counts
        for key, name in other._first.items():
            self._first[key] = min(name, self._first.get(key, name))

    def lines(self) -> list[str]:
        """Returns a line for each sign that is met too often."""
        return [
            *self._own_events(),
            *self._order_of_splits(),
            *self._same_requests(),
            *self._units(),
        ]

    def _count(self, key: tuple, number: Any) -> None:
        if number:
            self._counts[key] += int(number)
            self._first.setdefault(key, self._name.decode("utf-8", "replace"))

    def _own_events(self) -> list[str]:
        lines = []
        for key in [k for k in self._counts if k[2:3] == ("liked",) and k[3:]]:
            split, objective, _, behavior = key
            found, positives = self._counts[key], self._counts[key[:3]]
            others = self._counts[split, objective, "other"]
            by_chance = self._counts[split, objective, "other", behavior]
            share = found / positives
            expected = by_chance / others if others else 0.0
            if found < _ENOUGH or share < max(
                _SHARE, _TIMES_AS_OFTEN * expected
            ):
                continue
            lines.append(
                f"{split}: {found:,} of {positives:,} positives of "
                f"`{objective}` are of an item that the history `{behavior}` "
                f"has at age 0 (first: request {self._first[key]!r}): it seems "
                "to hold the event to predict. Leave out what happened at "
                "`request_time`."
            )
        return lines

    def _order_of_splits(self) -> list[str]:
        train, lines = self._times.get("train", []), []
        for split, times in self._times.items():
            # Logs without a clock have 0.
            if split == "train" or not any(train) or not any(times):
                continue
            early = np.mean(np.array(times) < max(train))
            if early > _SHARE:
                lines.append(
                    f"{split}: {early:.0%} of its requests are before the last "
                    "one of train: what a model learned may have happened "
                    "after them. Judge on later requests than those trained on."
                )
        return lines

    def _same_requests(self) -> list[str]:
        lines = []
        names = list(self._ids)
        for place, split in enumerate(names):
            for earlier in names[:place]:
                same = self._ids[split] & self._ids[earlier]
                if same:
                    one = min(same).decode("utf-8", "replace")
                    lines.append(
                        f"{split}: {len(same):,} request ids are in {earlier}, "
                        f"too (one is {one!r}): the same "
                        "requests, or ids that are no keys."
                    )
        return lines

    def _units(self) -> list[str]:
        lines = []
        for behavior in self._schema.behaviors:
            name, events = behavior.name, self._counts[behavior.name, "events"]
            for kind, column, limit in (
                ("old", "event_time", "ten years before their request"),
                ("long", "dwell_seconds", "two hours long"),
            ):
                key = (name, kind)
                if 2 * self._counts[key] > events:
                    lines.append(
                        f"`{name}_{column}`: {self._counts[key]:,} of "
                        f"{events:,} are more than {limit} (first: request "
                        f"{self._first[key]!r}): are these milliseconds?"
                    )
        return lines
