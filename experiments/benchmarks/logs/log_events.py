"""Visits, carts and orders of public logs and of the simulated shop."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jd_tf.data.files import read_json
from jd_tf.data.log_report import LogReport
from jd_tf.data.simulator import Simulator, SimulatorConfig
from jd_tf.data.sources.jd_micro import parse_session
from jd_tf.data.sources.text_files import read_lines
from jd_tf.data.sources.timelines import read_timelines
from jd_tf.schema import DataError

VISIT, CART, ORDER = range(3)
COLUMNS = ("user", "session", "time", "item", "category", "brand", "kind")
UNKNOWN = -1
_SESSION_GAP = 1800
# Type of `JData_Action_*` -> kind; removals from the cart and follows are none.
_JDATA_KINDS = {1: VISIT, 6: VISIT, 2: CART, 4: ORDER}
_RETAILROCKET_KINDS = {"view": VISIT, "cart": CART, "buy": ORDER}
_MICRO_KINDS = {"cart": CART, "order": ORDER}
# The category of an Amazon item is its rarest attribute that so many share.
_CATEGORY_SHARE = 0.002


def event_table(**columns: np.ndarray | Sequence[int]) -> pd.DataFrame:
    """Returns events by user and time; what is not given is unknown.

    Without `session` one ends where a user pauses for half an hour. Without
    `time` the order given is kept, and `time` is nan.

    Example:
        >>> table = event_table(user=[1, 1], item=[3, 3], time=[9_000, 0])
        >>> table["session"].tolist(), table["kind"].tolist()
        ([0, 1], [0, 0])
    """
    table = pd.DataFrame(columns)
    defaults = {"time": np.nan, "category": UNKNOWN, "brand": UNKNOWN}
    for name, value in {**defaults, "kind": VISIT}.items():
        if name not in table:
            table[name] = value
    order = ["user", "time"]
    if "session" in table:
        order.insert(1, "session")
    table = table.sort_values(order, kind="stable").reset_index(drop=True)
    if "session" not in table:
        begins = table["user"] != table["user"].shift()
        begins |= table["time"].diff() > _SESSION_GAP
        table["session"] = begins.cumsum() - 1
    return table[list(COLUMNS)]


def jd_micro_events(path: Path) -> pd.DataFrame:
    """Reads sessions, each a user of its own, with the clock of the session."""
    rows = []
    for line, _, text in read_lines(path, LogReport()):
        events, categories = parse_session(text)
        for event in events:
            kind = _MICRO_KINDS.get(event.action.behavior, VISIT)
            where = (line, line, event.time, event.item)
            rows.append((*where, categories[event.item], UNKNOWN, kind))
    return event_table(**_columns(rows))


def jdata2016_events(folder: Path) -> pd.DataFrame:
    """Reads `JData_Action_*.csv`; rows that are there twice count once."""
    paths = sorted(folder.glob("JData_Action_*.csv"))
    read = pd.concat([pd.read_csv(path) for path in paths]).drop_duplicates()
    read = read[read["type"].isin(_JDATA_KINDS)]
    return event_table(
        user=read["user_id"].astype(np.int64),
        time=pd.to_datetime(read["time"]).astype("datetime64[s]").astype(int),
        item=read["sku_id"],
        category=read["cate"],
        brand=read["brand"],
        kind=read["type"].map(_JDATA_KINDS),
    )


def retailrocket_events(folder: Path) -> pd.DataFrame:
    """Reads `events.csv.gz`; categories are not known."""
    read = pd.read_csv(folder / "events.csv.gz")
    kind = read["behavior"].map(_RETAILROCKET_KINDS)
    return event_table(
        user=read["user_id"], item=read["item_id"], time=read["ts"], kind=kind
    )


def kuairand_events(folder: Path) -> pd.DataFrame:
    """Reads clicked impressions; tags are categories, authors are brands."""
    videos = pd.read_csv(folder / "video_features.csv", index_col="video_id")
    tags = videos["tag"].fillna("").astype(str).str.split(",").str[0]
    groups = {
        "category": pd.Series(pd.factorize(tags)[0], videos.index),
        "brand": videos["author_id"],
    }
    log = pd.read_csv(folder / "feedback.tsv.gz", sep="\t")
    log = log[log["is_click"] == 1].sort_values("time_ms", kind="stable")
    user, item = log["user_id"].to_numpy(), log["video_id"].to_numpy()
    time = log["time_ms"].to_numpy() / 1000
    found = {
        name: group[~group.index.duplicated()]
        .reindex(item, fill_value=UNKNOWN)
        .to_numpy()
        for name, group in groups.items()
    }
    return event_table(user=user, time=time, item=item, **found)


def timeline_events(path: Path) -> pd.DataFrame:
    """Reads timelines without a clock; a timeline is a session."""
    absent = path.with_name("none.npz")
    lines = list(read_timelines(path, absent, LogReport()))
    sizes = [len(line.items) for line in lines]
    user = np.repeat(np.arange(len(lines)), sizes)
    item = np.concatenate([line.items for line in lines])
    stored = read_json(path.with_name(f"{path.stem}_item2attributes.json"))
    pairs = pd.DataFrame(
        [(int(i), one) for i, group in stored.items() for one in set(group)],
        columns=["item", "attribute"],
    )
    pairs["count"] = pairs.groupby("attribute")["item"].transform("size")
    pairs = pairs[pairs["count"] >= _CATEGORY_SHARE * len(stored)]
    rarest = pairs.sort_values("count", kind="stable").drop_duplicates("item")
    category = rarest.set_index("item")["attribute"]
    category = category.reindex(item, fill_value=UNKNOWN).to_numpy()
    return event_table(user=user, session=user, item=item, category=category)


def simulated_events(config: SimulatorConfig) -> pd.DataFrame:
    """Simulates all blocks; clicks of searches and of the warm-up count."""
    shop, parts = Simulator(config), []
    for block in range(config.num_blocks):
        log = shop.simulate_block(block)
        for kind, events in enumerate((log.clicks, log.carts, log.orders)):
            place = np.arange(events.tables["time"].shape[1])
            row, column = np.nonzero(place < events.length[:, None])
            item = events.tables["item"][row, column]
            parts.append(
                {
                    "user": log.first_user + row,
                    "time": events.tables["time"][row, column],
                    "item": item,
                    "category": shop.catalogue.category[item],
                    "brand": shop.catalogue.brand[item],
                    "kind": np.full(len(row), kind),
                }
            )
    return event_table(
        **{name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    )


def readers(
    root: Path, config: SimulatorConfig
) -> dict[str, Callable[[], pd.DataFrame]]:
    """Returns the reader of each log.

    Args:
        root: folder with a folder of each public log.
        config: of the simulated shop.

    Raises:
        DataError: if the folder is missing.
    """
    if not root.is_dir():
        raise DataError(f"--input: no folder {root}. Name that of the logs.")
    micro, amazon = root / "jd_micro_behaviors", root / "amazon_sequences"
    return {
        "jd_appliances": lambda: jd_micro_events(
            micro / "JD_Appliances_sample.txt"
        ),
        "jd_computers": lambda: jd_micro_events(
            micro / "JD_Computers_sample.txt"
        ),
        "jdata2016": lambda: jdata2016_events(root / "jdata2016"),
        "retailrocket": lambda: retailrocket_events(root / "retailrocket"),
        "kuairand": lambda: kuairand_events(root / "kuairand_feedback"),
        "beauty": lambda: timeline_events(amazon / "Beauty.txt"),
        "toys": lambda: timeline_events(amazon / "Toys_and_Games.txt"),
        "simulator": lambda: simulated_events(config),
    }


def read_log(
    known: Mapping[str, Callable[[], pd.DataFrame]], name: str
) -> pd.DataFrame:
    """Reads one of `readers`.

    Raises:
        DataError: for an unknown name, and files that are missing or bad.
    """
    if name not in known:
        raise DataError(f"--logs: no log `{name}`, only {', '.join(known)}.")
    try:
        return known[name]()
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"--input: {name}: {error!r}. Copy its files again, or leave it "
            "out with --logs."
        ) from error


def _columns(rows: Sequence[Sequence[float]]) -> dict[str, np.ndarray]:
    return dict(zip(COLUMNS, np.array(rows).T, strict=True))
