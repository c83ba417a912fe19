"""Small random requests of any schema, for tests of every package."""

from typing import Any

import numpy as np

from jd_tf.schema import (
    Behavior,
    BiasColumn,
    IdColumn,
    Objective,
    Schema,
)


def small_schema(**changes: Any) -> Schema:
    """A schema that uses every kind of column.

    Without `item_dense` its events have none either.
    """
    prices = ("price",) if changes.get("item_dense", True) else ()
    fields = {
        "name": "small",
        "item_columns": (
            IdColumn("item_id", num_buckets=1000),
            IdColumn("category_id", vocabulary=tuple(range(1, 9))),
            IdColumn("brand_id", dtype="string", num_buckets=50),
            IdColumn("tag_id", num_buckets=40, max_values=3),
        ),
        "behaviors": (
            Behavior(
                "click",
                max_length=12,
                dwell=True,
                action_counters=("main_image_clicks", "comment_reads"),
                action_slots=("entry",),
                num_action_ids=5,
            ),
            Behavior("order", max_length=6, item_dense=prices),
        ),
        "objectives": (
            Objective("click"),
            Objective("cart", value=5.0, given="click"),
            Objective("order", value=50.0, given="click"),
        ),
        "max_candidates": 7,
        "item_dense": ("price", "age"),
        "context_columns": (
            IdColumn("scenario", vocabulary=(1, 2, 3)),
            IdColumn("hour", num_buckets=30),
        ),
        "session_dense": ("clicks", "carts", "dwell"),
        "bias_columns": (BiasColumn("position", 10), BiasColumn("page", 4)),
    }
    return Schema(**{**fields, **changes})


# Dwell of clicks in seconds, and what was paid for orders.
AMOUNTS = (
    Objective("click"),
    Objective("order", value=5.0, given="click"),
    Objective("dwell", value=0.01, given="click", kind="amount"),
    Objective("paid", value=0.1, given="order", kind="amount"),
)


def random_request(
    schema: Schema, generator: np.random.Generator, number: int = 0
) -> dict[str, Any]:
    """A valid request; labels are random but order implies click."""
    lengths = {
        behavior.length: int(generator.integers(0, behavior.max_length + 1))
        for behavior in schema.behaviors
    }
    lengths["num_candidates"] = int(
        generator.integers(1, schema.max_candidates + 1)
    )
    request: dict[str, Any] = {
        "request_id": number,
        "user_id": f"user{number % 5}",
        "request_time": 1_700_000_000 + number,
    }
    for column in schema.columns():
        if column.name in lengths or column.name in request:
            continue
        rows = (lengths[column.length],) if column.ragged else ()
        shape = (*rows, column.inner) if column.inner else rows
        if column.dtype == "string":
            ids = generator.integers(1, 9, shape)
            values = np.array([f"b{i}" for i in ids.flat], object)
            request[column.name] = values.reshape(shape)
        elif column.dtype == "float32":
            request[column.name] = generator.gamma(1.0, 9.0, shape)
        else:
            most = 9 if column.multi_valued else 3
            request[column.name] = generator.integers(1, most + 1, shape)
        if column.name == "item_id":
            # Each once; the first of them are in histories, too.
            old = request["item_id"]
            new = 1 + generator.permutation(len(old))
            text = old.dtype.kind == "O"
            names = [f"b{n}" if text else n for n in new]
            request["item_id"] = np.array(names, old.dtype)
        if column.multi_valued:
            items = request[column.name].tolist()
            request[column.name] = lists = np.empty(len(items), object)
            # Distinct values, none of some items.
            for place, item in enumerate(items):
                number = generator.integers(len(item) + 1)
                lists[place] = list(dict.fromkeys(item))[:number]
    for behavior in schema.behaviors:
        name = f"{behavior.name}_event_time"
        ages = np.cumsum(generator.gamma(1.0, 9.0, request[name].shape))
        times = request["request_time"] - ages.astype(np.int64)
        request[name] = times
    labels = generator.random((lengths["num_candidates"], 1)) < 0.4
    others = generator.random(request["labels"].shape) < 0.5
    request["labels"] = (labels & others).astype("float32")
    request["labels"][:, :1] = labels
    for index, objective in enumerate(schema.objectives):
        if objective.is_amount:
            # Some of what happened lasted no time, or was paid nothing for.
            parent = request["labels"][:, schema.given_indices[index]]
            amounts = generator.gamma(0.5, 60.0, len(parent)).round()
            request["labels"][:, index] = parent * amounts
    request["label_weights"] = np.ones_like(request["labels"])
    return request


def random_requests(
    schema: Schema, count: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Several of them."""
    generator = np.random.default_rng(seed)
    return [random_request(schema, generator, i) for i in range(count)]
