"""Rows of an ablation: named changes to a ranker's config."""

import ast
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig
from jd_tf.schema import DataError

_AGAINST = re.compile(r"^(?P<name>.*?)\s*\(against\s+(?P<against>.+)\)$")
# Commas inside brackets belong to a value.
_COMMA = re.compile(r",(?![^(\[]*[)\]])")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: as shown.
        changes: field of `JDRankerConfig` -> value; the other fields are as
            in the base config.
        against: name of the row it is compared with; "" for the first row.
    """

    name: str
    changes: Mapping[str, Any]
    against: str = ""

    @property
    def folder(self) -> str:
        """The name as a folder's: letters, digits, `+`, `_` and `-`."""
        return re.sub(r"[^\w+-]+", "_", self.name.strip()).strip("_") or "_"


def parse_rows(text: str) -> tuple[Row, ...]:
    """Reads rows written as text.

    Args:
        text: rows separated by `;`, each
            `name: field=value,field=value`, with `(against other row)` after
            the name where it is not the first row that it is compared with.
            Values as in Python; a word that is none is text.

    Raises:
        DataError: naming the row or the field that is wrong.
    """
    rows = []
    for part in text.split(";"):
        if not part.strip():
            continue
        name, colon, changes = (word.strip() for word in part.partition(":"))
        if not colon or not name:
            raise DataError(
                "rows are written `name: field=value,field=value; ...`. "
                f"Got: {part.strip()!r}."
            )
        found = _AGAINST.match(name)
        name, against = found.group("name", "against") if found else (name, "")
        rows.append(Row(name, parse_changes(changes, name), against.strip()))
    return check_rows(rows)


def parse_changes(text: str, name: str) -> dict[str, Any]:
    """Reads `field=value,field=value`, checked against `JDRankerConfig`.

    Args:
        text: may be empty.
        name: of the row, for errors.
    """
    changes: dict[str, Any] = {}
    for part in _COMMA.split(text):
        if not part.strip():
            continue
        field, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise DataError(
                f"row `{name}`: changes are written field=value. "
                f"Got: {part.strip()!r}."
            )
        try:
            changes[field] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            changes[field] = value
    return check_changes(changes, name)


def load_rows(path: str | Path) -> tuple[Row, ...]:
    """Reads rows from a JSON file.

    Args:
        path: holds a list of objects with `name`, `changes` (an object) and
            perhaps `against`.

    Raises:
        DataError: naming the file and what is wrong in it.
    """
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file of rows.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not JSON: {error}.") from error
    if not isinstance(entries, list):
        raise DataError(f"{path}: must be a list of rows.")
    rows = []
    for number, entry in enumerate(entries):
        keys = {"name", "changes", "against"}
        if (
            not isinstance(entry, dict)
            or not set(entry) <= keys
            or not isinstance(entry.get("name"), str)
            or not isinstance(entry.get("changes", {}), dict)
            or not isinstance(entry.get("against", ""), str)
        ):
            raise DataError(
                f"{path}: row {number} must have `name`, `changes` and perhaps "
                f"`against`. Got: {entry!r}."
            )
        changes = check_changes(entry.get("changes", {}), entry["name"])
        rows.append(Row(entry["name"], changes, entry.get("against", "")))
    return check_rows(rows)


def check_rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Refuses no rows, names given twice, and comparisons with no row."""
    if not rows:
        raise DataError("an ablation needs at least one row.")
    names = [row.name for row in rows]
    for what, values in (
        ("name", names),
        ("folder name", [row.folder.lower() for row in rows]),
    ):
        for value in values:
            if values.count(value) > 1:
                raise DataError(f"two rows have the {what} `{value}`.")
    for row in rows:
        if row.against and row.against not in names:
            raise DataError(
                f"row `{row.name}` is compared with `{row.against}`, which is "
                f"no row; rows are: {', '.join(names)}."
            )
    return tuple(rows)


def check_changes(changes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Refuses fields that `JDRankerConfig` lacks and values of other kinds.

    Args:
        changes: field -> value.
        name: of the row, for errors.

    Returns:
        The changes, lists as tuples.
    """
    defaults = {f.name: f.default for f in dataclasses.fields(JDRankerConfig)}
    checked = {}
    for field, value in changes.items():
        if field not in defaults:
            raise DataError(
                f"row `{name}`: JDRankerConfig has no field `{field}`; it has: "
                f"{', '.join(defaults)}."
            )
        checked[field] = _as_kind(value, defaults[field], f"{name}`: `{field}")
    return checked


def resolve(row: Row, base: JDRankerConfig) -> JDRankerConfig:
    """The config of a row: the base with its changes.

    Raises:
        DataError: naming the row, and the field or value that is wrong.
    """
    changes = check_changes(row.changes, row.name)
    try:
        return dataclasses.replace(base, **changes)
    except (TypeError, ValueError) as error:
        raise DataError(f"row `{row.name}`: {error}") from error


def _as_kind(value: Any, default: Any, where: str) -> Any:
    """A value of the kind of the default; a tuple for a list."""
    if isinstance(default, bool):
        right, kind = isinstance(value, bool), "True or False"
    elif isinstance(default, int):
        right = isinstance(value, int) and not isinstance(value, bool)
        kind = "a whole number"
    elif isinstance(default, float):
        right = isinstance(value, (int, float)) and not isinstance(value, bool)
        kind = "a number"
    elif isinstance(default, tuple):
        value = tuple(value) if isinstance(value, list) else value
        right = isinstance(value, tuple) and all(
            isinstance(part, type(default[0]) if default else object)
            for part in value
        )
        kind = f"a tuple such as {default}"
    else:
        right, kind = isinstance(value, str), "text"
    if not right:
        raise DataError(f"row `{where}` must be {kind}. Got: {value!r}.")
    return value
