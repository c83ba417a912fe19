"""Co-occurrence and Swing as expressions over tables: DuckDB or Spark.

The same tables as `co_occurrence_table` and `swing_table` make, for logs whose
pairs do not fit into one machine. Interactions are a table of `user`, `item`
and `time` (int64), `weight` (float64) and `drawn` (bool), each user and item
once; results have `event`, `target` and `weight`.
"""

from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import scipy.sparse

from jd_tf.data.tables.engines.engine import Engine
from jd_tf.pipeline.recall.interactions import Interactions

# As SciPy's path has it: what decayed to nothing has no neighbours.
_LEAST = float(np.finfo(np.float32).tiny)


def co_occurrence_pairs(
    interactions: ibis.Table,
    half_life: float,
    user_damping: float,
    target_damping: float,
) -> ibis.Table:
    """Returns the weights of pairs of items that users have in common.

    Arguments are those of `co_occurrence_table`.
    """
    interactions = _with_sizes(interactions)
    value = interactions.weight * _damped(interactions.size, user_damping)
    if half_life:
        # Ages in whole seconds: a float of a clock has lost some.
        age = (interactions.newest - interactions.time).cast("float64")
        value *= ibis.literal(0.5) ** (age / half_life)
    events = interactions.select("user", "item", value=value)
    square = events.group_by("item").agg(
        square=ibis.greatest((events.value * events.value).sum(), _LEAST)
    )
    brought = events.select("user", target="item", brought="value")
    pairs = events.join(brought, "user").filter(ibis._.item != ibis._.target)
    sums = pairs.group_by(event="item", target="target").agg(
        sum=(pairs.value * pairs.brought).sum()
    )
    return _weighed(sums, square, "square", 0.5, target_damping)


def swing_pairs(
    interactions: ibis.Table,
    alpha: float,
    user_damping: float,
    event_damping: float,
    target_damping: float,
) -> ibis.Table:
    """Returns the weights of pairs of items that pairs of users share.

    Arguments are those of `swing_table`. Users of an item that are not `drawn`
    do not count for the row of that item.
    """
    interactions = _with_sizes(interactions)
    drawn = interactions.filter(interactions.drawn)
    one, two = (
        drawn.select("item", **{n: "user"}) for n in ("first", "second")
    )
    leading = one.join(two, "item").filter(ibis._.first < ibis._.second)
    leading = leading.select("first", "second", event="item")
    # All that they share, drawn or not: of all users a pair would be too many.
    value = _damped(interactions.size, user_damping)
    events = interactions.select("user", "item", value=value)
    shared = leading.select("first", "second").distinct()
    shared = shared.join(
        events.select(first="user", target="item", value="value"), "first"
    ).join(
        events.select(second="user", target="item", value_of_second="value"),
        ["second", "target"],
    )
    overlap = shared.group_by("first", "second").agg(shared=shared.count())
    overlap = overlap.filter(overlap.shared > 1)
    pairs = leading.join(shared, ["first", "second"])
    pairs = pairs.filter(pairs.event != pairs.target)
    pairs = pairs.join(overlap, ["first", "second"])
    swing = pairs.value * pairs.value_of_second
    swing /= pairs.shared.cast("float64") + alpha
    sums = pairs.group_by("event", "target").agg(sum=swing.sum())
    users = interactions.group_by("item").agg(users=interactions.count())
    return _weighed(sums, users, "users", event_damping, target_damping)


def neighbors_of_engine(
    engine: Engine,
    interactions: Interactions,
    pairs: Any,
    num_neighbors: int,
    drawn: np.ndarray | None = None,
) -> Any:
    """Returns the strongest neighbours, (I, I) float32 CSR.

    Args:
        engine: works them out; what is kept lies in its folder.
        interactions: of the training split.
        pairs: makes pairs of a table of interactions.
        num_neighbors: strongest that are kept of an item.
        drawn: (M,) bool, interactions that Swing looks at; None: all.
    """
    drawn = np.ones(len(interactions), bool) if drawn is None else drawn
    table = pa.table(
        {
            "user": interactions.user,
            "item": interactions.item,
            "time": interactions.time,
            "weight": interactions.weight.astype(np.float64),
            "drawn": drawn,
        }
    )
    path = engine.stage / "interactions.parquet"
    pa.parquet.write_table(table, path)
    found = pairs(engine.read([str(path)]))
    rank = ibis.row_number().over(
        group_by="event", order_by=[ibis.desc("weight"), "target"]
    )
    found = found.filter(found.weight > 0).mutate(rank=rank)
    found = found.filter(found.rank < num_neighbors)
    kept = engine.keep("neighbors", found.select("event", "target", "weight"))
    columns = pa.parquet.read_table(kept)
    event, target, weight = (
        columns[name].to_numpy() for name in columns.column_names
    )
    size = len(interactions.item_id)
    matrix = scipy.sparse.csr_matrix(
        (weight.astype(np.float32), (event, target)), (size, size)
    )
    matrix.sort_indices()
    return matrix


def _with_sizes(interactions: ibis.Table) -> ibis.Table:
    """Returns the table with each user's items and the newest time of all."""
    sizes = interactions.group_by("user").agg(size=interactions.count())
    newest = interactions.agg(newest=interactions.time.max())
    return interactions.join(sizes, "user").cross_join(newest)


def _damped(number: Any, damping: float) -> Any:
    return number.cast("float64") ** -damping


def _weighed(
    sums: ibis.Table,
    items: ibis.Table,
    column: str,
    event_damping: float,
    target_damping: float,
) -> ibis.Table:
    """Returns sums over damped numbers of both items."""
    lead = items.select(event="item", of_event=column)
    brought = items.select(target="item", of_target=column)
    joined = sums.join(lead, "event").join(brought, "target")
    weight = joined.sum * _damped(joined.of_event, event_damping)
    weight *= _damped(joined.of_target, target_damping)
    return joined.select("event", "target", weight=weight)
