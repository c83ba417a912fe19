"""Columns, behaviours and objectives: the parts of a schema."""

import dataclasses
import enum
import re
from collections.abc import Sequence
from typing import Any

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_ID_DTYPES = ("int64", "string")
_POOLINGS = ("mean", "sum")
IMPRESSION = "impression"
OUTCOME, AMOUNT = OBJECTIVE_KINDS = ("binary", "amount")
UNKNOWN_DWELL = -1.0  # not measured, which is not zero seconds


class DataError(ValueError):
    """Data that cannot be used; says file, record, column, value, remedy."""


class SchemaError(DataError):
    """A schema that is malformed or disagrees with data or a checkpoint."""


class Role(str, enum.Enum):
    """The purpose of a column; decides who gets to see it."""

    KEY = "key"  # identifies request and user; never a model input
    HISTORY = "history"
    CONTEXT = "context"
    CANDIDATE = "candidate"
    BIAS = "bias"  # known in training only: position, page
    LABEL = "label"
    REWARD = "reward"
    ORACLE = "oracle"  # simulated truth; dropped unless asked for


# What a user state is made of, what enters with a request, and all of it.
HISTORY_ROLES = (Role.HISTORY,)
REQUEST_ROLES = (Role.CONTEXT,)
SERVING_ROLES = (*HISTORY_ROLES, *REQUEST_ROLES, Role.CANDIDATE)
TRAINING_ROLES = (*SERVING_ROLES, Role.BIAS, Role.LABEL)


