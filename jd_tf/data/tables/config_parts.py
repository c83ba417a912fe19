"""The parts of a declaration of tables: plain values, checked as a whole."""

import dataclasses

from jd_tf.schema import IMPRESSION

WHOLE = "all"  # A window without a beginning


@dataclasses.dataclass(frozen=True)
class KeyConfig:
    """The ids of users or of items, in all tables.

    Attributes:
        dtype: "int64" or "string"; by default as in Parquet, string in CSV.
        offset: added to whole numbers, for ids that start at 0.
    """

    dtype: str = ""
    offset: int = 0


@dataclasses.dataclass(frozen=True)
class IdConfig:
    """A column of ids.

    Attributes:
        column: its name in the table.
        dtype: see `KeyConfig`.
        offset: see there.
        separator: between the values of a text; the column has several values.
        max_values: of these that are kept, in the order of the table.
        pooling: of several values: "mean" or "sum".
        text: words, hashed one by one.
        num_buckets: rows of its table; by default as many as the data ask for.
    """

    column: str
    dtype: str = ""
    offset: int = 0
    separator: str = ""
    max_values: int = 1
    pooling: str = "mean"
    text: bool = False
    num_buckets: int = 0


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """A table and the meaning of its columns.

    Attributes:
        path: file or glob of Parquet (`.parquet`) or CSV files (all others,
            `.gz` too), or a DuckDB file; from the folder of the YAML file, or
            `--input`.
        table: name of a table of that DuckDB file or of Spark's catalogue.
        of: items or users: further attributes of them, in a table of its own.
        encoding: of CSV files: utf-8, gb18030, ...
        separator: of CSV files.
        names: of the columns of CSV files without a first line of names.
        columns: key (`user`, `item`, `time`, ...) -> column.
        ids: name -> ids: attributes of items or users, the context of
            impressions, action slots of events.
        numbers: name -> column: features of items, users or impressions,
            action counters of events.
        types: of events: type -> column; a row is one event of each type
            whose column is not 0, or, after `not `, is 0.
        unit: of times that are numbers: s, ms or us; found by their range.
    """

    path: str = ""
    table: str = ""
    of: str = ""
    encoding: str = "utf-8"
    separator: str = ","
    names: tuple[str, ...] = ()
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    ids: dict[str, IdConfig] = dataclasses.field(default_factory=dict)
    numbers: dict[str, str] = dataclasses.field(default_factory=dict)
    types: dict[str, str] = dataclasses.field(default_factory=dict)
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class BehaviorConfig:
    """A history.

    Attributes:
        events: types of its events; by default its own name.
        max_length: events kept, newest first.
        window: how old events may be, such as 30d.
        dwell: whether events carry how long they lasted.
        action_counters: `numbers` of the events that it carries.
        action_slots: `ids` of the events that it carries.
    """

    events: tuple[str, ...] = ()
    max_length: int = 50
    window: str = WHOLE
    dwell: bool = False
    action_counters: tuple[str, ...] = ()
    action_slots: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RequestsConfig:
    """Impressions of one request.

    Attributes:
        gap: without request ids: the pause that ends a request.
        max_candidates: of a request at most; the rest is another request,
            or, with request ids, left out.
    """

    gap: str = "5m"
    max_candidates: int = 100


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """Requests of a log without impressions.

    Attributes:
        positives: types of events that open a request; its item is shown.
        num_negatives: items drawn beside it, all known before.
        popular_share: probability that a negative is drawn by its events so
            far; all known items are equally likely otherwise.
        new_items_only: whether items the user knows open none, nor are drawn.
        seed: of what is drawn.
    """

    positives: tuple[str, ...]
    num_negatives: int = 19
    popular_share: float = 0.5
    new_items_only: bool = True
    seed: int = 1


@dataclasses.dataclass(frozen=True)
class StatisticConfig:
    """Counts and rates of a key as of the request.

    Attributes:
        key: an id column, or several: `item_id`, `user_id`, `scenario`, ids
            of items, users and impressions.
        parent: the key whose rate few impressions are drawn to; by default
            all impressions.
        windows: how far back is counted: 1d, 7d, all ...
        values: some of impressions, positives and rate.
        delay: how late these counters are; by default `statistics_delay`.
            Those of a session, such as 30m of `user_id`, are often streamed.
    """

    key: tuple[str, ...]
    parent: tuple[str, ...] = ()
    windows: tuple[str, ...] = ("1d", "7d", "30d", WHOLE)
    values: tuple[str, ...] = ("impressions", "rate")
    delay: str = ""

    @property
    def name(self) -> str:
        """The beginning of the names of its features."""
        return "_x_".join(name.removesuffix("_id") for name in self.key)


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """Training, validation and test.

    Attributes:
        by: "time" or "user".
        validation_share: share of the requests, or of the users.
        test_share: likewise.
        validation_from: in place of shares the ISO date or time it begins.
        test_from: likewise.
    """

    by: str = "time"
    validation_share: float = 0.1
    test_share: float = 0.2
    validation_from: str = ""
    test_from: str = ""


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """An outcome of an impression, or an amount.

    Attributes:
        label: column of the impressions, positive where it happened; where
            it has no value, the impression is not in the sample space.
        label_time: column of when it happened, by default when it was shown.
        events: in place of `label`: types of events of its user and item,
            which are credited to the latest impression before them.
        amount: in place of `label`, of an amount: column of the impressions,
            a number >= 0; without a value, it counts as 0 where what it is
            `given` did not happen, and not at all elsewhere. With `events`
            one of their `numbers`, or `dwell`, to be summed.
        within: how long after the impression they count.
        value: business value of one, or of one unit of an amount.
        given: an earlier outcome, which it implies; see
            `jd_tf.schema.Objective`.
        sample_space: see there.
    """

    label: str = ""
    label_time: str = ""
    events: tuple[str, ...] = ()
    amount: str = ""
    within: str = "1d"
    value: float = 1.0
    given: str = ""
    sample_space: str = IMPRESSION
