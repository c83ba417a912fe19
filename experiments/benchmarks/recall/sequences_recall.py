"""Recall on one public data set of timelines."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiments.benchmarks.recall.ranked_recall import ranked_lists
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
from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset_making import make_dataset
from jd_tf.data.files import write_json
from jd_tf.data.sources.sequences import SequencesSource
from jd_tf.pipeline.item_lists import ItemLists, stack_rows
from jd_tf.pipeline.recall.blend import tune_blend
from jd_tf.pipeline.recall.interactions import Interactions
from jd_tf.pipeline.recall.merging import Merge
from jd_tf.schema import HISTORY_ROLES, REQUEST_ROLES
from jd_tf.training.workdir import load_trained

RESULT_FILE = "result.json"
# The merge's items by the ranker's score, and by a blend of both orders.
RANKER, CHAIN = "ranker", "merge and ranker"
_BATCH_SIZE = 4096
# Validation users whose lists choose the weights, and places that matter.
_TUNED_USERS = 8000
_METRICS = (
    *("HR@10", "NDCG@10", "recall@20", "recall@100"),
    *("cold_recall@100", "coverage@20", "novelty@20"),
)


def judge_dataset(
    folder: Path,
    name: str,
    output: Path,
    channels: Sequence[str],
    ranker: Path | None = None,
    retriever: Path | None = None,
) -> str:
    """Writes `RESULT_FILE`; returns the table.

    Args:
        folder: of `NAME.txt`.
        name: of the data set.
        output: of everything made.
        channels: names of `CHANNELS`.
        ranker: work folder of a run of `public_sequences` on the data set,
            whose model orders what the merge brought.
        retriever: SavedModel of a two-tower model of the data set.
    """
    source, data = sequence_data(folder, name, output)
    interactions = Interactions.of_timelines(source.timelines)
    task = RecallTask(
        interactions,
        data,
        output,
        catalogue=source.catalogue,
        attribute="attribute_ids",
        retriever=retriever,
    )
    splits = {
        split: sequence_requests(source, data, split)
        for split in ("validation", "test")
    }
    lists: dict[str, dict[str, ItemLists]] = {split: {} for split in splits}
    seconds = {}
    for channel in channels:
        start = time.monotonic()
        built = CHANNELS[channel](task)
        seconds[channel] = [time.monotonic() - start]
        for split, requests in splits.items():
            start = time.monotonic()
            lists[split][channel] = recall_all(built, requests)
            seconds[channel].append(time.monotonic() - start)
        print(f"{name}: {channel}, {seconds[channel][0]:.1f} s", flush=True)
    drawn = np.random.default_rng(1).permutation(len(splits["validation"]))
    drawn = drawn[:_TUNED_USERS]
    tuned = tune_blend(
        {c: part.some(drawn) for c, part in lists["validation"].items()},
        splits["validation"].wanted[drawn, 0],
    )
    result: dict[str, Any] = {
        "dataset": name,
        "blend": tuned.blend(),
        "seconds": seconds,
    }
    text = [f"\n#### {name}: {result['blend']}"]
    systems_of = {
        split: with_merges(tuned, lists[split], split == "test")
        for split in splits
    }
    if ranker is not None:
        chain = add_ranker(
            load_trained(ranker), source, splits, systems_of, drawn
        )
        result["chain"] = {"weights": dict(chain.weights), "by": chain.by}
    for split, requests in splits.items():
        systems = systems_of[split]
        values = {
            system: request_metrics(part, requests, interactions)
            for system, part in systems.items()
        }
        judged = compare(values, requests.user)
        for system, part in systems.items():
            means = judged[system]["means"]
            means["coverage@20"] = list_coverage(part, interactions)
        result[split] = judged
        result[f"{split}_only_of"] = only_of(lists[split], requests)
        text += [f"\n{split}", table(judged, _METRICS)]
    write_json(output / RESULT_FILE, result)
    return "\n".join(text)


def add_ranker(
    model: keras.Model,
    source: SequencesSource,
    splits: Mapping[str, Requests],
    systems: Mapping[str, dict[str, ItemLists]],
    drawn: np.ndarray,
) -> Merge:
    """Adds `RANKER` and `CHAIN` to the systems of the test split.

    Args:
        model: a trained ranker of the data set.
        source: of the catalogue.
        splits: requests by split.
        systems: lists by split, the merge's among them.
        drawn: rows of validation requests that choose the blend of both.

    Returns:
        The blend.
    """
    requests = splits["validation"].some(drawn)
    merged = systems["validation"][MERGE].some(drawn)
    ranked = ranked_lists(model, source.catalogue, requests, merged)
    blend = tune_blend({MERGE: merged, RANKER: ranked}, requests.wanted[:, 0])
    test = systems["test"]
    test[RANKER] = ranked_lists(
        model, source.catalogue, splits["test"], test[MERGE]
    )
    both = {name: test[name] for name in (MERGE, RANKER)}
    test[CHAIN] = with_merges(blend, both, False)[MERGE]
    return blend


def sequence_data(
    folder: Path, name: str, output: Path
) -> tuple[SequencesSource, Path]:
    """Returns a data set and the folder of its records, made once.

    Arguments are those of `judge_dataset`.
    """
    # Most of the default's time goes into negatives, which nobody reads here.
    options = {"dataset": name, "num_negatives": 1}
    data = output / "data"
    if not data.exists():
        make_dataset(SequencesSource.name, data, folder, **options)
    return SequencesSource(folder, **options), data


def sequence_requests(
    source: SequencesSource, data: Path, split: str
) -> Requests:
    """Returns the requests of a split, with their targets."""
    columns = source.schema.columns(*HISTORY_ROLES, *REQUEST_ROLES)
    names = [column.name for column in columns]
    timelines = {t.user_id: t.items for t in source.timelines}
    parts, wanted, seen = [], [], []
    for batch in numpy_batches(data, split, _BATCH_SIZE, keys=True):
        parts.append({name: batch[name] for name in names})
        last = 2 if split == "validation" else 1
        for user in batch["user_id"]:
            items = timelines[user.decode()]
            wanted.append(items[-last])
            seen.append(items[:-last])
    excluded = np.zeros((len(seen), max(map(len, seen))), np.int64)
    for row, items in zip(excluded, seen, strict=True):
        row[: len(items)] = items
    targets = np.array(wanted)[:, None]
    return Requests(
        {name: stack_rows([part[name] for part in parts]) for name in names},
        targets,
        np.arange(len(targets)),
        np.zeros(targets.shape, bool),
        excluded,
    )