@dataclasses.dataclass(frozen=True)
class Column:
    """One tensor of a request batch.

    Attributes:
        name: its key in the batch.
        role: what it is for.
        dtype: "int64", "int32", "float32" or "string".
        axes: "B", "BL" or "BN", then "F" where a fixed inner axis follows, or
            "M" where it holds several values of an id column.
        inner: size of that inner axis, 0 where there is none.
        length: the column that holds how many entries of L or N are real.
        max_length: entries of L or N beyond it are refused; 0 without L, N.
    """

    name: str
    role: Role
    dtype: str
    axes: str
    inner: int = 0
    length: str = ""
    max_length: int = 0

    @property
    def ragged(self) -> bool:
        """Returns whether its second axis differs between requests."""
        return self.axes[1:2] in ("L", "N")

    @property
    def multi_valued(self) -> bool:
        """Returns whether an item has up to `inner` values, distinct ids."""
        return self.axes.endswith("M")

    @property
    def counts(self) -> str:
        """Name, in records alone, of the number of values of each item."""
        return f"{self.name}/counts"

    def of_values(self, item: "IdColumn") -> "Column":
        """Returns it with the axis of several values that `item` may have."""
        if not item.multi_valued:
            return self
        axes, inner = f"{self.axes}M", item.max_values
        return dataclasses.replace(self, axes=axes, inner=inner)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Batch shape with None for B, L and N."""
        ragged = (None,) if self.ragged else ()
        inner = (self.inner,) if self.inner else ()
        return (None, *ragged, *inner)


@dataclasses.dataclass(frozen=True)
class IdColumn:
    """A categorical column of raw ids, hashed or looked up in the graph.

    Attributes:
        name: column name, e.g. "category_id".
        dtype: "int64" or "string". 0 or the empty string pads.
        num_buckets: rows of the table when ids are hashed, padding included.
        vocabulary: known ids when they are looked up instead.
        text: a text such as a title, whose words are hashed one by one; the
            empty text is allowed. Texts are read, never compared.
        max_values: distinct ids M that an item has at most (its tags, its
            categories). More than 1 only in item columns after `item_id`.
        pooling: how their vectors become one: "mean" or "sum".
    """

    name: str
    dtype: str = "int64"
    num_buckets: int = 0
    vocabulary: tuple[int | str, ...] = ()
    text: bool = False
    max_values: int = 1
    pooling: str = "mean"

    def __post_init__(self) -> None:
        _check_name("IdColumn", self.name)
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))
        if self.dtype not in _ID_DTYPES:
            raise SchemaError(
                f"column `{self.name}`: dtype must be one of {_ID_DTYPES}. "
                f"Got: {self.dtype!r}."
            )
        if bool(self.num_buckets) == bool(self.vocabulary):
            raise SchemaError(
                f"column `{self.name}` needs `num_buckets` or `vocabulary`, "
                f"not both. Got: num_buckets={self.num_buckets}, "
                f"{len(self.vocabulary)} known ids."
            )
        if self.text and (self.dtype != "string" or not self.num_buckets):
            raise SchemaError(
                f"column `{self.name}`: a text has dtype string and "
                f"`num_buckets`. Got: {self.dtype}, {self.num_buckets}."
            )
        if self.max_values < 1 or (self.text and self.max_values > 1):
            raise SchemaError(
                f"column `{self.name}`: `max_values` must be at least 1, and 1 "
                f"of a text. Got: {self.max_values}."
            )
        if self.pooling not in _POOLINGS:
            raise SchemaError(
                f"column `{self.name}`: `pooling` must be one of {_POOLINGS}. "
                f"Got: {self.pooling!r}."
            )
        padding = "" if self.dtype == "string" else 0
        if padding in self.vocabulary:
            raise SchemaError(
                f"column `{self.name}`: `vocabulary` holds {padding!r}, which "
                "pads; count ids from 1."
            )
        if self.num_buckets < 0 or self.num_buckets == 1:
            raise SchemaError(
                f"column `{self.name}`: `num_buckets` must be at least 2, as "
                f"row 0 is padding. Got: {self.num_buckets}."
            )

    @property
    def num_rows(self) -> int:
        """Rows of its embedding table: padding, (unknown,) ids."""
        return self.num_buckets or len(self.vocabulary) + 2

    @property
    def value_rows(self) -> int:
        """Table rows of a column of several values; 0 of one value."""
        return self.num_rows if self.multi_valued else 0

    @property
    def multi_valued(self) -> bool:
        """Returns whether an item may have several of its ids."""
        return self.max_values > 1


@dataclasses.dataclass(frozen=True)
class Behavior:
    """One kind of history: clicks, carts, orders.

    Attributes:
        name: prefix of its columns.
        max_length: events kept, newest first.
        dwell: whether there is `<name>_dwell_seconds`; -1 in it says that an
            event's dwell is unknown.
        action_counters: names of the C counters of `<name>_action_counts`.
        action_slots: names of the A slots of `<name>_action_ids`.
        num_action_ids: action ids run from 1 to this; 0 pads.
        item_dense: names of the F features of `<name>_item_dense`, the item's
            as of the event: some of the schema's `item_dense`, in its order.
    """

    name: str
    max_length: int
    dwell: bool = False
    action_counters: tuple[str, ...] = ()
    action_slots: tuple[str, ...] = ()
    num_action_ids: int = 0
    item_dense: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name("Behavior", self.name)
        for field in ("action_counters", "action_slots", "item_dense"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if self.max_length < 1:
            raise SchemaError(
                f"behaviour `{self.name}`: `max_length` must be at least 1. "
                f"Got: {self.max_length}."
            )
        if bool(self.action_slots) != bool(self.num_action_ids):
            raise SchemaError(
                f"behaviour `{self.name}`: `action_slots` and "
                "`num_action_ids` come together. Got: "
                f"{self.action_slots} and {self.num_action_ids}."
            )

    @property
    def length(self) -> str:
        """Name of the column of its lengths."""
        return f"{self.name}_length"


@dataclasses.dataclass(frozen=True)
class BiasColumn:
    """A column that explains a label but is unknown when serving.

    Attributes:
        name: column name, e.g. "position".
        num_values: values run from 0 to `num_values` - 1.
    """

    name: str
    num_values: int

    def __post_init__(self) -> None:
        _check_name("BiasColumn", self.name)
        if self.num_values < 1:
            raise SchemaError(
                f"bias column `{self.name}`: `num_values` must be at least 1. "
                f"Got: {self.num_values}."
            )


@dataclasses.dataclass(frozen=True)
class Objective:
    """Something a user may do with a shown item, or how much of it.

    Attributes:
        name: e.g. "click".
        value: business value of one, or of one unit of an amount; below 0
            where it is a bad outcome, such as a return or a dislike.
        given: an earlier outcome it cannot happen without. Its probability
            is then p(given) * p(this | given), learned on every impression
            (ESMM, Ma et al., SIGIR 2018); its amount p(given) * E[this |
            given].
        sample_space: "impression", or an earlier outcome: impressions
            without it carry a label weight of 0.
        kind: "binary", an outcome with labels 0 and 1, or "amount": seconds
            of dwell, a price paid, any number >= 0 in the log's own unit.
            Amounts stand after all outcomes.
    """

    name: str
    value: float = 1.0
    given: str = ""
    sample_space: str = IMPRESSION
    kind: str = OUTCOME

    def __post_init__(self) -> None:
        _check_name("Objective", self.name)
        if self.kind not in OBJECTIVE_KINDS:
            raise SchemaError(
                f"objective `{self.name}`: `kind` must be one of "
                f"{OBJECTIVE_KINDS}. Got: {self.kind!r}."
            )
        if not abs(self.value) < float("inf"):
            raise SchemaError(
                f"objective `{self.name}`: `value` must be finite. "
                f"Got: {self.value}."
            )

    @property
    def is_amount(self) -> bool:
        """Returns whether it is an amount, no outcome."""
        return self.kind == AMOUNT


def check_objectives(objectives: Sequence[Objective]) -> None:
    """Raises a SchemaError for a wrong order, or a name that is not known."""
    outcomes = [IMPRESSION]
    for objective in objectives:
        for name in ("given", "sample_space"):
            named = getattr(objective, name)
            if named and named not in outcomes:
                raise SchemaError(
                    f"objective `{objective.name}`: `{name}` must name "
                    f"an earlier outcome. Got: {named!r} after "
                    f"{outcomes[1:]}."
                )
        if not objective.is_amount:
            outcomes.append(objective.name)
    names = [IMPRESSION, *(objective.name for objective in objectives)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SchemaError(f"named twice: {', '.join(twice)}.")
    kinds = [objective.kind for objective in objectives]
    if kinds[0] == AMOUNT or kinds != sorted(kinds, key=OBJECTIVE_KINDS.index):
        named = ", ".join(f"`{o.name}` ({o.kind})" for o in objectives)
        raise SchemaError(
            "objectives must be an outcome at least, then the amounts. Got: "
            f"{named}."
        )


@dataclasses.dataclass(frozen=True)
class ScenarioValues:
    """Business values of outcomes in one scenario.

    Attributes:
        scenario: id in the schema's `scenario_column`.
        values: T business values of one, in place of the objectives', none
            of the other sign: what is bad is bad everywhere.
    """

    scenario: int | str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        values = tuple(float(value) for value in self.values)
        object.__setattr__(self, "values", values)

    def fits(self, values: tuple[float, ...]) -> bool:
        """Returns whether these are finite, and of the signs of `values`."""
        # Not by a product, which may be 0 or infinite.
        return len(self.values) == len(values) and all(
            abs(mine) < float("inf")
            and (mine >= 0 if value >= 0 else mine <= 0)
            for mine, value in zip(self.values, values, strict=True)
        )


def _check_name(what: str, name: str) -> None:
    if not _NAME.match(name):
        raise SchemaError(
            f"{what} names are lower-case words joined by `_`. Got: {name!r}."
        )


def difference_of(mine: Any, theirs: Any) -> str:
    """Names what differs between two schema fields."""
    if not (isinstance(mine, tuple) and isinstance(theirs, tuple)):
        return f"{mine!r} here, {theirs!r} there"
    by_name = [
        {getattr(part, "name", part): part for part in parts}
        for parts in (mine, theirs)
    ]
    for name in [*by_name[0], *by_name[1]]:
        here, there = (parts.get(name, "missing") for parts in by_name)
        if here != there:
            return f"`{name}`: {here} here, {there} there"
    return f"order {list(by_name[0])} here, {list(by_name[1])} there"
