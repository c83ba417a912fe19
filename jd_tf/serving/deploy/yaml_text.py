"""Plain data as YAML, in the part of the language that nobody misreads.

Strings are always quoted, so that `no`, `1.10` or `0o17` stay strings; only
texts of several lines stand as blocks. Lists and mappings are indented.
"""

import json
from typing import Any

_STEP = "  "


def to_yaml(value: Any) -> str:
    """YAML of mappings with plain keys, lists, strings, numbers and None.

    Args:
        value: a mapping or list, neither empty; nothing in it is shared.
    """
    # Empty lines of a block are indented too, on the way up.
    return "\n".join(line.rstrip() for line in _lines(value)) + "\n"


def to_documents(values: list[Any]) -> str:
    """Several documents of one file."""
    return "---\n".join(to_yaml(value) for value in values)


def _lines(value: Any) -> list[str]:
    lines = []
    if isinstance(value, dict):
        for key, part in value.items():
            lines += _entry(f"{_key(key)}:", part)
        return lines
    for part in value:
        nested = (
            _lines(part) if isinstance(part, dict | list) and part else None
        )
        if nested:
            lines.append(f"- {nested[0]}")
            lines += [_STEP + line for line in nested[1:]]
        else:
            lines.append(f"- {_scalar(part)}")
    return lines


def _entry(head: str, value: Any) -> list[str]:
    if isinstance(value, dict | list) and value:
        return [head, *(_STEP + line for line in _lines(value))]
    if isinstance(value, str) and _is_block(value):
        block = value.removesuffix("\n").split("\n")
        return [f"{head} |", *(_STEP + line for line in block)]
    return [f"{head} {_scalar(value)}"]


def _is_block(text: str) -> bool:
    """Whether a text comes back unchanged from an indented block."""
    return (
        "\n" in text
        and text.endswith("\n")
        and not text.endswith("\n\n")
        and not text.startswith((" ", "\n"))
        and all(line == line.rstrip() for line in text.split("\n"))
        and text.replace("\n", "").isprintable()
    )


def _key(key: str) -> str:
    plain = key.replace("-", "").replace("_", "").replace(".", "")
    plain = plain.replace("/", "")
    # Words that other readers take for truth values.
    doubtful = key.lower() in ("y", "n", "yes", "no", "on", "off", "null")
    is_plain = plain.isascii() and plain.isalnum() and key[0].isalpha()
    truth = key.lower() in ("true", "false")
    return key if is_plain and not doubtful and not truth else json.dumps(key)


def _scalar(value: Any) -> str:
    if value == {} and isinstance(value, dict):
        return "{}"
    if value == [] and isinstance(value, list):
        return "[]"
    # JSON's strings, numbers, truth values and null are YAML's.
    return json.dumps(value, ensure_ascii=True)
