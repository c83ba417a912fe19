"""Fields of nested configs by dotted names, as flags and JSON give them."""

import ast
import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from jd_tf.columns import DataError, SchemaError

_TRUTHS = {"true": True, "false": False}
# The field a group's bare name stands for: `fusion` for `fusion.kind`.
_DEFAULT_FIELD = "kind"

Config = TypeVar("Config")


def flat_fields(config: Any) -> dict[str, Any]:
    """Returns the fields of a config as dotted name -> value."""
    flat = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            for name, part in flat_fields(value).items():
                flat[f"{field.name}.{name}"] = part
        else:
            flat[field.name] = value
    return flat


def resolve_field(config: Any, name: str) -> str:
    """Returns the dotted name of a field that may be named in short.

    `name` may be the last part where that is unique, or have underscores
    (`fusion_form` for `fusion.form`).
    """
    known = list(flat_fields(config))
    if name in known:
        return name
    found = [
        key
        for key in known
        if name in (key.rpartition(".")[2], key.replace(".", "_"))
        or f"{name}.{_DEFAULT_FIELD}" == key
    ]
    if len(found) == 1:
        return found[0]
    kind = type(config).__name__
    if found:
        raise DataError(f"{kind}: `{name}` may be any of {', '.join(found)}.")
    short = {key.rpartition(".")[2]: key for key in known}
    near = difflib.get_close_matches(name, [*known, *short], 3, 0.6)
    hint = f"; near: {', '.join(short.get(n, n) for n in near)}" if near else ""
    raise DataError(
        f"{kind} has no field `{name}`{hint}. It has: {', '.join(known)}."
    )


def replace_fields(config: Config, changes: Mapping[str, Any]) -> Config:
    """Returns a config with some fields changed, by dotted or short names.

    Args:
        config: a frozen dataclass; it is not changed.
        changes: name as of `resolve_field` -> value of the field's type;
            texts are parsed.

    Raises:
        DataError: naming an unknown field, or a value of another type.

    Example:
    >>> from jd_tf.models.ranker_config import RankerConfig
    >>> replace_fields(RankerConfig(), {"fusion": "global"}).fusion.kind
    'global'
    """
    nested: dict[str, Any] = {}
    for name, value in changes.items():
        key = resolve_field(config, name)
        group, _, rest = key.partition(".")
        if rest:
            nested.setdefault(group, {})[rest] = value
        else:
            nested[group] = _typed(config, group, value)
    for group, value in nested.items():
        if isinstance(value, dict):
            nested[group] = replace_fields(getattr(config, group), value)
    return dataclasses.replace(config, **nested)  # type: ignore[type-var]


def config_from_json(config_class: type, fields: Any) -> Any:
    """Returns the config that `dataclasses.asdict` made `fields` of."""
    if isinstance(fields, config_class):
        return fields
    if not isinstance(fields, Mapping):
        raise SchemaError(f"{config_class.__name__} is made of no {fields!r}.")
    kinds = typing.get_type_hints(config_class)
    given = {}
    names = {field.name for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    for name, value in fields.items():
        if name not in names:
            raise SchemaError(
                f"{config_class.__name__} has no field `{name}`. It has: "
                f"{', '.join(sorted(names))}."
            )
        if dataclasses.is_dataclass(kinds[name]):
            value = config_from_json(kinds[name], value)
        given[name] = value
    return config_class(**given)


def _typed(config: Any, name: str, value: Any) -> Any:
    """Returns `value` as the field's type, or raises a DataError."""
    kind = typing.get_type_hints(type(config))[name]
    try:
        return _convert(kind, value)
    except (TypeError, ValueError, SyntaxError) as error:
        wanted = kind.__name__ if isinstance(kind, type) else str(kind)
        raise DataError(
            f"{type(config).__name__}: `{name}` must be {wanted}. "
            f"Got: {value!r}."
        ) from error


def _convert(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if isinstance(value, str) and kind is not str:
        value = _TRUTHS.get(value.lower(), value)
        if isinstance(value, str):
            value = ast.literal_eval(value)
    if origin is tuple:
        part = typing.get_args(kind)[0]
        parts = value if isinstance(value, (list, tuple)) else (value,)
        return tuple(_convert(part, one) for one in parts)
    if kind is float and isinstance(value, int) and value is not True:
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(value)
    return value
