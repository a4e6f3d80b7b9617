"""Numbers and names as pages and the terminal write them."""

from __future__ import annotations

import math

SPLIT_NAMES = {"test": "test", "val": "validation"}
"""Names of the splits in sentences."""


def percent(share: float | None, absent: str = "–") -> str:
    """Write a share in [0,1] in per cent with one decimal; `absent` if it is None or NaN."""
    return absent if share is None or math.isnan(share) else f"{100 * share:.1f}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write "1 scan" or "2 scans", in ASCII for the terminal."""
    return f"{number} {_noun(number, one, many)}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """As `counted`, for pages: thousands are set apart."""
    return f"{grouped(number)} {_noun(number, one, many)}"


def _noun(number: int, one: str, many: str | None) -> str:
    return one if number == 1 else many or f"{one}s"


def scans_of(labelled: int, scans: int | None, split: str) -> str:
    """Write "5 scans", or "4 scans (4 of 5 scans of val have labels)" if some have none.

    scans: of the split, with labels or without; None if nobody recorded it.
    """
    if scans is None or scans <= labelled:
        return plural(labelled, "scan")
    return f"{counted(labelled, 'scan')} ({labels_of(labelled, scans, split)})"


def labels_of(labelled: int, scans: int, split: str) -> str:
    """Write "4 of 5 scans of val have labels"."""
    return f"{labelled} of {counted(scans, 'scan')} of {split} {'has' if labelled == 1 else 'have'} labels"


def grouped(number: int) -> str:
    """Write 12345 as 12 345, with a narrow space that does not break."""
    return f"{number:,}".replace(",", "\u202f")
