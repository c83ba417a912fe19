"""The requests of the small shop, by loops over rows: slow and literal."""

import datetime
import zoneinfo

import pandas as pd

from tests.data.tables.small_shop import CONFIG, DAY

HOUR = 3600
OBJECTIVES = ("click", "order")
MISSING_TEXT, MISSING_NUMBER = "missing", 1 << 62


def attributes(tables, item, time):
    """Of the item's newest row that is valid: category, tags, weight."""
    found = ("missing", [], 0.0)
    for row in tables["items"].itertuples():
        if row.sku == item and pd.Timestamp(row.since).timestamp() <= time:
            tags = list(dict.fromkeys(row.tags.split("|")))
            found = (row.cate or MISSING_TEXT, tags, row.weight)
    return found


def place(tables, item, time):
    """The newest shelf and stock of an item."""
    found = (MISSING_TEXT, 0.0)
    for row in tables["stock"].itertuples():
        if row.sku == item and pd.Timestamp(row.since).timestamp() <= time:
            found = (row.shelf, float(row.stock))
    return found


def person(tables, user):
    for row in tables["users"].itertuples():
        if row.uid == user:
            return str(row.level), float(row.age)
    return MISSING_TEXT, 0.0


def impressions(tables, log_end, cut_of):
    """All shown items with outcomes; request id -> rows."""
    rows = [
        {
            "request": row.rid,
            "user": row.uid,
            "item": row.sku,
            "time": row.ts,
            "position": row.pos,
            "page": row.page,
            "price": row.price,
            "click": row.ts if row.clicked else None,
            "order": None,
        }
        for row in tables["shown"].itertuples()
    ]
    for event in tables["events"].itertuples():
        if event.kind != "order":
            continue
        before = [
            row
            for row in rows
            if (row["user"], row["item"]) == (event.uid, event.sku)
            and row["time"] <= event.ts
        ]
        if not before:
            continue
        latest = max(before, key=lambda row: (row["time"], row["request"]))
        if event.ts - latest["time"] <= 6 * HOUR:
            known = latest["order"]
            latest["order"] = min(event.ts, known or event.ts)
    for row in rows:
        # An order is given a click, which it implies.
        if row["click"] is None:
            row["click"] = row["order"]
        row["category"], row["tags"], row["weight"] = attributes(
            tables, row["item"], row["time"]
        )
        row["shelf"], row["stock"] = place(tables, row["item"], row["time"])
        row["order_known"] = row["time"] + 6 * HOUR <= cut_of(row["time"])
    return rows


def history(tables, user, time, kind, length, window):
    """Events before the time, newest first, as tuples; each once."""
    met = set()
    for event in tables["events"].itertuples():
        late = event.ts >= time - 600  # A delay of ten minutes
        if event.uid != user or event.kind != kind or late:
            continue
        if window is None or event.ts >= time - window:
            met.add(
                (
                    event.ts,
                    event.sku,
                    event.seconds,
                    event.comments,
                    event.entry,
                )
            )
    return sorted(met, reverse=True)[:length]


def count(rows, match, as_of, window, what):
    """Counts impressions or an outcome of matching rows before a time."""
    total = 0
    for row in rows:
        happened = row["time"] if what == "impressions" else row[what]
        if happened is None or happened >= as_of or not match(row):
            continue
        total += window is None or happened >= as_of - window
    return total


def rate(rows, matches, as_of, window, what, smoothing):
    """The rate of the first match, drawn to those after it.

    `as_of` may be a time for each of them.
    """
    value = 0.0
    times = as_of if isinstance(as_of, list) else [as_of] * len(matches)
    chain = list(zip(matches, times, strict=True))
    for level, (match, as_of) in enumerate(reversed(chain)):
        shown = count(rows, match, as_of, window, "impressions")
        positives = count(rows, match, as_of, window, what)
        weight = smoothing if level else 0.0
        if shown + weight:
            value = (positives + weight * value) / (shown + weight)
        else:
            value = 0.0
    return value


def statistics(rows, row, as_of, smoothing=CONFIG["smoothing"]):
    """Features of a shown item, in the order of the configuration."""

    def same(*names):
        return lambda other: all(other[n] == row[n] for n in names)

    whole, features = same(), []
    item, category = same("item"), same("category")
    for window in (3600, DAY, None):
        features.append(count(rows, item, as_of, window, "impressions"))
        for what in OBJECTIVES:
            features.append(count(rows, item, as_of, window, what))
        for what in OBJECTIVES:
            chain = (item, category, whole)
            features.append(rate(rows, chain, as_of, window, what, smoothing))
    for match, window in (
        (category, None),
        (same("user", "category"), 7 * DAY),
    ):
        features.append(count(rows, match, as_of, window, "impressions"))
        for what in OBJECTIVES:
            chain = (match, whole)
            features.append(rate(rows, chain, as_of, window, what, smoothing))
    return features


def user_statistics(rows, row, time, smoothing=CONFIG["smoothing"]):
    """Those of the user are ten minutes late, those of all an hour."""
    features, times = [], [time - 600, time - HOUR]

    def mine(other):
        return other["user"] == row["user"]

    for window in (2 * DAY, None):
        features.append(count(rows, mine, times[0], window, "impressions"))
        for what in OBJECTIVES:
            chain = (mine, lambda other: True)
            features.append(rate(rows, chain, times, window, what, smoothing))
    return features


def literal_requests(tables, log_end, cut_of, delay=HOUR):
    """Request id -> columns as lists."""
    rows = impressions(tables, log_end, cut_of)
    requests = {}
    for name in sorted({row["request"] for row in rows}):
        shown = [row for row in rows if row["request"] == name]
        shown.sort(key=lambda row: (row["position"], row["item"]))
        first = shown[0]
        user, time = first["user"], first["time"]
        level, age = person(tables, user)
        clock = datetime.datetime.fromtimestamp(
            time, zoneinfo.ZoneInfo(CONFIG["zone"])
        )
        request = {
            "user_id": str(user),
            "viewer_id": user,
            "request_time": time,
            "hour": clock.hour + 1,
            "weekday": clock.weekday() + 1,
            "scenario": first["page"],
            "level": level,
            "session_dense": [age, *user_statistics(rows, first, time)],
            "item_id": [row["item"] for row in shown],
            "category_id": [row["category"] for row in shown],
            "tag_id": [row["tags"] for row in shown],
            "shelf_id": [row["shelf"] for row in shown],
            "position": [row["position"] for row in shown],
            "item_dense": [
                [
                    row["weight"],
                    row["stock"],
                    row["price"],
                    *statistics(rows, row, time - delay),
                ]
                for row in shown
            ],
            "labels": [
                [row["click"] is not None, row["order"] is not None]
                for row in shown
            ],
            "label_weights": [[1, row["order_known"]] for row in shown],
        }
        for kind, length, window in (("click", 5, 3 * DAY), ("order", 3, None)):
            past = history(tables, user, time, kind, length, window)
            columns = {
                "item_id": [event[1] for event in past],
                "category_id": [
                    attributes(tables, event[1], event[0])[0] for event in past
                ],
                "tag_id": [
                    attributes(tables, event[1], event[0])[1] for event in past
                ],
                "shelf_id": [
                    place(tables, event[1], event[0])[0] for event in past
                ],
                "event_time": [event[0] for event in past],
            }
            if kind == "click":
                columns["dwell_seconds"] = [event[2] for event in past]
                columns["action_counts"] = [[event[3]] for event in past]
                columns["action_ids"] = [[event[4]] for event in past]
            request |= {f"{kind}_{n}": v for n, v in columns.items()}
        requests[name] = request
    return requests
