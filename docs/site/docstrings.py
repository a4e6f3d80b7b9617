"""An extension of griffe: paragraphs in docstrings, which are written line by line."""

from __future__ import annotations

import re
from typing import Any

import griffe

# In the sources these words begin a line; on a page they begin a paragraph.
_BEGINS = re.compile(r"\n(?=(?:Decision|Returns?|Raises|Letters|Implementation|Warns)\b)")


class Paragraphs(griffe.Extension):
    """Begins a paragraph where a docstring begins a new matter."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = _BEGINS.sub("\n\n", obj.docstring.value)
