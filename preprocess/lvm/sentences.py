"""Sentences of captions: ending one, and shortening an answer that was cut off."""

from __future__ import annotations

import re

_END = re.compile(r"[.!?](?=\s|$)")


def ended(text: str) -> str:
    """`text` with a full stop, so that another sentence can follow."""
    text = text.strip()
    return text if _END.search(text[-1:]) else f"{text}."


def without_tail(text: str) -> str:
    """Shorten a text that was cut anywhere to its last whole sentence.

    Without one, it is shortened to its last whole word. A single word stays.
    """
    ends = [match.end() for match in _END.finditer(text)]
    if ends:
        return text[: ends[-1]]
    return text.rpartition(" ")[0].rstrip() or text
