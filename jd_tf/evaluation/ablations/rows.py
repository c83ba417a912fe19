"""Rows of an ablation: named changes to a model's config."""

import ast
import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jd_tf.data.files import read_json
from jd_tf.models.config_fields import replace_fields
from jd_tf.schema import DataError

_ROW = re.compile(
    r"([^:]+?)\s*(?:\(against\s+([^:]+?)\s*\))?\s*:(.*)", re.DOTALL
)
# Commas inside brackets belong to a value.
_COMMA = re.compile(r",(?![^(\[]*[)\]])")
_JSON_KINDS = {"name": str, "changes": dict, "against": str}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: as shown.
        changes: field of the config -> value, dotted or short as
            `replace_fields` takes them; the other fields are the base's.
        against: name of the row it is compared with; "" for the first row.

    Example:
    >>> Row("+ dwell", {"use_dwell": True}).folder
    '+_dwell'
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
            Values as in Python; any other word is text.

    Raises:
        DataError: naming the row that is wrong.
    """
    rows = []
    for part in filter(str.strip, text.split(";")):
        found = _ROW.fullmatch(part.strip())
        if not found:
            raise DataError(
                "rows are written `name: field=value,field=value; ...`. "
                f"Got: {part.strip()!r}."
            )
        name, against, changes = found.groups(default="")
        rows.append(Row(name, parse_changes(changes, name), against))
    return check_rows(rows)


def parse_changes(text: str, name: str) -> dict[str, Any]:
    """Reads `field=value,field=value`, which may be empty, of row `name`."""
    changes: dict[str, Any] = {}
    for part in filter(str.strip, _COMMA.split(text)):
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
    return changes


def load_rows(path: str | Path) -> tuple[Row, ...]:
    """Reads rows from a JSON file.

    Args:
        path: holds a list of objects with `name`, and perhaps `changes` (an
            object) and `against`.

    Raises:
        DataError: naming the file and the row that is wrong in it.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file of rows.")
    entries = read_json(Path(path))
    if not isinstance(entries, list):
        raise DataError(f"{path}: must be a list of rows.")
    for number, entry in enumerate(entries):
        if not (isinstance(entry, dict) and "name" in entry) or not all(
            isinstance(value, _JSON_KINDS.get(key, ()))
            for key, value in entry.items()
        ):
            raise DataError(
                f"{path}: row {number} must have `name`, `changes` and perhaps "
                f"`against`. Got: {entry!r}."
            )
    return check_rows([Row(**{"changes": {}, **entry}) for entry in entries])


def check_rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Refuses no rows, names given twice, and comparisons with no row."""
    if not rows:
        raise DataError("an ablation needs at least one row.")
    names = [row.name for row in rows]
    folders = [row.folder.lower() for row in rows]
    for kind, values in (("name", names), ("folder name", folders)):
        value, count = collections.Counter(values).most_common(1)[0]
        if count > 1:
            raise DataError(f"two rows have the {kind} `{value}`.")
    for row in rows:
        if row.against and row.against not in names:
            raise DataError(
                f"row `{row.name}` is compared with `{row.against}`, which is "
                f"no row; rows are: {', '.join(names)}."
            )
    return tuple(rows)


def resolve(row: Row, base: Any) -> Any:
    """Returns the config of a row; a DataError names row, field and value."""
    try:
        return replace_fields(base, row.changes)
    except (TypeError, ValueError) as error:
        raise DataError(f"row `{row.name}`: {error}") from error
