"""The one description of columns.

Parsing, model inputs, serving signatures and client checks are all derived
from a `Schema`; nothing else in the package writes a column's name, dtype or
shape down a second time.

Axis letters: B requests, N candidates, L history events, T objectives,
A action slots, C action counters, F dense features, M values of an id column.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jd_tf.columns import (
    HISTORY_ROLES,
    IMPRESSION,
    OUTCOME,
    REQUEST_ROLES,
    SERVING_ROLES,
    TRAINING_ROLES,
    UNKNOWN_DWELL,
    Behavior,
    BiasColumn,
    Column,
    DataError,
    IdColumn,
    Objective,
    Role,
    ScenarioValues,
    SchemaError,
    check_objectives,
    difference_of,
)

__all__ = [
    "HISTORY_ROLES",
    "IMPRESSION",
    "REQUEST_ROLES",
    "SERVING_ROLES",
    "TRAINING_ROLES",
    "UNKNOWN_DWELL",
    "Behavior",
    "BiasColumn",
    "Column",
    "DataError",
    "IdColumn",
    "Objective",
    "Role",
    "ScenarioValues",
    "Schema",
    "SchemaError",
]


@dataclasses.dataclass(frozen=True)
class Schema:
    """Every column of a request, from log to served ranking.

    Attributes:
        name: of the data set.
        item_columns: ids an item has, in history and as candidate; the first
            is `item_id`.
        behaviors: the histories.
        item_dense: names of the F features in `item_dense`.
        context_columns: ids of user and context, one a request.
        session_dense: names of the F features in `session_dense`.
        linear_dense: names of those in either that are logarithms, rates or
            the like already; all others are read as sign(x) log(1 + |x|).
        bias_columns: known in training only.
        objectives: T of them; their order is the last axis of `labels`.
        max_candidates: N at most.
        reward: whether impressions carry their share of the session's value.
        oracle: whether impressions carry simulated true probabilities.
        scenario_column: the context column that names the page (feed, cart,
            ...) a request is for, "" for none. Metrics are told apart by it.
        scenario_values: of scenarios whose outcomes are worth something else.
        oracle_names: hidden facts of a request, whole numbers, that a
            simulator knows: columns `oracle_<name>`, dropped unless asked for.
    """

    name: str
    item_columns: tuple[IdColumn, ...]
    behaviors: tuple[Behavior, ...]
    objectives: tuple[Objective, ...]
    max_candidates: int
    item_dense: tuple[str, ...] = ()
    context_columns: tuple[IdColumn, ...] = ()
    session_dense: tuple[str, ...] = ()
    bias_columns: tuple[BiasColumn, ...] = ()
    reward: bool = False
    oracle: bool = False
    scenario_column: str = ""
    scenario_values: tuple[ScenarioValues, ...] = ()
    oracle_names: tuple[str, ...] = ()
    linear_dense: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if isinstance(getattr(self, field.name), list):
                as_tuple = tuple(getattr(self, field.name))
                object.__setattr__(self, field.name, as_tuple)
        if not self.item_columns or self.item_columns[0].name != "item_id":
            raise SchemaError(
                "the first of `item_columns` must be `item_id`. Got: "
                f"{[c.name for c in self.item_columns]}."
            )
        texts = [c.name for c in self.context_columns if c.text]
        if self.item_columns[0].text or texts:
            raise SchemaError(
                "only item columns after `item_id` can be texts. Got: "
                f"{texts or ['item_id']}."
            )
        several = [c.name for c in self.context_columns if c.multi_valued]
        if self.item_columns[0].multi_valued or several:
            raise SchemaError(
                "only item columns after `item_id` can have `max_values` above "
                f"1. Got: {several or ['item_id']}."
            )
        if not self.behaviors or not self.objectives:
            raise SchemaError("a schema needs behaviours and objectives.")
        if self.max_candidates < 1:
            raise SchemaError(
                f"`max_candidates` must be at least 1. "
                f"Got: {self.max_candidates}."
            )
        for name in self.linear_dense:
            if name not in (*self.item_dense, *self.session_dense):
                raise SchemaError(
                    "`linear_dense` must name features of `item_dense` or "
                    f"`session_dense`. Got: {name!r}."
                )
        for behavior in self.behaviors:
            mine = behavior.item_dense
            if mine != tuple(n for n in self.item_dense if n in mine):
                raise SchemaError(
                    f"behaviour `{behavior.name}`: `item_dense` must name some "
                    f"of {self.item_dense}, in that order. Got: {mine}."
                )
        check_objectives(self.objectives)
        self._check_scenarios()
        names = [column.name for column in self.columns()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SchemaError(f"named twice: {', '.join(twice)}.")

    def _check_scenarios(self) -> None:
        named = self.scenario_column
        columns = {c.name: c for c in self.context_columns}
        if named and named not in columns:
            raise SchemaError(
                "`scenario_column` must be one of the context columns "
                f"{list(columns)}. Got: {named!r}."
            )
        if self.scenario_values and not named:
            raise SchemaError("`scenario_values` needs a `scenario_column`.")
        met = []
        for entry in self.scenario_values:
            known = columns[named].vocabulary
            if (known and entry.scenario not in known) or entry.scenario in met:
                raise SchemaError(
                    "`scenario_values`: each is of another scenario of "
                    f"`{named}`{f' {list(known)}' if known else ''}. Got: "
                    f"{entry.scenario!r}."
                )
            met.append(entry.scenario)
            if not entry.fits(self.objective_values):
                raise SchemaError(
                    f"`scenario_values` of {entry.scenario!r} must be "
                    f"{len(self.objectives)} finite numbers, below 0 for bad "
                    f"outcomes alone. Got: {entry.values}."
                )

    # Columns ---------------------------------------------------------------

    def columns(self, *roles: Role) -> tuple[Column, ...]:
        """Columns of the given roles (all without arguments), in order."""
        wanted = roles or tuple(Role)
        return tuple(c for c in self._all_columns() if c.role in wanted)

    def column(self, name: str) -> Column:
        """The column of that name."""
        for column in self._all_columns():
            if column.name == name:
                return column
        raise SchemaError(f"schema `{self.name}` has no column `{name}`.")

    @property
    def item_id_columns(self) -> tuple[IdColumn, ...]:
        """The item columns whose values can be equal: all but texts."""
        return tuple(c for c in self.item_columns if not c.text)

    @property
    def single_id_columns(self) -> tuple[IdColumn, ...]:
        """Those of them of which an item has one value."""
        return tuple(c for c in self.item_id_columns if not c.multi_valued)

    @property
    def values_per_id(self) -> tuple[int, ...]:
        """Values M that an item has at most of each of `item_id_columns`."""
        return tuple(c.max_values for c in self.item_id_columns)

    def linear_indices(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Indices of the features among `names` that are in `linear_dense`."""
        linear = self.linear_dense
        return tuple(i for i, name in enumerate(names) if name in linear)

    def dense_indices(self, behavior: Behavior) -> tuple[int, ...]:
        """Indices in `item_dense` of the features that its events have."""
        return tuple(map(self.item_dense.index, behavior.item_dense))

    def _all_columns(self) -> Iterator[Column]:
        yield Column("request_id", Role.KEY, "string", "B")
        yield Column("user_id", Role.KEY, "string", "B")
        for behavior in self.behaviors:
            yield from self._history_columns(behavior)
        yield Column("request_time", Role.CONTEXT, "int64", "B")
        for context in self.context_columns:
            yield Column(context.name, Role.CONTEXT, context.dtype, "B")
        if self.session_dense:
            inner = len(self.session_dense)
            yield Column("session_dense", Role.CONTEXT, "float32", "BF", inner)
        yield Column("num_candidates", Role.CANDIDATE, "int32", "B")
        for item in self.item_columns:
            column = self._candidate(item.name, Role.CANDIDATE, item.dtype)
            yield column.of_values(item)
        if self.item_dense:
            inner = len(self.item_dense)
            yield self._candidate("item_dense", Role.CANDIDATE, inner=inner)
        for bias in self.bias_columns:
            yield self._candidate(bias.name, Role.BIAS, "int32")
        inner = len(self.objectives)
        yield self._candidate("labels", Role.LABEL, inner=inner)
        yield self._candidate("label_weights", Role.LABEL, inner=inner)
        if self.reward:
            yield self._candidate("reward", Role.REWARD)
        if self.oracle:
            for name in ("oracle_probabilities", "oracle_relevance"):
                yield self._candidate(name, Role.ORACLE, inner=inner)
        for name in self.oracle_names:
            yield Column(f"oracle_{name}", Role.ORACLE, "int64", "B")

    def _candidate(
        self, name: str, role: Role, dtype: str = "float32", inner: int = 0
    ) -> Column:
        axes = "BNF" if inner else "BN"
        limit = self.max_candidates
        return Column(name, role, dtype, axes, inner, "num_candidates", limit)

    def _history_columns(self, behavior: Behavior) -> Iterator[Column]:
        def history(name: str, dtype: str, inner: int = 0) -> Column:
            return Column(
                name=f"{behavior.name}_{name}",
                role=Role.HISTORY,
                dtype=dtype,
                axes="BLF" if inner else "BL",
                inner=inner,
                length=behavior.length,
                max_length=behavior.max_length,
            )

        yield Column(behavior.length, Role.HISTORY, "int32", "B")
        for item in self.item_columns:
            yield history(item.name, item.dtype).of_values(item)
        yield history("event_time", "int64")
        if behavior.dwell:
            yield history("dwell_seconds", "float32")
        if behavior.action_counters:
            counters = len(behavior.action_counters)
            yield history("action_counts", "float32", counters)
        if behavior.action_slots:
            yield history("action_ids", "int64", len(behavior.action_slots))
        if behavior.item_dense:
            yield history("item_dense", "float32", len(behavior.item_dense))

    # Objectives ------------------------------------------------------------

    @property
    def objective_names(self) -> tuple[str, ...]:
        """Names of the objectives, in the order of the last label axis."""
        return tuple(objective.name for objective in self.objectives)

    @property
    def amount_names(self) -> tuple[str, ...]:
        """Names of the A amounts among them, which come last."""
        return tuple(o.name for o in self.objectives if o.is_amount)

    @property
    def outcome_names(self) -> tuple[str, ...]:
        """Names of the T - A outcomes, of labels 0 and 1."""
        return tuple(o.name for o in self.objectives if not o.is_amount)

    @property
    def given_indices(self) -> tuple[int, ...]:
        """Per objective the index it is conditioned on, -1 for none."""
        names = self.objective_names
        return tuple(
            names.index(o.given) if o.given else -1 for o in self.objectives
        )

    @property
    def objective_values(self) -> tuple[float, ...]:
        """Business values of the objectives."""
        return tuple(objective.value for objective in self.objectives)

    @property
    def bad_indices(self) -> tuple[int, ...]:
        """Indices of the objectives whose value is below 0: bad outcomes."""
        return tuple(i for i, o in enumerate(self.objectives) if o.value < 0)

    def values_in(self, scenario: int | str | bytes) -> tuple[float, ...]:
        """Business values of the objectives in one scenario."""
        if isinstance(scenario, bytes):
            scenario = scenario.decode("utf-8")
        for entry in self.scenario_values:
            if entry.scenario == scenario:
                return entry.values
        return self.objective_values

    @property
    def scenarios(self) -> tuple[int | str, ...]:
        """The scenarios known beforehand: the vocabulary of their column."""
        for column in self.context_columns:
            if column.name == self.scenario_column:
                return column.vocabulary
        return ()

    # JSON ------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `from_json` turns back into this schema."""
        fields = json.loads(json.dumps(dataclasses.asdict(self)))
        for objective in fields["objectives"]:
            # As before there were kinds, for who reads schemas of that time.
            if objective["kind"] == OUTCOME:
                del objective["kind"]
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Schema":
        """The schema that `to_json` described."""
        parts = {
            "item_columns": IdColumn,
            "behaviors": Behavior,
            "objectives": Objective,
            "context_columns": IdColumn,
            "bias_columns": BiasColumn,
            "scenario_values": ScenarioValues,
        }
        try:
            built: dict[str, Any] = {
                name: tuple(parts[name](**part) for part in value)
                if name in parts
                else value
                for name, value in fields.items()
            }
            return cls(**built)
        except TypeError as error:
            raise SchemaError(f"not a schema: {error}.") from error

    def save(self, path: str | Path) -> None:
        """Writes it as JSON."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Reads what `save` wrote."""
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise SchemaError(f"{path}: no such schema file.") from error
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise SchemaError(f"{path}: not JSON: {error}.") from error
        if not isinstance(fields, dict):
            raise SchemaError(f"{path}: not a schema: {type(fields).__name__}.")
        return cls.from_json(fields)

    def check_same(self, other: "Schema", where: str) -> None:
        """Raises a SchemaError naming the first column that differs.

        Args:
            other: the schema of the data, checkpoint or SavedModel.
            where: what `other` belongs to, for the message.
        """
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs and field.name not in _OF_NO_TENSOR:
                raise SchemaError(
                    f"{where}: its schema differs in `{field.name}`: "
                    f"{difference_of(mine, theirs)}. Use data and model of one "
                    "schema, or train anew."
                )


# Fields in which data may differ from what a model was made for.
_OF_NO_TENSOR = ("name", "oracle", "oracle_names", "scenario_column")
