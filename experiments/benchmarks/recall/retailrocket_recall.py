"""Recall on rolling weeks of the RetailRocket log."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.benchmarks.recall.recall_channels import CHANNELS, RecallTask
from experiments.benchmarks.recall.recall_judging import (
    MERGE,
    Requests,
    compare,
    list_coverage,
    only_of,
    recall_all,
    request_metrics,
    table,
    with_merges,
)
from experiments.benchmarks.recall.week_towers import (
    week_record,
    week_retriever,
    week_schema,
)
from jd_tf.data.dataset import write_dataset
from jd_tf.data.files import write_json
from jd_tf.pipeline.recall.blend import tune_blend
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.schema import DataError

RESULT_FILE, NOVEL_FILE = "result.json", "result_novel.json"
_FILE = "events.csv.gz"
_COLUMNS = ["user_id", "item_id", "ts"]
_WEEK, _HALF_LIFE = 7 * 86400, 60 * 86400.0
_MAX_LENGTH = 100
_METRICS = (
    *("recall@20", "recall@100", "HR@10", "NDCG@10", "repeat_recall@20"),
    *("novel_recall@20", "novel_recall@100", "coverage@20"),
)


def judge_weeks(
    folder: Path,
    output: Path,
    weeks: int,
    channels: Sequence[str],
    novel: bool = False,
    two_tower_epochs: int = 0,
) -> str:
    """Writes `RESULT_FILE`, or `NOVEL_FILE`; returns the table.

    Args:
        folder: of `events.csv.gz`.
        output: of everything made.
        weeks: that are judged, the last ones of the log.
        channels: names of `CHANNELS`.
        novel: whether items of the history are neither wanted nor listed.
        two_tower_epochs: of the channel `two_tower`, at most.
    """
    events = read_events(folder / _FILE)
    end = int(events["ts"].max()) + 1
    tuned, values, coverages, users, alone = None, [], [], [], []
    for week in range(weeks + 1):
        start = end - (weeks + 1 - week) * _WEEK
        past = events[events["ts"] < start]
        if past.empty:
            raise DataError(
                f"{folder / _FILE}: no events before week {week}. Lower "
                "--weeks."
            )
        data = output / f"week_{week}" / "data"
        if not data.exists():
            _write_records(past, data)
        interactions = Interactions.of_events(
            *(past[column].to_numpy() for column in _COLUMNS)
        )
        retriever = None
        if "two_tower" in channels:
            # The first week, which chooses the blend, chooses the epoch, too.
            day = start if tuned is None else start - _WEEK
            sought = week_requests(events, day, day + _WEEK, novel=True)
            retriever, two_tower_epochs = week_retriever(
                past,
                sought,
                data.parent / "towers",
                two_tower_epochs,
                tuned is None,
            )
        task = RecallTask(
            interactions,
            data,
            data.parent,
            half_life=_HALF_LIFE,
            retriever=retriever,
        )
        requests = week_requests(events, start, start + _WEEK, novel)
        print(f"week {week}: {len(requests):,} requests", flush=True)
        lists = {
            name: recall_all(CHANNELS[name](task), requests)
            for name in channels
        }
        if tuned is None:
            tuned = tune_blend(lists, requests.wanted[:, 0])
            continue
        systems = with_merges(tuned, lists)
        values.append(
            {
                name: request_metrics(part, requests, interactions)
                for name, part in systems.items()
            }
        )
        coverages.append(
            {n: list_coverage(p, interactions) for n, p in systems.items()}
        )
        users.append(requests.user)
        alone.append(only_of(lists, requests))
    pooled = {
        name: {
            metric: np.concatenate([week[name][metric] for week in values])
            for metric in values[0][name]
        }
        for name in values[0]
    }
    user_ids, user = np.unique(np.concatenate(users), return_inverse=True)
    judged = compare(pooled, user)
    for name, found in judged.items():
        mean = np.mean([week[name] for week in coverages])
        found["means"]["coverage@20"] = float(mean)
    result = {
        "requests": [len(part) for part in users],
        "users": len(user_ids),
        "blend": tuned.blend(),
        "two_tower_epochs": two_tower_epochs,
        "test": judged,
        "only_of_by_week": alone,
        "recall@100_by_week": [
            {n: float(np.mean(m["recall@100"])) for n, m in week.items()}
            for week in values
        ],
    }
    write_json(output / (NOVEL_FILE if novel else RESULT_FILE), result)
    return "\n".join(
        [
            f"\n{sum(result['requests']):,} requests of {result['users']} "
            f"users; blend {result['blend']}",
            table(judged, [m for m in _METRICS if m in judged[MERGE]["means"]]),
        ]
    )


def read_events(path: Path) -> pd.DataFrame:
    """Returns views, carts and orders in order of time, items from 1 on.

    An event on the item that the user came from does not count again.

    Raises:
        DataError: if the file is missing or has other columns.
    """
    try:
        events = pd.read_csv(path, usecols=_COLUMNS)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: {error}. Name its folder.") from error
    events["item_id"] += 1
    events["user_id"] = pd.factorize(events["user_id"])[0]
    events = events.sort_values(["user_id", "ts"], kind="stable")
    before = events.groupby("user_id")["item_id"].shift()
    return events[events["item_id"] != before].reset_index(drop=True)


def week_requests(
    events: pd.DataFrame, start: int, stop: int, novel: bool = False
) -> Requests:
    """Returns a request for each event of a week that has a history.

    The item that the user is on does not compete: the next is another.

    Args:
        events: of `read_events`.
        start: seconds, of the week.
        stop: seconds, first after it.
        novel: whether only items are wanted that are not in the history, none
            of which competes.
    """
    user = events["user_id"].to_numpy()
    item, time = events["item_id"].to_numpy(), events["ts"].to_numpy()
    first = np.searchsorted(user, user)
    place = np.arange(len(user)) - first
    at = np.flatnonzero((time >= start) & (time < stop) & (place > 0))
    back = np.arange(1, _MAX_LENGTH + 1)
    length = np.minimum(place[at], _MAX_LENGTH)
    real = back <= length[:, None]
    source = np.where(real, at[:, None] - back, 0)
    history = np.where(real, item[source], 0)
    repeated = np.array(
        [item[i] in item[first[i] : i] for i in at.tolist()], bool
    )
    requests = Requests(
        {
            "click_item_id": history,
            "click_event_time": np.where(real, time[source], 0),
            "click_length": length.astype(np.int32),
            "request_time": time[at],
        },
        item[at, None],
        user[at],
        repeated[:, None],
        history if novel else history[:, :1],
    )
    return requests.some(~repeated) if novel else requests


def _write_records(events: pd.DataFrame, data: Path) -> None:
    """Writes a request a user: his last event, after all before it.

    Pairs of items are counted within histories, so one is enough.
    """
    histories = [
        (str(user), *part[["item_id", "ts"]].to_numpy()[::-1].T)
        for user, part in events.groupby("user_id")
    ]
    longest = max(len(items) for _, items, _ in histories)
    schema = week_schema(int(events["item_id"].max()), longest)
    write_dataset(data, schema, {"train": map(week_record, histories)})
