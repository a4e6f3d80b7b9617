"""What the demo asks in words, and what it proposes to ask next."""

from __future__ import annotations

from typing import NamedTuple


class Questions(NamedTuple):
    """Texts to ask of a scan."""

    first: str
    next: str


def questions(reader: str) -> Questions:
    """The demo's questions for the layout `reader`: ScanNet's holds rooms, the others hold streets."""
    return Questions("a chair", "a table") if reader == "scannet" else Questions("a parked car", "a tree")
