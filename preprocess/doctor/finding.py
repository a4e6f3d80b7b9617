"""What the doctor says about one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """mark: `FIX` is needed and wrong; `note` works, but is worth knowing. what: the thing, in few words."""

    mark: Literal["ok", "note", "FIX"]
    what: str
    detail: str


def as_lines(findings: Sequence[Finding]) -> str:
    """One line for each finding."""
    width = max(len(one.what) for one in findings)
    return "\n".join(f"{one.mark:4}  {one.what:{width}}  {one.detail}" for one in findings)


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether nothing that is needed is wrong."""
    return all(one.mark != "FIX" for one in findings)
