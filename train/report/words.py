"""Numbers and names as pages and the terminal write them."""

from __future__ import annotations

import math

SPLIT_NAMES = {"test": "test", "val": "validation"}
"""Names of the splits in sentences."""


def percent(share: float | None, absent: str = "–") -> str:
    """Write a share in [0,1] in per cent with one decimal; `absent` if it is None or NaN."""
    return absent if share is None or math.isnan(share) else f"{100 * share:.1f}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Write "1 scan" or "2 scans"; thousands are set apart."""
    return f"{grouped(number)} {one if number == 1 else many or one + 's'}"


def grouped(number: int) -> str:
    """Write 12345 as 12 345, with a narrow space that does not break."""
    return f"{number:,}".replace(",", "\u202f")
