"""Reads this package's docstring sections as Griffe knows them."""

import re
import textwrap
from typing import Any

import griffe

# Up to the next blank line, indented or not, as doctest takes them.
_EXAMPLE = re.compile(r"^Example:\n((?: *\S.*\n?)+)", re.MULTILINE)
# Keras' name for what `call` takes; listed as parameters are.
_CALL = re.compile(r"^Call arguments:$", re.MULTILINE)


def _indented(found: re.Match[str]) -> str:
    lines = textwrap.dedent(found.group(1))
    return "Examples:\n" + textwrap.indent(lines, "    ")


class DocstringSections(griffe.Extension):
    """Rewrites sections of docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrites the sections of one object's docstring."""
        if obj.docstring is not None:
            text = _EXAMPLE.sub(_indented, obj.docstring.value)
            obj.docstring.value = _CALL.sub("Args: Call arguments", text)
