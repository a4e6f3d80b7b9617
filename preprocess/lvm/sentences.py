"""Sentences of captions: where one ends, and where an answer that was cut off is mended."""

from __future__ import annotations

import re

_END = re.compile(r"[.!?](?=\s|$)")


def ended(text: str) -> str:
    """`text` with a full stop, so that another sentence can follow."""
    text = text.strip()
    return text if _END.search(text[-1:]) else f"{text}."


def without_tail(text: str) -> str:
    """`text` that was cut anywhere, back to its last whole sentence, or its last whole word if there is none.

    A single word stays, for want of a better answer.
    """
    ends = [match.end() for match in _END.finditer(text)]
    if ends:
        return text[: ends[-1]]
    return text.rpartition(" ")[0].rstrip() or text
