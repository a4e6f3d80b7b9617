"""An extension of griffe: docstrings reach the pages with their paragraphs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(1, str(Path(__file__).resolve().parent))

from docstring_paragraphs import as_markdown


class Paragraphs(griffe.Extension):
    """Begins a paragraph where a docstring begins a new matter."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
