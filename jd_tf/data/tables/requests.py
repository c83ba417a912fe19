"""Impressions become requests, and outcomes are credited to them."""

import dataclasses
from typing import Any

import ibis
import numpy as np

from jd_tf.data.log_report import SPLITS, LogReport
from jd_tf.data.tables.as_of import first_rows, join_left, sums_before
from jd_tf.data.tables.config import TablesConfig, milliseconds
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.data.tables.times import moment
from jd_tf.schema import DataError

_MINUTE = 60_000
_HASHES = 16**4


@dataclasses.dataclass(frozen=True)
class RequestTables:
    """Requests and what they show.

    Attributes:
        requests: `request`, `user`, `time`, `split` and the context.
        candidates: `request`, `user`, `item`, `time` of the request, `shown`,
            features, and of each objective `label_`, `weight_` and, null
            without an outcome, `known_`, the time of it.
    """

    requests: ibis.Table
    candidates: ibis.Table


def group_impressions(config: TablesConfig, shown: ibis.Table) -> ibis.Table:
    """Gives impressions without a request id one, which names its start."""
    options = config.requests
    gap = milliseconds(options.gap, "requests.gap")
    # A total order, for which all engines number alike.
    page = ["scenario"] if config.has_scenario else []
    order = list(dict.fromkeys(["time", *page, "item", *shown.columns]))
    by_user = ibis.window(group_by="user", order_by=order)
    pause = shown.time - shown.time.lag().over(by_user)
    starts = (pause > gap).fill_null(True)
    if config.has_scenario:
        before = shown.scenario.lag().over(by_user)
        starts = starts | (shown.scenario != before).fill_null(True)
    marked = shown.mutate(starts=starts.cast("int64"))
    so_far = ibis.cumulative_window(group_by="user", order_by=order)
    grouped = marked.mutate(
        number=marked.starts.sum().over(so_far).cast("int32")
    )
    within = ibis.window(group_by=["user", "number"], order_by=order)
    place = ibis.row_number().over(within)
    parted = grouped.mutate(
        part=(place // options.max_candidates).cast("int64")
    )
    whole = ibis.window(group_by=["user", "number", "part"])
    named = parted.mutate(start=parted.time.min().over(whole))
    request = ibis.literal(":").join(
        [
            named[name].cast("string")
            for name in ("user", "start", "number", "part")
        ]
    )
    return named.mutate(request=request).drop(
        "starts", "number", "part", "start"
    )


def build_requests(
    engine: Engine,
    config: TablesConfig,
    shown: ibis.Table,
    events: ibis.Table,
    report: LogReport,
) -> RequestTables:
    """Returns requests and candidates, each kept.

    Args:
        engine: evaluates.
        config: the declaration.
        shown: impressions with `request`.
        events: of all types.
        report: counts what is left out.
    """
    context = [*config.table_ids("impressions")]
    context += ["scenario"] if config.has_scenario else []
    by_request = shown.group_by("request").agg(
        user=shown.user.min(),
        other=shown.user.max(),
        time=shown.time.min(),
        **{name: shown[name].min() for name in context},
    )
    by_request = engine.kept("all-requests", by_request)
    _check_users(engine, by_request, report)
    by_request = by_request.filter(by_request.user == by_request.other)
    split, ends = _split(engine, config, by_request, events)
    requests = by_request.mutate(split=split, end=ends).drop("other")
    numbers = [*config.table_numbers("impressions")]
    labels = [c for c in shown.columns if c.startswith("label_")]
    known = [c for c in shown.columns if c.startswith("known_")]
    position = ["position"] if "position" in shown.columns else []
    by_item = shown.group_by(["request", "item"]).agg(
        shown=shown.time.min(),
        rows=shown.count(),
        **{name: shown[name].min() for name in (*position, *numbers, *known)},
        **{name: shown[name].max() for name in labels},
    )
    values = ["user", "time", "split", "end", *context]
    candidates = join_left(by_item, requests, ["request"], values)
    candidates = candidates.filter(candidates.user.notnull())
    candidates = _limit(engine, config, candidates, report)
    candidates = _credit(config, candidates, events)
    candidates = engine.kept("candidates", _label(config, candidates))
    return RequestTables(requests.drop("end"), candidates)


def _check_users(
    engine: Engine, requests: ibis.Table, report: LogReport
) -> None:
    wrong = requests.filter(requests.user != requests.other)
    (found,) = engine.rows(
        wrong.agg(rows=wrong.count(), request=wrong.request.min())
    )
    if found["rows"]:
        report.tolerate(
            f"table `impressions`: {found['rows']} request ids have several "
            f"users, such as {found['request']!r}",
            found["rows"],
        )


def _limit(
    engine: Engine, config: TablesConfig, shown: ibis.Table, report: LogReport
) -> ibis.Table:
    """Leaves out what was shown twice, or beyond the most of a request."""
    order = ["position"] if "position" in shown.columns else []
    placed = first_rows(shown, ["request"], [*order, "shown", "item"])
    placed = engine.kept("placed", placed)
    most = config.requests.max_candidates
    over = (placed.version > most).cast("int64").sum()
    (found,) = engine.rows(
        placed.agg(over=over, rows=placed.count(), all_rows=placed.rows.sum())
    )
    counts = report.counts
    counts["candidates"] = int(found["rows"] - (found["over"] or 0))
    if found["over"]:
        counts["left out: beyond max_candidates"] = int(found["over"])
    if found["all_rows"] > found["rows"]:
        twice = int(found["all_rows"] - found["rows"])
        counts["left out: item shown twice in a request"] = twice
    return placed.filter(placed.version <= most).drop("version", "rows")


def _credit(
    config: TablesConfig, candidates: ibis.Table, events: ibis.Table
) -> ibis.Table:
    """Adds `known_` of objectives made of events: when they happened."""
    wanted = {n: o for n, o in config.objectives.items() if o.events}
    if not wanted:
        return candidates
    keys = ["user", "item"]
    shown = first_rows(candidates, keys, ["shown", "request"])
    types = sorted({one for o in wanted.values() for one in o.events})
    done = events.filter(events.type.isin(types))
    numbers = sorted({o.amount for o in wanted.values() if o.amount})
    # An unknown dwell is -1, and adds nothing.
    sums = {f"sum_{n}": ibis.greatest(done[n], 0.0).sum() for n in numbers}
    done = done.mutate(at=done.time + 1)
    kinds = [*keys, "type", "at"]
    chosen = done.select(kinds).distinct()
    done = done.group_by(kinds).agg(**sums) if sums else chosen
    facts = shown.select(
        *keys, at=shown.shown, version=ibis.literal(1, "int64")
    )
    latest = sums_before(facts, done, keys, ["version"])
    latest = latest.mutate(happened=latest["at"] - 1)
    rows = shown.select(*keys, "request", "shown", version=shown.version)
    credited = join_left(
        latest.mutate(version=latest.version.cast("int64")),
        rows,
        [*keys, "version"],
        ["request", "shown"],
    )
    delay = credited.happened - credited.shown
    outcomes = {}
    for name, objective in wanted.items():
        within = milliseconds(objective.within, f"objectives.{name}.within")
        counts = credited.type.isin(objective.events) & (delay <= within)
        time = counts.ifelse(credited.happened, None)
        outcomes[f"known_{name}"] = time.min()
        if objective.amount:
            number = credited[f"sum_{objective.amount}"]
            outcomes[f"amount_{name}"] = counts.ifelse(number, 0.0).sum()
    found = credited.filter(credited.request.notnull())
    found = found.group_by(["request", "item"]).agg(**outcomes)
    return join_left(candidates, found, ["request", "item"], list(outcomes))


def _label(config: TablesConfig, candidates: ibis.Table) -> ibis.Table:
    """Adds labels and weights; what was not known at a cut has no weight.

    What cannot happen without another outcome implies it.
    """
    labels: dict[str, Any] = {}
    known: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for name, objective in config.objectives.items():
        if objective.events:
            within = milliseconds(objective.within, f"objectives.{name}.within")
            known[name] = candidates[f"known_{name}"]
            labels[name] = known[name].notnull()
            if objective.amount:
                labels[name] = candidates[f"amount_{name}"].fill_null(0.0)
            weights[name] = candidates.shown + within <= candidates.end
            continue
        given = candidates[f"label_{name}"]
        labels[name] = (given == 1).fill_null(False)
        if objective.amount:
            labels[name] = given.fill_null(0.0)
        weights[name] = given.notnull()
        time = candidates.shown
        if objective.label_time:
            time = candidates[f"known_{name}"].fill_null(time)
        happened = labels[name] > 0 if objective.amount else labels[name]
        known[name] = happened.ifelse(time, None)
    for name, objective in reversed(config.objectives.items()):
        given = objective.given
        if given in labels:
            happened = labels[name] > 0 if objective.amount else labels[name]
            labels[given] = labels[given] | happened
            known[given] = known[given].fill_null(known[name])
    for name, objective in config.objectives.items():
        space = objective.sample_space
        given = objective.given
        if objective.amount and given in labels:
            # Nothing is paid without an order.
            none = weights[given] & ~labels[given]
            weights[name] = weights[name] | none
        if space in labels:
            weights[name] = weights[name] & labels[space]
    dtypes = {
        name: "float64" if one.amount else "int8"
        for name, one in config.objectives.items()
    }
    return candidates.mutate(
        **{f"label_{n}": one.cast(dtypes[n]) for n, one in labels.items()},
        **{f"weight_{name}": one.cast("int8") for name, one in weights.items()},
        **{f"known_{name}": one for name, one in known.items()},
    )


def hash_of(ids: Any, place: int) -> Any:
    """Returns a whole number below 65536, the same of every engine."""
    text = ids.cast("string").hexdigest("md5")
    total: Any = 0
    for digit in range(place, place + 4):
        code = text.substr(digit, 1).ascii_str().cast("int64")
        value = code - 48 - (code > 57).cast("int64") * 39
        total = total * 16 + value
    return total


def _split(
    engine: Engine,
    config: TablesConfig,
    requests: ibis.Table,
    events: ibis.Table,
) -> tuple[Any, Any]:
    """Returns the split of a request, and the time its log ends."""
    times = ibis.union(requests.select("time"), events.select("time"))
    (latest,) = engine.rows(times.agg(time=times.time.max()))
    last, split = int(latest["time"]), config.split
    shares = (split.validation_share, split.test_share)
    if min(shares) <= 0 or sum(shares) >= 1:
        raise DataError(
            "`split`: `validation_share` and `test_share` must be above 0 and "
            f"their sum below 1. Got: {shares[0]} and {shares[1]}."
        )
    if split.by == "user":
        number = hash_of(requests.user, 0)
        validation = int(_HASHES * (1 - sum(shares)))
        test = int(_HASHES * (1 - split.test_share))
        return _cases(number, validation, test, SPLITS), ibis.literal(last)
    if split.validation_from or split.test_from:
        validation, test = (
            moment(getattr(split, name), config.zone, f"split.{name}")
            for name in ("validation_from", "test_from")
        )
    else:
        validation, test = _cuts(engine, requests, shares)
    ends = _cases(
        requests.time, validation, test, (validation - 1, test - 1, last)
    )
    return _cases(requests.time, validation, test, SPLITS), ends


def _cases(value: Any, first: int, second: int, results: tuple) -> Any:
    return ibis.cases(
        (value < first, results[0]),
        (value < second, results[1]),
        else_=results[2],
    )


def _cuts(
    engine: Engine, requests: ibis.Table, shares: tuple[float, float]
) -> tuple[int, int]:
    """Returns whole minutes before which the shares of requests lie."""
    minutes = requests.select(minute=requests.time // _MINUTE)
    rows = engine.rows(minutes.group_by("minute").agg(rows=minutes.count()))
    counts = sorted((int(row["minute"]), row["rows"]) for row in rows)
    before = np.cumsum([0, *(count for _, count in counts)])
    ordered = [*(minute for minute, _ in counts), counts[-1][0] + 1]
    wanted = np.array([1 - sum(shares), 1 - shares[1]]) * before[-1]
    places = np.searchsorted(before, wanted)
    validation, test = (int(ordered[place]) * _MINUTE for place in places)
    return validation, test
