"""Requests of micro-behaviour sessions by brute force, from the format."""

import numpy as np


def raw_events(line):
    """(item, behaviour, category, start, dwell) of a line."""
    now, events = 0, []
    for token in line.split():
        item, behavior, category, interval, dwell = map(int, token.split("+"))
        events.append((item, behavior, category, now, dwell))
        now += interval
    return events


def arrivals(line):
    """Events at which a session goes to a product it has not met."""
    met, found = set(), []
    for number, event in enumerate(raw_events(line)):
        if event[0] not in met:
            met.add(event[0])
            found.append((number, event[0]))
    return found


def expected(lines, line_number, event_number, candidates):
    """The request by brute force, straight from the format."""
    events = raw_events(lines[line_number - 1])
    past, rest = events[:event_number], events[event_number:]
    now = events[event_number][3]
    visits = []
    for item, behavior, category, start, dwell in past:
        if not visits or visits[-1]["item"] != item:
            visits.append(
                {
                    "item": item,
                    "category": category,
                    "time": start - now,
                    "dwell": dwell if start + dwell <= now else -1,
                    "counts": [0] * 6,
                    "entry": 0,
                }
            )
        visit = visits[-1]
        visit["counts"][max(0, behavior - 5)] += 1
        if not visit["entry"] and behavior <= 5:
            visit["entry"] = behavior
    visits = visits[::-1][:50]
    carts = [e for e in past if e[1] == 9][::-1][:20]
    orders = [e for e in past if e[1] == 10][::-1][:20]
    earlier = lines[: line_number - 1]
    category_of = {}
    for line in lines[:line_number]:
        for e in raw_events(line):
            category_of.setdefault(e[0], e[2])
    counters = [
        [
            sum(item == i for line in earlier for _, i in arrivals(line)),
            *(
                sum(
                    e[0] == item and e[1] == behavior
                    for line in earlier
                    for e in raw_events(line)
                )
                for behavior in (9, 10)
            ),
            sum(
                category_of[i] == category_of[item]
                for line in earlier
                for _, i in arrivals(line)
            ),
        ]
        for item in candidates
    ]
    done = {(e[0], e[1]) for e in rest}
    gone_to = {e[0] for e in rest}
    totals = np.sum([v["counts"] for v in visits], axis=0)
    return {
        "click_item_id": [v["item"] for v in visits],
        "click_category_id": [v["category"] for v in visits],
        "click_event_time": [v["time"] for v in visits],
        "click_dwell_seconds": [v["dwell"] for v in visits],
        "click_action_counts": [v["counts"] for v in visits],
        "click_action_ids": [[v["entry"]] for v in visits],
        "cart_item_id": [e[0] for e in carts],
        "cart_event_time": [e[3] - now for e in carts],
        "order_item_id": [e[0] for e in orders],
        "order_event_time": [e[3] - now for e in orders],
        "item_dense": counters,
        "session_dense": [
            now,
            len(visits),
            len({v["item"] for v in visits}),
            *totals,
        ],
        "labels": [
            [item in gone_to, (item, 9) in done, (item, 10) in done]
            for item in candidates
        ],
    }
