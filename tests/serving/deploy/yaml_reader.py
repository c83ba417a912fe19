"""Reads the part of YAML that our files are written in, and nothing else.

Strict on purpose: tabs, duplicate keys, unquoted strings and odd indentation
are errors, so what passes means the same to every reader.
"""

import json
import re

_KEY = re.compile(
    r'((?:"(?:[^"\\]|\\.)*")|[A-Za-z][A-Za-z0-9_./-]*):(?: (.*))?$'
)


def read_documents(text):
    """Every document of a file."""
    documents = [[]]
    for line in text.splitlines():
        if line == "---":
            documents.append([])
        else:
            documents[-1].append(line)
    return [_read(lines) for lines in documents]


def _read(lines):
    lines = [line for line in lines if not line.startswith("#")]
    value, rest = _value(lines, 0)
    assert not rest, f"not understood: {rest[0]!r}"
    return value


def _indent(line):
    assert "\t" not in line, f"a tab: {line!r}"
    return len(line) - len(line.lstrip(" "))


def _value(lines, indent):
    assert _indent(lines[0]) == indent, lines[0]
    if lines[0][indent:].startswith("- "):
        return _list(lines, indent)
    return _mapping(lines, indent)


def _list(lines, indent):
    found = []
    while lines and _indent(lines[0]) == indent and lines[0].strip():
        head = lines[0][indent:]
        assert head.startswith("- "), head
        if _KEY.match(head[2:]) or head[2:].startswith("- "):
            # The dash stands where two spaces of indentation would.
            lines = [" " * (indent + 2) + head[2:], *lines[1:]]
            value, lines = _value(lines, indent + 2)
        else:
            value, lines = _scalar(head[2:]), lines[1:]
        found.append(value)
    return found, lines


def _mapping(lines, indent):
    found = {}
    while lines and _indent(lines[0]) == indent:
        match = _KEY.match(lines[0][indent:])
        assert match, f"no `key:`: {lines[0]!r}"
        key, rest, lines = match[1], match[2], lines[1:]
        key = json.loads(key) if key.startswith('"') else key
        assert key not in found, f"twice: {key}"
        if rest == "|":
            block = []
            while lines and (not lines[0] or _indent(lines[0]) > indent):
                block.append(lines[0][indent + 2 :])
                lines = lines[1:]
            found[key] = "\n".join(block) + "\n"
        elif rest is None:
            found[key], lines = _value(lines, indent + 2)
        else:
            found[key] = _scalar(rest)
    return found, lines


def _scalar(text):
    # Strings in quotes, numbers, true, false, null: JSON; all else is refused.
    return json.loads(text)
