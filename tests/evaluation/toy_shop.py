"""Batches of a shop where category taste and item quality cause clicks."""

import numpy as np

from jd_tf.schema import Behavior, IdColumn, Objective, Schema

NUM_ITEMS, NUM_CATEGORIES = 60, 6


def toy_schema() -> Schema:
    """Clicks and orders of 60 items in 6 categories."""
    return Schema(
        name="toy",
        item_columns=(
            IdColumn("item_id", num_buckets=100),
            IdColumn("category_id", num_buckets=10),
            IdColumn("shop_id", dtype="string", num_buckets=10),
        ),
        behaviors=(
            Behavior(
                "click",
                max_length=8,
                dwell=True,
                action_counters=("reads",),
                item_dense=("price",),
                action_slots=("entry",),
                num_action_ids=4,
            ),
            Behavior("order", max_length=3),
        ),
        objectives=(
            Objective("click"),
            Objective("order", value=10.0, given="click"),
        ),
        max_candidates=6,
        item_dense=("price",),
        context_columns=(IdColumn("hour", num_buckets=30),),
        session_dense=("clicks",),
    )


def category_of(items):
    """1 to 6 for items from 1, 0 for padding."""
    return np.where(items > 0, items % NUM_CATEGORIES + 1, 0)


def toy_batch(seed: int, size: int = 100, clock: bool = True) -> dict:
    """One batch; the chance of a click is known by construction."""
    rng = np.random.default_rng(seed)
    quality = np.random.default_rng(1234).random(NUM_ITEMS + 1)
    taste = rng.integers(1, NUM_CATEGORIES + 1, size)

    def items(length, width, liked):
        drawn = rng.integers(1, NUM_ITEMS + 1, (size, width))
        wanted = (
            taste[:, None]
            - 1
            + NUM_CATEGORIES * rng.integers(1, 10, (size, width))
        )
        drawn = np.where(rng.random((size, width)) < liked, wanted, drawn)
        return np.where(np.arange(width) < length[:, None], drawn, 0)

    batch = {
        "request_id": np.array([f"r{seed}-{i}" for i in range(size)], object),
        "user_id": np.array([f"u{i // 2}" for i in range(size)], object),
        "request_time": np.arange(size) + 1000 * seed if clock else taste * 0,
        "hour": rng.integers(0, 24, size),
        "session_dense": rng.random((size, 1), np.float32),
        "num_candidates": rng.integers(2, 7, size).astype(np.int32),
    }
    candidates = items(batch["num_candidates"], 6, liked=0.3)
    real = candidates > 0
    batch["item_dense"] = rng.random((size, 6, 1), np.float32)
    batch["click_item_dense"] = rng.random((size, 8, 1), np.float32)
    for name, width, most in (("click", 8, 9), ("order", 3, 4)):
        length = rng.integers(0, most, size).astype(np.int32)
        events = items(length, width, liked=0.8)
        batch[f"{name}_length"] = length
        _put_ids(batch, f"{name}_", events)
        age = np.sort(rng.gamma(1, 5000, (size, width)), axis=1)
        time = batch["request_time"][:, None] - age.astype(np.int64)
        batch[f"{name}_event_time"] = time
    batch["click_dwell_seconds"] = rng.gamma(1, 9, (size, 8)).astype(np.float32)
    counts = rng.poisson(1.0, (size, 8, 1)).astype(np.float32)
    batch["click_action_counts"] = counts
    batch["click_action_ids"] = rng.integers(1, 5, (size, 8, 1))
    _put_ids(batch, "", candidates)
    liked = category_of(candidates) == taste[:, None]
    chance = 0.5 * quality[candidates] * np.where(liked, 1.0, 0.3)
    clicks = (rng.random(real.shape) < chance) & real
    orders = clicks & (rng.random(real.shape) < 0.4)
    labels = np.stack([clicks, orders], axis=2).astype(np.float32)
    batch["labels"] = labels
    batch["label_weights"] = np.repeat(real[..., None], 2, axis=2).astype("f4")
    return batch


def later(batch: dict, request_time: np.ndarray) -> dict:
    """The times of a batch at another time of its requests."""
    passed = request_time - batch["request_time"]
    times = {
        f"{name}_event_time": batch[f"{name}_event_time"] + passed[:, None]
        for name in ("click", "order")
    }
    return {**times, "request_time": request_time}


def _put_ids(batch: dict, prefix: str, items: np.ndarray) -> None:
    batch[f"{prefix}item_id"] = items
    batch[f"{prefix}category_id"] = category_of(items)
    shops = np.array([b"", *(b"s%d" % i for i in range(4))], object)
    batch[f"{prefix}shop_id"] = shops[np.where(items > 0, items % 4 + 1, 0)]
