"""Candidates of a log without impressions: items known before, drawn."""

from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from jd_tf.data.log_report import LogReport
from jd_tf.data.tables.as_of import first_rows, join_left
from jd_tf.data.tables.config_parts import SamplingConfig
from jd_tf.data.tables.engines.engine import Engine
from jd_tf.schema import DataError

# Draws a negative, as some are drawn twice or known to the user.
_SPARE = 2


def sample_impressions(
    engine: Engine,
    config: SamplingConfig,
    events: ibis.Table,
    report: LogReport,
) -> ibis.Table:
    """Returns impressions that never were: `request`, `user`, `item`, `time`.

    Every event of the types `positives` is a request, unless its item was new
    to the log. Draws depend on the request and the seed alone.
    """
    by_pair = events.group_by(["user", "item"]).agg(met=events.time.min())
    by_pair = engine.kept("pairs", by_pair)
    by_item = by_pair.group_by("item").agg(first=by_pair.met.min())
    by_item = engine.kept("first-seen", by_item)
    opening = events.filter(events.type.isin(config.positives))
    opening = opening.select("user", "item", "time").distinct()
    opening = join_left(opening, by_item, ["item"], ["first"])
    opening = join_left(opening, by_pair, ["user", "item"], ["met"])
    opening = opening.filter(opening.first < opening.time)
    if config.new_items_only:
        opening = opening.filter(opening.met == opening.time)
    request = ibis.literal(":").join(
        [opening[name].cast("string") for name in ("user", "time", "item")]
    )
    opening = opening.select("user", "item", "time", request=request)
    path = engine.keep("openings", opening)
    arrivals = engine.keep("arrivals", events.select("item", "time"))
    drawn = engine.stage / "drawn.parquet"
    if not drawn.exists():
        aside = drawn.with_name(".drawn.parquet")
        _draw(config, engine.stage / "first-seen", arrivals, path, aside)
        aside.rename(drawn)
    negatives = engine.read([str(drawn)])
    if config.new_items_only:
        negatives = join_left(negatives, by_pair, ["user", "item"], ["met"])
        unknown = negatives.met.isnull() | (negatives.met >= negatives.time)
        negatives = negatives.filter(unknown).drop("met")
    negatives = first_rows(negatives, ["request"], ["draw"])
    negatives = negatives.filter(negatives.version <= config.num_negatives)
    names = ["request", "user", "item", "time"]
    opened = engine.read([str(path)])
    shown = ibis.union(opened.select(names), negatives.select(names))
    report.notes.append(
        f"No impressions: {config.num_negatives} negatives a request are drawn "
        "among the items known before it, so rates are not those of a page."
    )
    return engine.kept("sampled", shown)


def _draw(
    config: SamplingConfig,
    first: Path,
    arrivals: Path,
    openings: Path,
    path: Path,
) -> None:
    """Writes draws of all requests, batch by batch."""
    known = (
        pyarrow.dataset.dataset(first)
        .to_table()
        .sort_by([("first", "ascending"), ("item", "ascending")])
    )
    since = known["first"].to_numpy()
    items = known["item"].combine_chunks()
    seen = pyarrow.dataset.dataset(arrivals).to_table()
    codes = pa.compute.index_in(seen["item"], items).to_numpy()
    times = seen["time"].to_numpy()
    order = np.lexsort((codes, times))
    codes, times = codes[order], times[order]
    num_draws = _SPARE * config.num_negatives + 8
    writer = None
    for batch in pyarrow.dataset.dataset(openings).to_batches(
        batch_size=65_536
    ):
        if not len(batch):
            continue
        now = batch["time"].to_numpy()
        names = batch["request"].to_pandas().to_numpy(object)
        seeds = pd.util.hash_array(names, categorize=False)
        # Where, and whether among items or among events so far.
        draws = [
            _uniform(seeds, config.seed, 2 * np.arange(num_draws) + part)
            for part in (0, 1)
        ]
        uniform = draws[0] * np.searchsorted(since, now)[:, None]
        popular = draws[0] * np.searchsorted(times, now)[:, None]
        drawn = np.where(
            draws[1] < config.popular_share,
            codes[popular.astype(np.int64)],
            uniform.astype(np.int64),
        )
        positive = pa.compute.index_in(batch["item"], items).to_numpy()
        rows, places = np.nonzero(_first_times(drawn, positive))
        table = pa.table(
            {
                "request": batch["request"].take(pa.array(rows)),
                "user": batch["user"].take(pa.array(rows)),
                "time": now[rows],
                "draw": places,
                "item": items.take(pa.array(drawn[rows, places])),
            }
        )
        if writer is None:
            writer = pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is None:
        raise DataError(
            "`sampling.positives`: no event of the types "
            f"{', '.join(config.positives)} on an item known before. Name "
            "types that are in the events."
        )
    writer.close()


def _uniform(seeds: np.ndarray, seed: int, places: np.ndarray) -> np.ndarray:
    """Returns numbers in [0, 1) of each seed and place (splitmix64)."""
    with np.errstate(over="ignore"):
        step = np.uint64(0x9E3779B97F4A7C15)
        mixed = seeds[:, None] + step * (places + 1000 * seed + 1).astype("u8")
        for shift, factor in (
            (30, 0xBF58476D1CE4E5B9),
            (27, 0x94D049BB133111EB),
        ):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) * 2.0**-53


def _first_times(drawn: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Returns where a row holds an item for the first time, no positive."""
    order = np.argsort(drawn, axis=1, kind="stable")
    ordered = np.take_along_axis(drawn, order, axis=1)
    again = np.zeros(drawn.shape, bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    repeated = np.empty_like(again)
    np.put_along_axis(repeated, order, again, axis=1)
    return ~repeated & (drawn != positive[:, None])
