"""Ranking impressions of JD.com (Gu et al., DMT, CIKM 2020).

Gzip TFRecord of `tf.train.Example`, one impression a record. How it is read,
and why:

- Ids are byte strings and stay strings: the format promises no number, has
  the word `unknow` among brands and shops, and 0 as a shop, which pads
  integer ids. A history that is `unknow` alone is absent.
- Histories are oldest first with seconds before the request; they become
  newest first. Their columns are found by what is there; see `RecordFormat`,
  also for the two columns that do not hold what their names promise.
- Click and order are labels of every impression, order on the entire space.
- The 615 dense features are normalised numbers without names, of user, item
  and both; which is which is not published, so all stay with the candidate.
- `pos` and `page` are bias columns, capped at 400 and 100 as in the paper's
  code. Not read: the neighbouring exposures (`near_expo_seq_*`), known only
  after ranking, and bags of words that serving could not reproduce.
- The request's id was removed with the `header` column. Consecutive records
  with the same histories, to the second, are one request; records without
  any history are never joined.
- There are no users and no clock: `user_id` is the request, `request_time` 0,
  and times of events are before it.
  Below a folder whose name starts with train, valid or test a file
  belongs to that split; other requests are dealt out at random, seeded.
"""

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jd_tf.data.log_report import SPLITS, LogReport
from jd_tf.data.sources.dmt_records import (
    BEHAVIORS,
    ID_COLUMNS,
    PLACES,
    RecordFormat,
    read_examples,
)
from jd_tf.data.sources.source import Request, Source, check_least
from jd_tf.schema import (
    Behavior,
    BiasColumn,
    DataError,
    IdColumn,
    Objective,
    Schema,
)

_CANDIDATE_COLUMNS = {
    **dict.fromkeys(ID_COLUMNS, object),
    **dict.fromkeys(PLACES, np.int32),
    **dict.fromkeys(("item_dense", "labels"), np.float32),
}
_NUM_BUCKETS = {
    "item_id": 1 << 20,
    "category_id": 1 << 14,
    "parent_category_id": 1 << 11,
    "brand_id": 1 << 18,
    "shop_id": 1 << 18,
}


@dataclasses.dataclass(eq=False)
class JDRankingSource(Source):
    """DMT impressions, in `part-*` or `*.tfrecord*` files, as requests.

    Shares are of the requests that no folder assigns; at most
    `max_candidates` impressions are joined; `seed` is that of the split.
    """

    name = "jd_ranking"
    validation_share: float = 0.2
    test_share: float = 0.3
    max_candidates: int = 100
    seed: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, max_candidates=1)
        self.paths = self.find_files("part-*", "*.tfrecord*")
        self.format = self._find_format(self.paths[0])

    @property
    def schema(self) -> Schema:
        """Three histories, 615 features, position and page."""
        return Schema(
            name=self.name,
            item_columns=tuple(
                IdColumn(name, dtype="string", num_buckets=_NUM_BUCKETS[name])
                for name in ID_COLUMNS
            ),
            behaviors=tuple(
                Behavior(name, max_length=self.format.max_lengths[name])
                for name in BEHAVIORS
            ),
            objectives=(
                Objective("click", 1.0),
                Objective("order", 20.0, given="click"),
            ),
            max_candidates=self.max_candidates,
            item_dense=tuple(
                f"feature_{n:03}" for n in range(self.format.num_features)
            ),
            bias_columns=tuple(
                BiasColumn(name, most + 1) for name, (_, most) in PLACES.items()
            ),
        )

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yields (split, request) in the order of the records."""
        self.report.notes += [
            "No clock and no users: requests are dealt to splits at random, "
            "or by folders named train, valid, test.",
            "Orders are read from `mask`; `label` holds clicks alone.",
        ]
        for path in self.paths:
            folders = path.relative_to(self.folder).parts[:-1]
            for request in self._requests_of(path):
                yield self._split_of(folders, request["request_id"]), request

    def _requests_of(self, path: Path) -> Iterator[dict[str, Any]]:
        open_user: tuple = ()
        rows: list[dict[str, Any]] = []
        for number, example in read_examples(path, self.report):
            try:
                user = self.format.user(example)
                record = self.format.candidate(example)
            except DataError as error:
                self.report.tolerate(f"{path}: record {number}: {error}")
                continue
            self.report.counts["impressions"] += 1
            key = _fingerprint(user)
            joins = key and key == open_user and len(rows) < self.max_candidates
            # A request shows an item once.
            seen = any(row["item_id"] == record["item_id"] for row in rows)
            if rows and (seen or not joins):
                yield _join(rows)
                rows = []
            if not rows:
                # All candidates of a request share the first one's user side.
                name = f"{path.relative_to(self.folder)}:{number}"
                record |= {"request_id": name, "user_id": name, **user}
            rows.append(record)
            open_user = key
        if rows:
            yield _join(rows)

    def _split_of(self, folders: tuple[str, ...], request_id: str) -> str:
        named = [
            split
            for folder in folders
            for split in SPLITS
            if folder.lower().startswith(split[:5])
        ]
        if named and named[0] != "train":
            return named[0]
        share = random.Random(f"{self.seed}/{request_id}").random()
        if named:
            return "validation" if share < self.validation_share else "train"
        return self.split_of_share(share)

    def _find_format(self, path: Path) -> RecordFormat:
        # Of its own report: the real pass counts a bad first record again.
        trial = LogReport(self.report.max_bad_records)
        for number, example in read_examples(path, trial):
            try:
                return RecordFormat(example)
            except DataError as error:
                raise DataError(
                    f"{path}: record {number}: {error}. Name a folder of DMT "
                    "ranking records."
                ) from error
        raise DataError(f"{path}: no record can be read. Copy the file again.")


def _fingerprint(user: dict[str, np.ndarray]) -> tuple:
    """Returns a key of a user's histories; () without any."""
    key = tuple(tuple(values.tolist()) for values in user.values())
    return key if any(key) else ()


def _join(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Joins impressions, the first of which has the user side."""
    request = dict(rows[0])
    for name, dtype in _CANDIDATE_COLUMNS.items():
        request[name] = np.array([row[name] for row in rows], dtype)
    request["request_time"] = 0
    request["label_weights"] = np.ones_like(request["labels"])
    return request
