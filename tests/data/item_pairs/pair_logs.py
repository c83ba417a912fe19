"""Small logs whose pairs are easy to count one by one."""

import numpy as np

from jd_tf.data import write_dataset
from jd_tf.schema import Behavior, IdColumn, Objective, Schema

SCHEMA = Schema(
    name="pairs",
    item_columns=(
        IdColumn("item_id", num_buckets=100),
        IdColumn("brand", dtype="string", num_buckets=50),
    ),
    # No history is cut off: a clockless log's longest is the last.
    behaviors=(Behavior("click", 60), Behavior("cart", 60)),
    objectives=(Objective("click"), Objective("cart", given="click")),
    max_candidates=6,
)


def random_log(
    num_users, requests_each, num_items, seed=1, clock=True, **options
):
    """Requests of users who click at random, in no order of time.

    What a user clicks among the candidates is in his later histories, beside
    clicks outside them; without a clock every request is at time 0.
    """
    generator = np.random.default_rng(seed)
    requests = []
    for user in range(num_users):
        times = np.sort(generator.choice(900, requests_each, replace=False))
        times = 10 * times + 1000
        histories = {"click": [], "cart": []}
        for number, time in enumerate(times.tolist()):
            if generator.random() < options.get("outside", 0.5):
                item = int(generator.integers(1, num_items + 1))
                histories["click"].append((time - 1, item))
            items = generator.choice(num_items, 6, replace=False) + 1
            clicked = generator.random(6) < options.get("rate", 0.4)
            carted = clicked & (generator.random(6) < 0.5)
            request = {
                "request_id": f"{user}:{number}",
                "user_id": f"u{user}",
                "request_time": time if clock else 0,
                "item_id": items,
                "brand": [brand_of(item) for item in items],
                "labels": np.stack([clicked, carted], axis=1).astype(float),
                "label_weights": np.ones((6, 2)),
            }
            for behavior in SCHEMA.behaviors:
                events = histories[behavior.name][::-1][: behavior.max_length]
                ids = [item for _, item in events]
                request[f"{behavior.name}_item_id"] = ids
                request[f"{behavior.name}_brand"] = [brand_of(i) for i in ids]
                request[f"{behavior.name}_event_time"] = [
                    then if clock else then - time for then, _ in events
                ]
            requests.append(request)
            for name, done in (("click", clicked), ("cart", carted)):
                histories[name] += [(time, int(item)) for item in items[done]]
    return [requests[i] for i in generator.permutation(len(requests))]


def brand_of(item):
    """One of seven."""
    return f"brand {item % 7}"


def write_log(folder, splits):
    """Writes a data folder."""
    write_dataset(folder, SCHEMA, splits)
    return folder


def counted_pairs(requests, kind, column, window, parts):
    """(part, event, target) -> count, by dicts and loops.

    `parts` tells the part of a request.
    """
    behavior, objective = kind.split(":")
    number = SCHEMA.objective_names.index(objective)
    nearest = {}

    def add(request, event, target, distance):
        if event != target:
            pair = (request["user_id"], event, target)
            seen = (parts(request), distance)
            nearest[pair] = min(nearest.get(pair, seen), seen)

    last = {}
    for request in requests:
        history = list(request[f"{behavior}_{column}"])
        for target, label in zip(
            request[column], request["labels"], strict=True
        ):
            for distance, event in enumerate(history[:window], 1):
                if label[number]:
                    add(request, event, target, distance)
        key = (request["user_id"], parts(request))
        length = sum(
            len(request[f"{b.name}_item_id"]) for b in SCHEMA.behaviors
        )
        rank = (request["request_time"], length)
        if key not in last or rank > last[key][0]:
            last[key] = (rank, request)
    if behavior == objective:
        before = {}
        for (user, _), (_, request) in sorted(
            last.items(), key=lambda kept: kept[1][0]
        ):
            history = list(request[f"{behavior}_{column}"])
            times = request[f"{behavior}_event_time"]
            for place, target in enumerate(history):
                if times[place] <= before.get(user, -np.inf):
                    break
                for distance in range(1, window + 1):
                    if place + distance < len(history):
                        event = history[place + distance]
                        add(request, event, target, distance)
            before[user] = request["request_time"]
    counts = {}
    for (_, event, target), (part, distance) in nearest.items():
        key = (part, event, target)
        counts[key] = counts.get(key, 0) + 1 / distance
    return counts


def damped(counts, backwards, target_damping):
    """(event, target) -> weight, not scaled."""
    both = dict(counts)
    for (event, target), count in counts.items():
        key = (target, event)
        both[key] = both.get(key, 0) + backwards * count
    of_event, of_target = {}, {}
    for (event, target), count in both.items():
        of_event[event] = of_event.get(event, 0) + count
        of_target[target] = of_target.get(target, 0) + count
    return {
        (event, target): count
        / of_event[event] ** 0.5
        / of_target[target] ** target_damping
        for (event, target), count in both.items()
    }
