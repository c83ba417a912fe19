"""Statistics of a log: repeats, ties between items, rhythm, conversion."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.sparse

from experiments.benchmarks.logs.log_events import CART, ORDER, UNKNOWN
from jd_tf.metrics import Bootstrap, interval
from jd_tf.pipeline.recall.co_occurrence import co_occurrence_table
from jd_tf.pipeline.recall.interactions import Interactions

_TOP, _LAST = 20, 5
_MAX_USERS, _MAX_VISITS = 6_000, 500
_ROWS = 500
# Pairs of categories expected so often, if they were independent.
_LEAST_EXPECTED = 5.0
_NAN = float("nan")


def log_statistics(events: pd.DataFrame) -> dict[str, float]:
    """Returns the statistics of a log by name, nan where it cannot tell.

    Args:
        events: of `event_table`. Events of a user on the item of the event
            before are one visit.
    """
    events = events.copy()
    for name in ("category", "brand"):
        # What most events lack tells nothing of the log.
        if (events[name] == UNKNOWN).mean() > 0.5:
            events[name] = UNKNOWN
    visits = visits_of(events)
    found = {
        "users": visits["user"].nunique(),
        "items": visits["item"].nunique(),
        "visits_an_item": len(visits) / visits["item"].nunique(),
        "repeat_share": visits["repeat"][visits["place"] > 0].mean(),
    }
    found |= _shares_of_next(visits)
    found |= _rhythm(visits) | _spread(visits) | _conversion(events, visits)
    return {k: float(v) for k, v in (found | recalls(visits)).items()}


def visits_of(events: pd.DataFrame) -> pd.DataFrame:
    """Returns a row a visit, with `place` from 0 and `repeat` of each."""
    same = events["item"] == events["item"].shift()
    same &= events["user"] == events["user"].shift()
    visits = events[~same].reset_index(drop=True)
    visits["place"] = visits.groupby("user").cumcount()
    visits["repeat"] = visits.duplicated(["user", "item"])
    return visits


def recalls(visits: pd.DataFrame) -> dict[str, float]:
    """Returns Recall@20 of each user's last visit of an item new to him.

    Tables count what is before the target of each user. All scores read the
    last five visits, the newest with weight 1, the k-th newest with 1 / k, and
    leave out what the user had; ties go by popularity, then by chance.

        popular     c_j, the users of item j
        category    c_j times the weight of the visits in the category of j
        co_visits   weighted sum of the damped cosine of common users
        successors  the same of pairs in order, at most five visits apart, each
                    1 / distance, over the roots of both sums
        counts      category and co_visits, each over the largest of the user
    """
    novel = visits[(visits["place"] > 0) & ~visits["repeat"]]
    last = novel.groupby("user").tail(1)
    end = visits["user"].map(last.set_index("user")["place"])
    past = visits[visits["place"] < end.fillna(np.inf)]
    # As `Interactions` does: what a user costs grows with their square.
    past = past.groupby("user").tail(_MAX_VISITS)
    first = past.drop_duplicates("item").set_index("item")
    rng = np.random.default_rng(1)
    drawn = rng.permutation(len(last))[:_MAX_USERS]
    last = last.iloc[np.sort(drawn)]

    rows_of = pd.Series(np.arange(len(first)), first.index)
    past = past.assign(row=past["item"].map(rows_of))
    logs = Interactions.of_events(
        past["user"].to_numpy(),
        # Item 0 pads in `Interactions`.
        past["row"].to_numpy() + 1,
        past["place"].to_numpy(),
    )
    popular = logs.popularity().astype(np.float64)
    tie_break = 1e-9 * (popular + 0.1 * rng.random(len(popular)))
    category = first["category"].to_numpy()
    known = pd.factorize(np.where(category == UNKNOWN, None, category))[0]
    inside = np.flatnonzero(known >= 0)
    groups = scipy.sparse.csr_matrix(
        (np.ones(len(inside)), (inside, known[inside])),
        (len(known), max(known.max() + 1, 1)),
    )
    tables = {
        "co_visits": co_occurrence_table(logs).weights,
        "successors": _successors(past, len(popular)),
    }
    grouped = {
        user: part["row"].to_numpy() for user, part in past.groupby("user")
    }
    hits: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(last), _ROWS):
        part = last.iloc[start : start + _ROWS]
        histories = [grouped[user] for user in part["user"]]
        weight = _last_five(histories, len(popular))
        scores = {
            name: (weight @ table).toarray() for name, table in tables.items()
        }
        scores["category"] = (weight @ groups @ groups.T).toarray() * popular
        scores["popular"] = np.tile(popular, (len(part), 1))
        scores["counts"] = sum(
            scores[name] / np.maximum(scores[name].max(1, keepdims=True), 1e-9)
            for name in ("category", "co_visits")
        )
        target = rows_of.reindex(part["item"], fill_value=-1).to_numpy()
        for name, score in scores.items():
            score = score + tie_break
            for row, history in zip(score, histories, strict=True):
                row[history] = -np.inf
            mine = score[np.arange(len(part)), target][:, None]
            hit = (score > mine).sum(axis=1) < _TOP
            # Nobody had the item before: no table can bring it.
            hits.setdefault(name, []).append(hit & (target >= 0))
    found = {name: np.concatenate(part) for name, part in hits.items()}
    if len(inside) == 0:
        del found["category"]
    result = {f"recall_{name}": part.mean() for name, part in found.items()}
    resamples = Bootstrap(len(last))
    ones = np.ones(len(last))
    means = {
        n: resamples.means(p.astype(float), ones) for n, p in found.items()
    }
    for name, above, below in (
        ("co_visits_over_category", "co_visits", "category"),
        ("gain_of_counts", "counts", "popular"),
        ("gain_of_order", "successors", "co_visits"),
    ):
        if above in found and below in found:
            result[name] = found[above].mean() / max(found[below].mean(), 1e-9)
            ratio = means[above] / np.maximum(means[below], 1e-9)
            result[f"{name}_low"], result[f"{name}_high"] = interval(ratio)
        else:
            result[name] = _NAN
    return {"recall_users": len(last), **result}


def _last_five(
    histories: list[np.ndarray], num_items: int
) -> scipy.sparse.csr_matrix:
    """Returns (users, items), 1 / k for the k-th newest visit."""
    newest = [history[: -_LAST - 1 : -1] for history in histories]
    row = np.repeat(np.arange(len(newest)), [len(part) for part in newest])
    weight = np.concatenate([1.0 / (1 + np.arange(len(p))) for p in newest])
    shape = (len(newest), num_items)
    return scipy.sparse.csr_matrix(
        (weight, (row, np.concatenate(newest))), shape
    )


def _successors(past: pd.DataFrame, num_items: int) -> scipy.sparse.csr_matrix:
    """Returns (items, items), counts of what came within five visits."""
    user, row = past["user"].to_numpy(), past["row"].to_numpy()
    counts = scipy.sparse.csr_matrix((num_items, num_items))
    for distance in range(1, _LAST + 1):
        both = user[distance:] == user[:-distance]
        before, after = row[:-distance][both], row[distance:][both]
        weight = np.full(len(before), 1.0 / distance)
        counts += scipy.sparse.csr_matrix(
            (weight, (before, after)), counts.shape
        )
    outgoing = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1e-9)
    incoming = np.maximum(np.asarray(counts.sum(axis=0)).ravel(), 1e-9)
    left = scipy.sparse.diags(outgoing**-0.5)
    # As in `co_occurrence_table`.
    return (left @ counts @ scipy.sparse.diags(incoming**-0.25)).tocsr()


def _shares_of_next(visits: pd.DataFrame) -> dict[str, float]:
    """Returns how often the next new item shares a group with those before."""
    found = {}
    novel = ((visits["place"] > 0) & ~visits["repeat"]).to_numpy()
    user = visits["user"].to_numpy()
    for name in ("category", "brand"):
        group = visits[name].to_numpy()
        counted = novel & (group != UNKNOWN)
        among = np.zeros(len(visits), bool)
        for distance in range(1, _LAST + 1):
            same = group[distance:] == group[:-distance]
            same &= user[distance:] == user[:-distance]
            among[distance:] |= same
            if distance == 1:
                found[f"{name}_share"] = _mean(among[counted])
        found[f"{name}_share_of_last_five"] = _mean(among[counted])
    category = visits["category"].to_numpy()
    both = (user[1:] == user[:-1]) & (category[1:] != UNKNOWN)
    both &= category[:-1] != UNKNOWN
    return found | {"lift_90": _lift(category[:-1][both], category[1:][both])}


def _mean(values: np.ndarray) -> float:
    return values.mean() if len(values) else _NAN


def _lift(before: np.ndarray, after: np.ndarray) -> float:
    """Returns the lift that a tenth of the moves to other categories exceed.

    Moves within a category are left out; what is expected of the rest is the
    product of its margins, corrected for the missing diagonal by iteration.
    """
    moved = before != after
    table = pd.crosstab(before[moved], after[moved])
    names = table.index.union(table.columns)
    counts = table.reindex(names, columns=names, fill_value=0).to_numpy(float)
    if counts.sum() < 100 or len(names) < 4:
        return _NAN
    expected = np.ones_like(counts) - np.eye(len(names))
    for _ in range(50):
        for axis in (0, 1):
            ratio = counts.sum(axis) / np.maximum(expected.sum(axis), 1e-12)
            expected *= np.expand_dims(ratio, axis)
    often = expected >= _LEAST_EXPECTED
    if not often.any():
        return _NAN
    lift, weight = counts[often] / expected[often], counts[often]
    order = np.argsort(lift)
    below = np.cumsum(weight[order]) / weight.sum()
    return lift[order][np.searchsorted(below, 0.9)]


def _rhythm(visits: pd.DataFrame) -> dict[str, float]:
    """Returns gaps between visits and sessions, and sizes of sessions."""
    user, session = visits["user"], visits["session"]
    size = visits.groupby(["user", "session"]).size()
    gap = visits["time"].diff()
    again = user == user.shift()
    within = again & (session == session.shift())
    between = gap[again & ~within] / 86_400
    clock = visits["time"].notna().any()
    return {
        "gap_seconds_median": gap[within].median() if clock else _NAN,
        "gap_days_median": between.median() if len(between) else _NAN,
        "session_visits_mean": size.mean() if clock else _NAN,
        "session_visits_90": size.quantile(0.9) if clock else _NAN,
    }


def _spread(visits: pd.DataFrame) -> dict[str, float]:
    """Returns how uneven items are and how many are new."""
    counts = np.sort(visits["item"].value_counts().to_numpy())[::-1]
    top = counts[: max(len(counts) // 5, 10)]
    rank = np.log(1 + np.arange(len(top)))
    slope = np.polyfit(rank, np.log(top), 1)[0]
    order = visits.sort_values("time", kind="stable")
    # Sessions without a common clock come in the order of their lines.
    if visits["session"].eq(visits["user"]).all():
        order = visits
    seen_before = order["item"].duplicated().to_numpy()
    newest = ~seen_before[-len(order) // 5 :]
    known = visits["time"].notna().any()
    return {
        "zipf_exponent": -slope,
        "new_item_share": newest.mean() if known else _NAN,
    }


def _conversion(events: pd.DataFrame, visits: pd.DataFrame) -> dict[str, float]:
    """Returns shares of users' items that are carted and ordered."""
    pairs = events.groupby(["user", "item"])["kind"].agg(["min", "max", set])
    carted = pairs["set"].map(lambda kinds: CART in kinds)
    ordered = pairs["max"] == ORDER
    orders = events[events["kind"] == ORDER]
    known = carted.any() or ordered.any()
    same = orders.duplicated(["user", "category"])
    categories = (events["category"] != UNKNOWN).any() and len(orders)
    return {
        "carted_share": carted.mean() if known else _NAN,
        "ordered_share": ordered.mean() if known else _NAN,
        "ordered_of_carted": ordered[carted].mean() if carted.any() else _NAN,
        "reorder_share": orders.duplicated(["user", "item"]).mean()
        if len(orders)
        else _NAN,
        "reorder_category_share": same.mean() if categories else _NAN,
        "compared_before_order": _compared(orders, visits)
        if categories
        else _NAN,
    }


def _compared(orders: pd.DataFrame, visits: pd.DataFrame) -> float:
    """Returns items of the category visited in the session until an order."""
    keys = ["user", "session", "category"]
    both = orders.merge(visits, on=keys, suffixes=("", "_visit"))
    both = both[both["time_visit"] <= both["time"]]
    return both.groupby([*keys, "item"])["item_visit"].nunique().mean()


def markdown(found: Mapping[str, Mapping[str, float]]) -> str:
    """Returns a table with a row a statistic and a column a log."""
    names = list(dict.fromkeys(name for log in found.values() for name in log))
    table = pd.DataFrame(found).reindex(names)
    lines = ["| statistic | " + " | ".join(found) + " |"]
    lines.append("| --- |" + " --- |" * len(found))
    for name, row in table.iterrows():
        cells = [
            "-" if np.isnan(v) else f"{v:.3g}" if abs(v) < 1e3 else f"{v:,.0f}"
            for v in row
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
