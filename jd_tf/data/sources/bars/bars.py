"""Impressions with histories in BARS' splits: Amazon, Taobao, Kuaishou.

Zhu et al., "BARS: Towards Open Benchmarking for Recommender Systems" (SIGIR
2022): `train.csv` and `test.csv`, one impression a line with its histories,
`valid.csv` where there is one. Which data set it is shows in the header; see
`FORMATS`.

How it is read, and why:

- Ids are texts as they stand, hashed in the graph; 0 is an item in one of the
  data sets, so they are no numbers here.
- Lines that follow each other, of the same user with the same histories and
  context, are one request. AmazonElectronics' training lines are shuffled, so
  its training requests have one candidate, its test requests two.
- Histories are taken as oldest first, as the converters append events, and
  become newest first.
- There are no times of events: `request_time` is 0, the newest event is at -1,
  the one before it at -2.
- Events of TaobaoAd have a category, a brand and a kind (`btag`), no ad.
- BARS chooses its weights on the test split. Here validation is the end of
  `train.csv`, so figures are of fewer training lines and no test line.
- BARS' gAUC is by user, GAUC here by request: equal on AmazonElectronics, of
  whose users each has one test request.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jd_tf.data.sources.bars.formats import (
    DEFAULT_ROWS,
    FORMATS,
    BarsFormat,
)
from jd_tf.data.sources.source import Request, Source, check_least
from jd_tf.data.sources.text_files import TextTable
from jd_tf.schema import Behavior, DataError, IdColumn, Objective, Schema

_FILES = {"train": "train.csv", "validation": "valid.csv", "test": "test.csv"}
_BETWEEN, _UNKNOWN = "^", "-"


class _Line(NamedTuple):
    key: tuple[str, ...]  # User, histories and context, as they stand
    items: tuple[str, ...]
    numbers: list[float]
    labels: list[float]


@dataclasses.dataclass(eq=False)
class BarsSource(Source):
    """Lines of `train.csv` and `test.csv` as requests.

    Attributes:
        max_candidates: lines joined to one request at most.
    """

    name = "bars"
    # What stands in test.csv.
    test_share: float = dataclasses.field(default=0.2, init=False)
    max_candidates: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, max_candidates=1)
        self.paths: dict[str, Path] = {}
        for split, name in _FILES.items():
            if (self.folder / name).is_file():
                self.paths[split] = self.folder / name
            elif split != "validation":
                self.find_files(name)
                raise DataError(f"{self.folder}: {name} must lie in it.")
        header = TextTable(self.paths["train"], []).header
        fitting = [f for f in FORMATS if {*f.columns} <= {*header}]
        if not fitting:
            known = "; ".join(
                f"{f.name}: {', '.join(f.columns)}" for f in FORMATS
            )
            raise DataError(
                f"{self.paths['train']}: line 1: has the columns of no data "
                f"set that is known. Known are {known}."
            )
        self.format: BarsFormat = fitting[0]
        self.tables = {
            split: TextTable(path, self.format.columns)
            for split, path in self.paths.items()
        }

    @property
    def schema(self) -> Schema:
        """Columns of the data set."""

        def ids(name: str) -> IdColumn:
            rows = self.format.rows.get(name, DEFAULT_ROWS)
            return IdColumn(name, dtype="string", num_buckets=rows)

        known = self.format
        return Schema(
            name=self.name,
            item_columns=tuple(ids(name) for name in known.items),
            behaviors=tuple(
                Behavior(name, known.max_length) for name in known.histories
            ),
            objectives=tuple(Objective(name) for name in known.labels),
            max_candidates=self.max_candidates,
            item_dense=tuple(known.numbers),
            context_columns=tuple(ids(name) for name in known.context),
            scenario_column=known.scenario,
        )

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yields (split, request) file by file, in the order of the lines."""
        self.report.notes.append(
            f"{self.format.name}. No clock: the event at place k of a history, "
            "from 1, has time -k."
        )
        # The end of train.csv, unless there is a file of its own.
        share = 0.0 if "validation" in self.paths else self.validation_share
        for split, table in self.tables.items():
            cut = float("inf")
            if split == "train" and share:
                with table.path.open("rb") as file:
                    cut = (1 - share) * (sum(1 for _ in file) - 1)
            lines: list[_Line] = []
            first = 0
            records = table.records(self.report, self._parse)
            for place, line in enumerate(records):
                self.report.counts["impressions"] += 1
                if lines and not self._joins(lines, line):
                    yield self._split(split, first, cut), self._close(lines)
                    lines, first = [], place
                lines.append(line)
            if lines:
                yield self._split(split, first, cut), self._close(lines)

    @staticmethod
    def _split(split: str, place: int, cut: float) -> str:
        return "validation" if place >= cut else split

    def _joins(self, lines: list[_Line], line: _Line) -> bool:
        return (
            lines[0].key == line.key
            and len(lines) < self.max_candidates
            and all(other.items[0] != line.items[0] for other in lines)
        )

    def _parse(self, values: list[str]) -> _Line:
        known = self.format
        found = dict(zip(known.columns, values, strict=True))
        labels = []
        for column in known.labels.values():
            if found[column] not in ("0", "1", "0.0", "1.0"):
                raise DataError(
                    f"column `{column}` must be 0 or 1. Got: {found[column]!r}"
                )
            labels.append(float(found[column]))
        numbers = []
        for column in known.numbers.values():
            try:
                numbers.append(float(found[column] or 0))
            except ValueError as error:
                raise DataError(f"column `{column}`: {error}") from error
        for events in known.histories.values():
            texts = [found[column] for column in events.values()]
            if len({len(text.split(_BETWEEN)) for text in texts}) > 1:
                raise DataError(
                    f"columns {', '.join(events.values())} must have as many "
                    "events each"
                )
        keys = [known.user, *known.context.values()]
        keys += [c for e in known.histories.values() for c in e.values()]
        return _Line(
            tuple(found[column] for column in keys),
            tuple(found[column] for column in known.items.values()),
            numbers,
            labels,
        )

    def _close(self, lines: list[_Line]) -> dict[str, Any]:
        known, counts = self.format, self.report.counts
        counts["requests"] += 1
        user, *rest = lines[0].key
        texts = iter(rest)
        request: dict[str, Any] = {
            "request_id": str(counts["requests"]),
            "user_id": user,
            "request_time": 0,
        }
        for name in known.context:
            request[name] = next(texts)
        for behavior, columns in known.histories.items():
            events = {
                name: [e for e in next(texts).split(_BETWEEN) if e][
                    : -known.max_length - 1 : -1
                ]
                for name in columns
            }
            count = len(next(iter(events.values())))
            for name in known.items:
                request[f"{behavior}_{name}"] = np.array(
                    events.get(name, [_UNKNOWN] * count), object
                )
            request[f"{behavior}_event_time"] = -np.arange(1, 1 + count)
        for place, name in enumerate(known.items):
            request[name] = np.array([x.items[place] for x in lines], object)
        if known.numbers:
            request["item_dense"] = np.array(
                [line.numbers for line in lines], np.float32
            )
        labels = np.array([line.labels for line in lines], np.float32)
        return {
            **request,
            "labels": labels,
            "label_weights": np.ones_like(labels),
        }
