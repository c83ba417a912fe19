"""A small shop in tables, with everything that tables can have."""

import numpy as np
import pandas as pd
import yaml

START = 1_700_000_000
DAY = 86_400
CONFIG = {
    "name": "small_shop",
    "ids": {"user": {"dtype": "int64"}, "item": {"dtype": "int64"}},
    "tables": {
        "events": {
            "path": "events*.parquet",
            "columns": {
                "user": "uid",
                "item": "sku",
                "time": "ts",
                "type": "kind",
                "dwell": "seconds",
            },
            "ids": {"entry": "entry"},
            "numbers": {"comment_reads": "comments"},
        },
        "impressions": {
            "path": "shown.parquet",
            "columns": {
                "request": "rid",
                "user": "uid",
                "item": "sku",
                "time": "ts",
                "position": "pos",
                "scenario": "page",
            },
            "numbers": {"shown_price": "price"},
        },
        "items": {
            "path": "items.csv",
            "columns": {"item": "sku", "valid_from": "since"},
            "ids": {
                "category_id": "cate",
                "tag_id": {"column": "tags", "separator": "|", "max_values": 3},
            },
            "numbers": {"weight": "weight"},
        },
        "stock": {
            "of": "items",
            "path": "stock.csv",
            "columns": {"item": "sku", "valid_from": "since"},
            "ids": {"shelf_id": "shelf"},
            "numbers": {"stock": "stock"},
        },
        "users": {
            "path": "users.csv",
            "columns": {"user": "uid"},
            "ids": {"level": "level"},
            "numbers": {"age": "age"},
        },
    },
    "behaviors": {
        "click": {
            "max_length": 5,
            "window": "3d",
            "dwell": True,
            "action_counters": ["comment_reads"],
            "action_slots": ["entry"],
        },
        "order": {"max_length": 3},
    },
    "objectives": {
        "click": {"label": "clicked"},
        "order": {"events": ["order"], "within": "6h", "given": "click"},
    },
    "context": ["hour", "weekday", "viewer_id"],
    "statistics": [
        {
            "key": "item_id",
            "parent": "category_id",
            "windows": ["1h", "1d", "all"],
            "values": ["impressions", "positives", "rate"],
        },
        {"key": "category_id", "windows": ["all"]},
        {"key": ["user_id", "category_id"], "windows": ["7d"]},
        {"key": "user_id", "windows": ["2d", "all"], "delay": "10m"},
    ],
    "history_delay": "10m",
    "smoothing": 5.0,
    "zone": "Asia/Shanghai",
}


def random_tables(seed=0, users=12, items=9, events=600, requests=120, days=8):
    """Tables as DataFrames; times collide often, on purpose."""
    draw = np.random.default_rng(seed)

    def times(count):
        return START + 600 * draw.integers(0, days * DAY // 600, count)

    happened = pd.DataFrame(
        {
            "uid": draw.integers(1, users + 1, events),
            "sku": draw.integers(1, items + 3, events),
            "ts": times(events),
            "kind": draw.choice(["click", "order", "other"], events),
            "seconds": draw.integers(0, 50, events) * 1.0,
            "comments": draw.integers(0, 3, events),
            "entry": draw.integers(1, 4, events),
        }
    )
    rows = []
    for request in range(requests):
        user, time = int(draw.integers(1, users + 1)), int(times(1)[0])
        shown = draw.choice(items + 1, int(draw.integers(2, 6)), replace=False)
        for place, item in enumerate(shown + 1):
            rows.append(
                {
                    "rid": f"r{request}",
                    "uid": user,
                    "sku": int(item),
                    "ts": time,
                    "pos": place,
                    "page": ["feed", "cart"][request % 2],
                    "price": float(draw.integers(1, 9)),
                    "clicked": int(draw.random() < 0.3),
                }
            )
    attributes = []
    for item in range(1, items + 1):
        for since in (START - DAY, START + 3 * DAY):
            attributes.append(
                {
                    "sku": item,
                    "since": pd.Timestamp(
                        since, unit="s", tz="UTC"
                    ).isoformat(),
                    "cate": ["food", "toys", ""][int(draw.integers(3))],
                    "tags": "|".join(map(str, draw.integers(1, 5, 2))),
                    "weight": float(draw.integers(1, 9)),
                }
            )
    stock = [
        {
            "sku": item,
            "since": pd.Timestamp(since, unit="s", tz="UTC").isoformat(),
            "shelf": "abc"[int(draw.integers(3))],
            "stock": int(draw.integers(9)),
        }
        for item in range(2, items + 1)
        for since in (START + DAY, START + 5 * DAY)
    ]
    people = pd.DataFrame(
        {
            "uid": np.arange(1, users),
            "level": draw.integers(1, 4, users - 1),
            "age": draw.integers(18, 70, users - 1),
        }
    )
    return {
        "events": happened,
        "shown": pd.DataFrame(rows),
        "items": pd.DataFrame(attributes),
        "stock": pd.DataFrame(stock),
        "users": people,
    }


def write_shop(folder, rows, **changes):
    """Writes the tables and the configuration; returns the path of it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows["events"].to_parquet(folder / "events1.parquet", index=False)
    rows["shown"].to_parquet(folder / "shown.parquet", index=False)
    rows["items"].to_csv(folder / "items.csv", index=False)
    rows["stock"].to_csv(folder / "stock.csv", index=False)
    rows["users"].to_csv(folder / "users.csv", index=False)
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False))
    return path
