"""Weights of a recommender's channels, fitted on its validation split."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from jd_tf.data.text_table import text_table
from jd_tf.data.validation import RequestValidator
from jd_tf.metrics import found_at
from jd_tf.pipeline.building import RecommenderFiles, open_channels
from jd_tf.pipeline.evaluation.logged_requests import LoggedRequest, read_logged
from jd_tf.pipeline.item_lists import ItemLists
from jd_tf.pipeline.preparation import save_config
from jd_tf.pipeline.recall.blend import tune_blend
from jd_tf.pipeline.recall.channel import RecallChannel
from jd_tf.pipeline.recall.merging import Merge
from jd_tf.pipeline.recommender_config import RecallSettings
from jd_tf.schema import HISTORY_ROLES, REQUEST_ROLES, DataError, Schema
from jd_tf.serving.batching import pad_requests

BEFORE, TUNED, WITHOUT = "before", "tuned", "tuned without "
# Of a user who has no history nothing else brings items.
_LEAST_POPULAR = 0.03
# Requests looked at for each user that is wanted.
_REQUESTS_A_USER = 4
_BATCH_SIZE = 256


def tune_channels(
    path: str | Path,
    data: str | Path,
    num_users: int = 1000,
    seed: int = 1,
    split: str = "validation",
    progress: bool = True,
) -> dict[str, Any]:
    """Writes the weights of channels that find most into a recommender's file.

    One request of each user counts, by the item of it that was worth most.
    Half of the users choose weights, way and offset of the merge by
    `tune_blend`, for the first tenth, third and all of the items that recall
    passes on. The others judge: where the weights of the file find as much,
    they stay. Channels that get no weight and have no quota are left out of
    the file; the popular one always stays, for users without a history.

    Args:
        path: the YAML file.
        data: folder of request records.
        num_users: drawn from the split.
        seed: of the draw.
        split: not that of training.
        progress: whether to show a bar.

    Returns:
        `changed`, `weights`, `by`, `rank_offset`, `users` that judged, `places`
        and `hits`: system -> share of wanted items within each of the places;
        systems are the channels, `before`, `tuned` and it without a channel.

    Raises:
        DataError: file or data cannot be read, or no user wants an item.
    """
    files = RecommenderFiles.read(path)
    config, recall = files.config, files.config.recall
    channels = open_channels(files)
    requests = _of_users(data, split, files.schema, num_users, seed)
    lists = _recalled(channels, requests, files.schema, recall, progress)
    wanted = np.array(
        [one.item_id[one.value.argmax()] for one in requests],
        requests[0].item_id.dtype,
    )
    passed = min(recall.count, len(files.catalogue))
    places = sorted({max(passed // part, 1) for part in (10, 3, 1)})
    # Requests are in a drawn order.
    half = len(requests) // 2
    tuned = _kept(
        tune_blend(
            {name: part.some(slice(half)) for name, part in lists.items()},
            wanted[:half],
            places,
        ),
        recall,
    )
    others = {
        name: part.some(slice(half, None)) for name, part in lists.items()
    }
    merges = {BEFORE: recall.merge(), TUNED: tuned}
    for name, weight in tuned.weights.items():
        if weight and sum(map(bool, tuned.weights.values())) > 1:
            left = {**tuned.weights, name: 0.0}
            merges[WITHOUT + name] = dataclasses.replace(tuned, weights=left)
    systems = {
        name: merge(others, recall.count).items
        for name, merge in merges.items()
    }
    hits = {
        name: _hits(part, wanted[half:], places)
        for name, part in {**others, **systems}.items()
    }
    changed = _worth(hits[TUNED]) > _worth(hits[BEFORE])
    if changed:
        chosen = {
            name: dataclasses.replace(one, weight=tuned.weights[name])
            for name, one in recall.channels.items()
            if tuned.weights[name] or one.quota
        }
        recall = dataclasses.replace(
            recall, channels=chosen, by=tuned.by, rank_offset=tuned.rank_offset
        )
        save_config(dataclasses.replace(config, recall=recall), path)
    return {
        "changed": changed,
        **tuned.blend(),
        "users": len(requests) - half,
        "places": places,
        "hits": hits,
    }


def tuning_text(report: Mapping[str, Any]) -> str:
    """Returns the table of a report of `tune_channels`."""
    heads = [f"in first {place}" for place in report["places"]]
    rows = [["", "weight", *heads]]
    for name, hits in report["hits"].items():
        weight = report["weights"].get(name)
        text = "" if weight is None else f"{weight:g}"
        rows.append([name, text, *(f"{share:.4f}" for share in hits)])
    by = f"by {report['by']}"
    if report["by"] == "rank":
        by += f", offset {report['rank_offset']:g}"
    verdict = "written" if report["changed"] else "no better: left as before"
    last = f"{report['users']} other users; merged {by}; {verdict}"
    return "\n".join([*text_table(rows), last])


def _of_users(
    data: str | Path, split: str, schema: Schema, num_users: int, seed: int
) -> list[LoggedRequest]:
    """Returns a request of each of some users, in a drawn order."""
    most = num_users * _REQUESTS_A_USER
    read = read_logged(data, split, most, schema)
    logged = [one for one in read if len(one.wanted)]
    order = np.random.default_rng(seed).permutation(len(logged))
    by_user = {logged[n].user_id: logged[n] for n in order.tolist()}
    found = list(by_user.values())[:num_users]
    if len(found) < 2:
        raise DataError(
            f"{data}: split `{split}` has {len(found)} users who want an item; "
            "channels cannot be tuned. Leave their weights as they are "
            "(--tune_users=0)."
        )
    return found


def _recalled(
    channels: Sequence[RecallChannel],
    requests: Sequence[LoggedRequest],
    schema: Schema,
    settings: RecallSettings,
    progress: bool,
) -> dict[str, ItemLists]:
    """Returns what each channel brings for the requests."""
    roles = (*HISTORY_ROLES, *REQUEST_ROLES)
    checker = RequestValidator(schema, roles)
    parts: dict[str, list[ItemLists]] = {one.name: [] for one in channels}
    starts = range(0, len(requests), _BATCH_SIZE)
    for start in tqdm.tqdm(starts, "recalling", disable=not progress):
        some = requests[start : start + _BATCH_SIZE]
        batch = pad_requests(
            [checker.check(one.columns) for one in some], schema.columns(*roles)
        )
        excluded = None
        if settings.exclude:
            ids = [batch[f"{name}_item_id"] for name in settings.exclude]
            excluded = np.concatenate(ids, axis=1)
        for channel in channels:
            parts[channel.name].append(
                channel.recall(batch, settings.per_channel, excluded)
            )
    return {name: ItemLists.joined(part) for name, part in parts.items()}


def _kept(tuned: Merge, settings: RecallSettings) -> Merge:
    """Returns the blend with quotas, and a weight of each channel."""
    weights = {
        name: max(
            tuned.weights.get(name, one.weight),
            _LEAST_POPULAR if one.kind == "popular" else 0.0,
        )
        for name, one in settings.channels.items()
    }
    quotas = settings.merge().quotas
    return dataclasses.replace(tuned, weights=weights, quotas=quotas)


def _hits(
    items: ItemLists, wanted: np.ndarray, places: Sequence[int]
) -> list[float]:
    """Returns the share of wanted items within each number of places."""
    at = found_at(items.item_id, wanted[:, None])[:, 0]
    return [float(np.mean((at > 0) & (at <= place))) for place in places]


def _worth(hits: Sequence[float]) -> float:
    return float(np.log(np.maximum(hits, 1e-9)).sum())
