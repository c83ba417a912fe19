"""Requests of a split with what users went on to, and answers to them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import read_schema, split_files
from jd_tf.pipeline.building import OpenRecommender
from jd_tf.pipeline.recommendation import Recommendation
from jd_tf.schema import HISTORY_ROLES, REQUEST_ROLES, DataError, Role, Schema
from jd_tf.serving.batching import split_batch

_READ_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class LoggedRequest:
    """A request, and the value of what was done with the items it showed.

    Attributes:
        request_id: its name.
        user_id: who it was.
        columns: history and request columns, unpadded.
        item_id: (N,) items that were shown.
        value: (N,) business value of what was done with each.
    """

    request_id: str
    user_id: str
    columns: dict[str, Any]
    item_id: np.ndarray
    value: np.ndarray

    @property
    def wanted(self) -> np.ndarray:
        """The ids that something of value was done with."""
        return self.item_id[self.value > 0]


def read_logged(
    data: str | Path, split: str, most: int, schema: Schema | None = None
) -> Iterator[LoggedRequest]:
    """Yields requests spread over a split.

    Args:
        data: folder of request records.
        split: its name.
        most: requests at most; 0 for all.
        schema: refused where the folder's differs; by default the folder's.

    Raises:
        DataError: if there is none.
    """
    total = sum(split_files(data, split).values())
    if not total:
        raise DataError(f"{data}: split `{split}` has no request.")
    schema = schema or read_schema(data)
    every, left = max(total // most, 1) if most else 1, most or total
    for batch in numpy_batches(
        data, split, _READ_AT_ONCE, schema=schema, every=every, keys=True
    ):
        yield from _unpacked(batch, schema)[:left]
        left -= len(batch["num_candidates"])
        if left <= 0:
            return


def _unpacked(batch: dict[str, np.ndarray], schema: Any) -> list[LoggedRequest]:
    values = np.array(schema.objective_values, np.float64)
    done = (batch["labels"] * batch["label_weights"]) @ values
    names = [c.name for c in schema.columns(*HISTORY_ROLES, *REQUEST_ROLES)]
    lengths = {c.length for c in schema.columns(Role.HISTORY)}
    return [
        LoggedRequest(
            batch["request_id"][row].decode(),
            batch["user_id"][row].decode(),
            {name: request[name] for name in names if name not in lengths},
            np.asarray(request["item_id"]),
            done[row, : batch["num_candidates"][row]],
        )
        for row, request in enumerate(split_batch(batch, schema))
    ]


def answer_all(
    opened: OpenRecommender, requests: list[LoggedRequest], progress: bool
) -> list[Recommendation]:
    """Answers every request, one after the other."""
    bar = tqdm.tqdm(requests, "answering", disable=not progress)
    return [opened.recommender.recommend(one.columns) for one in bar]
