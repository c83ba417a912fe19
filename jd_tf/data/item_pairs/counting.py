"""Counts pairs of items in the training records of a data folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import tensorflow as tf
from tqdm import tqdm

from jd_tf.data.batches import numpy_batches
from jd_tf.data.dataset import read_schema, split_files
from jd_tf.data.item_pairs.item_pairs import (
    TWO_STEPS,
    ColumnPairs,
    ItemPairs,
    check_names,
)
from jd_tf.data.item_pairs.sparse_rows import entries, strongest
from jd_tf.data.item_pairs.training_parts import TIME, USER, TrainingParts
from jd_tf.layers.embedding.id_keys import id_keys
from jd_tf.layers.overlap.pair_match import pair_codes
from jd_tf.schema import DataError, Schema

# Pairs held at a time; more are counted in several passes, by user.
_MAX_HELD = 1 << 24
_BATCH_SIZE = 1024
_LARGEST = 2**63 - 1
# Of a walk of two steps: neighbours followed, and rows multiplied at a time.
_WALK_NEIGHBORS = 50
_WALK_ROWS = 4096


def make_item_pairs(
    data: str | Path,
    columns: Sequence[str] = ("item_id",),
    kinds: Sequence[str] = (),
    window: int = 20,
    backwards: float = 0.7,
    target_damping: float = 0.25,
    num_neighbors: int = 500,
    leave_out: str = "auto",
    num_parts: int = 5,
    two_steps: bool = False,
    progress: bool = False,
) -> ItemPairs:
    """Counts which items follow which in the training split.

    A pair of kind `behavior:objective` is an event of the behaviour and a
    positive candidate of the objective, at most `window` places apart. Where
    the objective is that of the behaviour itself, by its name or because both
    are the first of the schema, events within a history are pairs, too: most
    logs have visits that were no candidate of any request. However many
    requests show it, a pair counts once a user, with 1 / distance, and
    `backwards` times that in the other direction. The weight of a pair is
    its count c over c(event)^0.5 c(target)^target_damping, with the sums of
    all counts of each; scaled so that the mean weight of a kind is 1.

    Args:
        data: folder made by `make_data`.
        columns: id columns whose pairs are counted.
        kinds: `behavior:objective` each; the first of both by default.
        window: largest distance, in events.
        backwards: factor of the pair from target to event.
        target_damping: exponent of the target's count. 0.5 is the cosine;
            less leaves popular targets their advantage.
        num_neighbors: strongest neighbours that are kept.
        leave_out: what a training request's table is counted without: "time",
            its own part of the data and all later ones; "user", all users of
            its part; "auto": time where there is a clock.
        num_parts: parts of the training data.
        two_steps: whether each kind is followed by a second one, named with
            `/2`: the neighbours of the strongest neighbours, reached by a
            random walk of two steps, over the root of how many items lead
            there. It links items that nobody visited together.
        progress: whether bars are shown.

    Raises:
        DataError: for unknown names, values out of range, and data without
            any pair.
    """
    schema = read_schema(data)
    first = f"{schema.behaviors[0].name}:{schema.objectives[0].name}"
    columns, kinds = tuple(columns), tuple(kinds) or (first,)
    check_names(schema, columns, kinds, str(data))
    for name, value, least, most in (
        ("window", window, 1, 250),
        ("num_parts", num_parts, 2, 200),
        ("num_neighbors", num_neighbors, 1, 10**6),
        ("backwards", backwards, 0, 1),
        ("target_damping", target_damping, 0, 1),
    ):
        if not least <= value <= most:
            raise DataError(
                f"`{name}` must be between {least} and {most}. Got: {value}."
            )
    records = _Records(data, schema, progress)
    plan = _plan(records, leave_out, num_parts)
    tables = {}
    for column in columns:
        counts = [_count(records, plan, column, k, window) for k in kinds]
        if not any(map(len, counts)):
            raise DataError(
                f"{data}: no pairs of `{column}`: no user has two different "
                f"ones after each other in {', '.join(kinds)}."
            )
        tables[column] = _tables(
            counts, plan[0], two_steps, backwards, target_damping, num_neighbors
        )
    if two_steps:
        kinds = tuple(k + step for k in kinds for step in ("", TWO_STEPS))
    meta = {
        "window": window,
        "backwards": backwards,
        "target_damping": target_damping,
        "num_neighbors": num_neighbors,
        "schema": schema.name,
    }
    return ItemPairs(tables, kinds, plan[0], meta, str(data))


class _Records:
    """The training split of a data folder, read as often as needed."""

    def __init__(self, data: str | Path, schema: Schema, progress: bool):
        self.data, self.schema, self.progress = data, schema, progress

    def read(self, title: str) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Yields numbers of users and batches, in the order of the files."""
        count = sum(split_files(self.data, "train").values())
        for batch in tqdm(
            numpy_batches(self.data, "train", _BATCH_SIZE, keys=True),
            title,
            -(-count // _BATCH_SIZE),
            disable=not self.progress,
        ):
            users = tf.strings.to_hash_bucket_fast(batch["user_id"], _LARGEST)
            yield users.numpy(), batch


def _plan(
    records: _Records, leave_out: str, num_parts: int
) -> tuple[TrainingParts, np.ndarray, int]:
    """Plans whose histories are counted, so that each event enters once.

    A user's requests show the same events again and again. In each part of
    the training data only his last request's history is counted, and of that
    only what is newer than the one counted before it.

    Returns:
        The parts; of each request the time after which events are counted;
        and how many events and targets there are.
    """
    read, num_targets = [], 0
    for user, batch in records.read("reading users"):
        sizes = [batch[b.length] for b in records.schema.behaviors]
        read.append(np.stack([user, batch["request_time"], sum(sizes)]))
        num_targets += int((batch["labels"] > 0).sum())
    requests = pd.DataFrame(
        np.concatenate(read, axis=1).T, columns=["user", "time", "size"]
    )
    time = requests["time"].to_numpy()
    clock = time.min() < time.max()
    if leave_out == "auto":
        leave_out = TIME if clock else USER
    if leave_out == TIME and not clock:
        raise DataError(
            f"{records.data}: every training request has `request_time` "
            f"{time[0]}, so that there is no earlier part to count. Pass "
            "--leave_out=user."
        )
    starts = np.arange(1, num_parts) * len(time) // num_parts
    boundaries = np.sort(time)[starts if leave_out == TIME else []]
    # By user, a part has all requests of a user.
    requests["part"] = np.searchsorted(boundaries, time, side="right")
    # Without a clock the longest history is the last.
    counted = requests.sort_values(["time", "size"], kind="stable")
    counted = counted.drop_duplicates(["user", "part"], keep="last")
    since = counted.groupby("user")["time"].shift(fill_value=-_LARGEST)
    return (
        TrainingParts(leave_out, num_parts, tuple(boundaries.tolist())),
        since.reindex(requests.index, fill_value=_LARGEST).to_numpy(),
        int(counted["size"].sum()) + num_targets,
    )


def _count(
    records: _Records,
    plan: tuple[TrainingParts, np.ndarray, int],
    column: str,
    kind: str,
    window: int,
) -> pd.DataFrame:
    """Returns the counts of pairs in each part."""
    (parts, since, num_found), schema = plan, records.schema
    behavior, _, objective = kind.partition(":")
    number = schema.objective_names.index(objective)
    first = (behavior, number) == (schema.behaviors[0].name, 0)
    dtype = schema.column(column).dtype
    num_groups = -(-num_found * window // _MAX_HELD)
    counts = []
    for group in range(num_groups):
        place, found = 0, [np.zeros((4, 0), np.int64)]
        title = f"{column}, {kind}, pass {group + 1}/{num_groups}"
        for user, batch in records.read(title):
            history, candidates = (
                id_keys(batch[name], dtype, column).numpy()
                for name in (f"{behavior}_{column}", column)
            )
            part = parts.of(batch["user_id"], batch["request_time"]).numpy()
            mine = (user % num_groups == group)[:, None]
            label, weight = batch["labels"], batch["label_weights"]
            positive = (label[..., number] > 0) & (weight[..., number] > 0)
            # Newer than what was counted before.
            after = since[place : place + len(user), None]
            new = batch[f"{behavior}_event_time"] > after
            new &= mine & (first or behavior == objective)
            place += len(user)
            shown, at = np.nonzero(positive & mine)
            for distance in range(1, min(window, history.shape[1]) + 1):
                row, late = np.nonzero(new[:, :-distance])
                event = np.append(
                    history[shown, distance - 1], history[row, late + distance]
                )
                target = np.append(candidates[shown, at], history[row, late])
                row = np.append(shown, row)
                # The earliest part comes first, in it the least distance.
                rank = part[row] * 256 + distance
                pairs = np.stack([user[row], event, target, rank])
                real = (event != target) & (event != 0) & (target != 0)
                found.append(pairs[:, real])
        pairs = np.concatenate(found, axis=1)
        names = ["user", "event", "target"]
        frame = pd.DataFrame(pairs.T, columns=[*names, "rank"])
        frame = frame.groupby(names, sort=False)["rank"].min().reset_index()
        frame["part"], distances = np.divmod(frame["rank"], 256)
        frame["count"] = 1.0 / distances
        names[0] = "part"
        counts.append(frame.groupby(names, as_index=False)["count"].sum())
    return pd.concat(counts)


def _tables(
    counts: Sequence[pd.DataFrame],
    parts: TrainingParts,
    two_steps: bool,
    *options: Any,
) -> ColumnPairs:
    """Returns the tables of one column, from the counts of each kind."""
    seen = pd.concat(counts)[["event", "target"]]
    keys = np.unique(seen.to_numpy())
    means, codes, weights = [], [], []
    num_tables = len(counts) * (1 + two_steps)
    # Of all training events first: its mean weight is the scale of all.
    for part in (parts.num_parts, *range(parts.num_parts)):
        found = []
        for counted in counts:
            read = counted[parts.are_read_by(part, counted["part"])]
            rows = [np.searchsorted(keys, read[c]) for c in ("event", "target")]
            shape = (len(keys), len(keys))
            matrix = scipy.sparse.csr_matrix((read["count"], rows), shape)
            found.append(_damped(matrix, *options))
            if two_steps:
                found.append(_two_steps(found[-1], options[-1]))
        for kind, matrix in enumerate(found):
            event, target, weight = entries(matrix)
            if part == parts.num_parts:
                means.append(weight.mean() if len(weight) else 1.0)
            table = part % parts.num_parts * num_tables + kind
            codes.append(pair_codes(table, event, target))
            weights.append((weight / means[kind]).astype(np.float32))
    split = num_tables
    return ColumnPairs(
        keys,
        np.concatenate(codes[:split]),
        np.concatenate(weights[:split]),
        np.concatenate(codes[split:]),
        np.concatenate(weights[split:]),
    )


def _damped(
    counts: Any, backwards: float, target_damping: float, num_neighbors: int
) -> Any:
    """Returns the weights of pairs, the strongest of each row."""
    counts = (counts + backwards * counts.T).tocsr()
    rows, columns, weights = entries(counts)
    of_event = np.asarray(counts.sum(axis=1)).ravel()[rows]
    of_target = np.asarray(counts.sum(axis=0)).ravel()[columns]
    weights /= of_event**0.5 * of_target**target_damping
    damped = scipy.sparse.csr_matrix((weights, (rows, columns)), counts.shape)
    return strongest(damped, num_neighbors)


def _two_steps(weights: Any, num_neighbors: int) -> Any:
    """Returns the chances of a walk of two steps, damped."""
    first = strongest(weights, _WALK_NEIGHBORS)
    total = np.maximum(np.asarray(first.sum(axis=1)).ravel(), 1e-9)
    step = (scipy.sparse.diags(1 / total) @ first).tocsr()
    leading = np.bincount(entries(weights)[1], minlength=len(total))
    last = (step @ scipy.sparse.diags(np.maximum(leading, 1) ** -0.5)).tocsr()
    blocks = []
    for start in range(0, len(total), _WALK_ROWS):
        block = (step[start : start + _WALK_ROWS] @ last).tocsr()
        block.setdiag(0, start)  # Nothing leads to itself.
        blocks.append(strongest(block, num_neighbors))
    return scipy.sparse.vstack(blocks).tocsr()
