"""Users who page and click: how often the client finds their state."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.benchmarks.serving_ways import random_batch
from jd_tf.schema import DataError, Role, Schema
from jd_tf.serving.client import ClientOptions, RankingClient
from jd_tf.serving.client.transport import Transport

# A user sees 1 to this many pages.
MOST_PAGES = 5
# Share of pages after which the user has clicked before asking for more.
CLICK_RATE = 0.3
# Seconds in which users arrive, and from page to page on average.
_WINDOW, _GAP = 600, 30.0
_SEED = 31
_TOLERANCE = 1e-4
# Without the cache a page is one call: encoding apart would cost another.
_OPTIONS = {
    "cache": ClientOptions(timeout=120.0),
    "no_cache": ClientOptions(timeout=120.0, one_call=True, max_users=0),
}
Request = dict[str, Any]


def paging_requests(
    schema: Schema, num_users: int, num_candidates: int
) -> list[Request]:
    """Draws the pages of users who come and go, in the order of time.

    Each page is later than the one before, with another session and other
    candidates; after `CLICK_RATE` of them one candidate joins the history of
    the first behavior.

    Args:
        schema: of a served model.
        num_users: who arrive within ten minutes.
        num_candidates: of every page.
    """
    generator = np.random.default_rng(_SEED)
    batch = random_batch(schema, num_users, num_candidates)
    candidates = [c.name for c in schema.columns(Role.CANDIDATE)]
    pages = []
    for user in range(num_users):
        page = {name: column[user] for name, column in batch.items()}
        page["user_id"] = f"user {user}"
        page["request_time"] += generator.integers(_WINDOW)
        for number in range(generator.integers(MOST_PAGES) + 1):
            if number:
                gap = 2 + int(generator.exponential(_GAP))
                if generator.random() < CLICK_RATE:
                    page = _clicked(page, schema, generator)
                page = {**page, "request_time": page["request_time"] + gap}
            other = (user + number) % num_users
            page |= {name: batch[name][other] for name in candidates}
            if "session_dense" in page:
                shape = page["session_dense"].shape
                page["session_dense"] = generator.gamma(1.0, 5.0, shape)
            pages.append(dict(page))
    return sorted(pages, key=lambda page: int(page["request_time"]))


def measure_paging(
    open_transport: Callable[[], Transport],
    schema: Schema,
    num_users: int,
    num_candidates: int,
) -> dict[str, Any]:
    """Ranks every page with the cache of user states and without, in turns.

    Args:
        open_transport: of the same model each time.
        schema: of the model.
        num_users: see `paging_requests`.
        num_candidates: of every page.

    Returns:
        `users`, `pages`, `encodings`, `hit_rate`, and `p50_ms`, `mean_ms` ->
        `cache`, `no_cache`.

    Raises:
        DataError: if the two disagree about a score.
    """
    requests = paging_requests(schema, num_users, num_candidates)
    clients = {
        name: RankingClient(open_transport(), schema, options)
        for name, options in _OPTIONS.items()
    }
    times: dict[str, list[float]] = {name: [] for name in clients}
    try:
        for request in requests:
            scores = {}
            for name, client in clients.items():
                start = time.perf_counter()
                ranking = client.rank(request)
                times[name].append((time.perf_counter() - start) * 1e3)
                scores[name] = ranking.scores[np.argsort(ranking.order)]
            _check(scores)
        stats = clients["cache"].stats()
        encoding = ("encode_user", "encode_and_rank")
        encodings = sum(stats["calls"].get(name, 0) for name in encoding)
    finally:
        for client in clients.values():
            client.close()
    return {
        "users": num_users,
        "pages": len(requests),
        "encodings": encodings,
        "hit_rate": stats["cache"]["hit_rate"],
        "p50_ms": {name: float(np.median(t)) for name, t in times.items()},
        "mean_ms": {name: float(np.mean(t)) for name, t in times.items()},
    }


def _clicked(
    page: Request, schema: Schema, generator: np.random.Generator
) -> Request:
    """Adds a candidate to the history; the oldest event leaves it."""
    prefix = f"{schema.behaviors[0].name}_"
    chosen = generator.integers(len(page["item_id"]))
    after = dict(page)
    for column in schema.columns(Role.HISTORY):
        if column.ragged and column.name.startswith(prefix):
            name, old = column.name.removeprefix(prefix), page[column.name]
            newest = old[0]
            if name in page:
                newest = page[name][chosen]
            elif name == "event_time":
                newest = page["request_time"] + 1
            after[column.name] = np.stack([newest, *old[:-1]])
    return after


def _check(scores: Mapping[str, np.ndarray]) -> None:
    expected = scores["no_cache"]
    difference = np.abs(scores["cache"] - expected).max()
    if not difference <= _TOLERANCE * np.abs(expected).max():
        raise DataError(
            f"scores with a cached user state differ by {difference:.2g} from "
            "those of one call."
        )
