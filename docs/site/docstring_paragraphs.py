"""Docstrings as Markdown. In the sources they are written line by line; on a page lines run together."""

from __future__ import annotations

import re

# What begins a new matter: a word of our docstrings, or the names of arguments before a colon.
_WORDS = r"(?:Decision|Implementation|Letters|Raises|Returns?|Warns)\b"
_ITEM = r"[\w`.*]+(?:, [\w`.*]+)*(?: \([^)]*\)[^:.]*)?: "
_BEGINS = re.compile(rf"{_WORDS}|{_ITEM}")
_NAMES = re.compile(_ITEM)
_NAMED = re.compile(rf"^(?!{_WORDS})([\w.]+(?:, [\w.]+)*)((?: \([^)]*\)[^:.]*)?: )")


def as_markdown(docstring: str) -> str:
    """The docstring with a paragraph for each matter, and indented formulas as code.

    Indented lines below "name: ..." go on with that item; below anything else they are a formula.
    """
    made: list[str] = []
    start, before = "", ""  # the line that began what we are in; the line before
    for line in docstring.splitlines():
        is_indented = line.startswith("    ") and bool(line.strip())
        was_indented = before.startswith("    ")
        hangs = is_indented and bool(_NAMES.match(start))
        turns = is_indented != was_indented and not _NAMES.match(start)
        begins = bool(made) and not is_indented and bool(_BEGINS.match(line))
        if (turns or begins) and before.strip() and line.strip():
            made.append("")
        made.append(_NAMED.sub(r"**\1**\2", line) if begins else line.strip() if hangs else line)
        if not is_indented and (not before.strip() or begins or was_indented):
            start = line
        before = line
    return "\n".join(made)
