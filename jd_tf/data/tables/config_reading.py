"""YAML becomes the dataclasses of a configuration; errors name the key."""

import dataclasses
import difflib
import glob
import math
import types
import typing
from pathlib import Path
from typing import Any

import yaml

from jd_tf.data.tables.config import TablesConfig
from jd_tf.data.tables.config_parts import TableConfig
from jd_tf.schema import DataError

# Configurations of public logs, by name.
LOGS = {
    path.stem: path
    for path in sorted((Path(__file__).parent / "logs").glob("*.yaml"))
}


def read_config(
    config: str | Path, folder: str | Path | None = None, **changes: Any
) -> TablesConfig:
    """Reads a configuration.

    Args:
        config: a YAML file, or one of `LOGS`.
        folder: at which paths of tables in it start; by default that of the
            YAML file.
        **changes: of its keys, where not None.

    Raises:
        DataError: naming the file, the key, the value and the remedy.
    """
    if str(config) in LOGS and folder is None:
        raise DataError(f"`{config}`: name the folder of the log with --input.")
    path = LOGS.get(str(config), Path(config))
    remedy = f"Name a YAML file, or one of {', '.join(LOGS)}."
    read: TablesConfig = read_yaml(path, TablesConfig, remedy, **changes)
    start = Path(path.parent if folder is None else folder)
    if not start.is_dir():
        raise DataError(f"{start}: no such folder; the tables lie there.")
    tables = {
        name: dataclasses.replace(table, path=_from(start, table))
        for name, table in read.tables.items()
    }
    return dataclasses.replace(read, tables=tables)


def _from(folder: Path, table: TableConfig) -> str:
    if not table.path or "://" in table.path:
        return table.path
    # The folder is meant as it is written, files may be a pattern.
    start = str(folder) if table.table else glob.escape(str(folder))
    return str(Path(start) / table.path)


def read_yaml(
    path: str | Path, kind: Any, remedy: str = "", **changes: Any
) -> Any:
    """Reads a dataclass from a YAML file.

    Args:
        path: the file.
        kind: a dataclass of plain types, tuples, dicts and such dataclasses.
        remedy: for a file that cannot be read.
        **changes: of its keys, where not None.

    Raises:
        DataError: naming the file, the key, the value and the remedy.
    """
    path = Path(path)
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}. {remedy}".rstrip()
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not YAML: {error}.") from error
    try:
        if isinstance(fields, dict):
            given = {k: v for k, v in changes.items() if v is not None}
            fields = {**fields, **given}
        return _build(kind, fields, "")
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _build(kind: Any, value: Any, key: str) -> Any:
    """Returns a value of a type, made of what YAML holds."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, key)
    if origin in (typing.Union, types.UnionType):
        wanted = next(one for one in inner if one is not type(None))
        return None if value is None else _build(wanted, value, key)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(key, "keys with values", value)
        return {
            str(name): _build(inner[1], one, f"{key}.{name}")
            for name, one in value.items()
        }
    if origin is tuple:
        several = value if isinstance(value, list) else [value]
        return tuple(
            _build(inner[0], one, f"{key}.{number}")
            for number, one in enumerate(several)
        )
    if kind is bool:
        if type(value) is not bool:
            raise _wrong(key, "true or false", value)
    elif kind in (int, float):
        # Of all numbers only business values may be below 0.
        least = -math.inf if key.endswith(".value") else 0
        if type(value) not in (int, kind) or not least <= value < math.inf:
            what = "whole number" if kind is int else "number"
            wanted = f"a {what} from 0 on" if least == 0 else f"a {what}"
            raise _wrong(key, wanted, value)
    elif isinstance(value, dict | list) or value is None:
        raise _wrong(key, "a text", value)
    return kind(value)


def _build_dataclass(kind: Any, value: Any, key: str) -> Any:
    fields = dataclasses.fields(kind)
    if isinstance(value, str) and fields[0].name == "column":
        value = {"column": value}  # `category_id: cate` for short
    if value is None and key:
        value = {}
    if not isinstance(value, dict):
        raise _wrong(key, f"keys such as `{fields[0].name}`", value)
    hints = typing.get_type_hints(kind)
    for name in value:
        if name not in hints:
            near = difflib.get_close_matches(str(name), list(hints), 1)
            hint = f"did you mean `{near[0]}`?" if near else "leave it out."
            raise DataError(
                f"`{_below(key, name)}`: no such key; {hint} Known: "
                f"{', '.join(hints)}."
            )
    for field in fields:
        empty = dataclasses.MISSING
        needed = field.default is empty and field.default_factory is empty
        if needed and field.name not in value:
            raise DataError(f"`{_below(key, field.name)}`: is missing.")
    built = {
        name: _build(hints[name], one, _below(key, name))
        for name, one in value.items()
    }
    return kind(**built)


def _below(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def _wrong(key: str, wanted: str, value: Any) -> DataError:
    where = f"`{key}`" if key else "the file"
    return DataError(f"{where}: must hold {wanted}. Got: {value!r:.80}.")
