"""Reads this package's docstring sections as Griffe knows them."""

import re
import textwrap
from typing import Any

import griffe

# As doctest takes it: not indented, up to the next blank line.
_EXAMPLE = re.compile(r"^Example:\n((?:>>>.*\n(?:.+(?:\n|\Z))*)+)", re.MULTILINE)
# Keras' name for what `call` takes; listed as parameters are.
_CALL = re.compile(r"^Call arguments:$", re.MULTILINE)


class DocstringSections(griffe.Extension):
    """Rewrites sections of docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrites the sections of one object's docstring."""
        if obj.docstring is None:
            return
        text = _CALL.sub("Args: Call arguments", obj.docstring.value)
        obj.docstring.value = _EXAMPLE.sub(
            lambda found: "Examples:\n"
            + textwrap.indent(found.group(1), "    "),
            text + "\n",
        ).rstrip()
