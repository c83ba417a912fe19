"""Two towers of one week of the RetailRocket log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks.recall.recall_judging import LIST_SIZE, Requests
from experiments.train_ranker import finish_training
from jd_tf.data.dataset import write_dataset
from jd_tf.models.retrieval.two_tower_config import TwoTowerConfig
from jd_tf.pipeline.catalogue import Catalogue
from jd_tf.pipeline.export.retrieval_export import export_retrieval
from jd_tf.schema import Behavior, DataError, IdColumn, Objective, Schema
from jd_tf.training.retrieval.train_retrieval import (
    retrieval_training_config,
    train_retrieval,
)
from jd_tf.training.workdir import read_state

# Events of one example; longer timelines are cut into several.
_MAX_LENGTH = 100
_MAX_VALIDATION = 1000
_NEVER = 1_000_000_000
# All 30,000 items as negatives take five times as long.
_SAMPLED = {"max_full_items": 0, "num_uniform": 4_000}


def week_retriever(
    past: pd.DataFrame,
    requests: Requests,
    folder: Path,
    epochs: int,
    chooses: bool,
) -> tuple[Path, int]:
    """Trains two towers and exports them, unless they are there.

    Args:
        past: events before the week, in order of users and time.
        requests: with one novel item each; the epoch is chosen on them if it
            `chooses`, and otherwise the last is taken.
        folder: of everything made.
        epochs: at most, or in all.
        chooses: whether `requests` are later than `past`.

    Returns:
        The SavedModel, and the number of its epochs.

    Raises:
        DataError: without requests.
    """
    if not len(requests):
        raise DataError(
            "--two_tower_epochs: a week without a novel item chooses no epoch."
        )
    data, run = folder / "data", folder / "run"
    if not data.exists():
        known = past["item_id"].max(), requests.wanted.max()
        write_dataset(
            data,
            week_schema(int(max(known)), _MAX_LENGTH),
            {
                "train": map(week_record, _timelines(past)),
                "validation": map(week_record, _sought(requests)),
            },
        )
    items = Catalogue({"item_id": np.unique(past["item_id"].to_numpy())})
    if not (folder / "two_tower").exists():
        config = retrieval_training_config(
            epochs=epochs,
            batch_size=64,
            monitor="recall@100",
            patience=3 if chooses else 0,
            evaluate_every=0 if chooses else _NEVER,
            progress=False,
        )
        model = TwoTowerConfig.of(**_SAMPLED)
        finish_training(
            lambda: train_retrieval(data, run, items.columns, model, config),
            config.monitor,
        )
        export_retrieval(run, items, data, folder, count=LIST_SIZE)
    state = read_state(run)
    assert state is not None
    best = state.best_step * state.epoch / state.step
    return folder / "two_tower", max(round(best), 1)


def week_schema(largest: int, max_length: int) -> Schema:
    """Returns the columns of requests with one item to be sought.

    Args:
        largest: item id.
        max_length: events of a history.
    """
    return Schema(
        name="retailrocket",
        item_columns=(IdColumn("item_id", num_buckets=largest + 1),),
        behaviors=(Behavior("click", max_length=max_length),),
        objectives=(Objective("click"),),
        max_candidates=1,
    )


def week_record(timeline: tuple[str, np.ndarray, np.ndarray]) -> dict[str, Any]:
    """Returns a request with the newest event as its item.

    Args:
        timeline: user, items and times, newest first.
    """
    user, items, times = timeline
    return {
        "request_id": user,
        "user_id": user,
        "request_time": int(times[0]),
        "click_item_id": items[1:],
        "click_event_time": times[1:],
        "item_id": items[:1],
        "labels": np.ones((1, 1), np.float32),
        "label_weights": np.ones((1, 1), np.float32),
    }


def _timelines(past: pd.DataFrame) -> Iterator[tuple]:
    """Yields pieces of timelines that histories can hold."""
    for user, part in past.groupby("user_id"):
        events = part[["item_id", "ts"]].to_numpy()[::-1]
        for start in range(0, len(events) - 1, _MAX_LENGTH):
            piece = events[start : start + _MAX_LENGTH + 1]
            yield f"{user}-{start}", *piece.T


def _sought(requests: Requests) -> Iterator[tuple]:
    """Yields requests as timelines: what is sought, then the history."""
    columns = requests.columns
    for row in range(min(len(requests), _MAX_VALIDATION)):
        past = slice(columns["click_length"][row])
        items = columns["click_item_id"][row, past]
        times = columns["click_event_time"][row, past]
        yield (
            f"next-{requests.user[row]}-{row}",
            np.append(requests.wanted[row], items),
            np.append(columns["request_time"][row], times),
        )
