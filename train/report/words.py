"""Numbers and names as the page writes them."""

from __future__ import annotations

import math

SPLIT_NAMES = {"test": "test", "val": "validation"}
"""Splits as they are called in sentences."""


def percent(share: float | None) -> str:
    """A share in [0,1] as per cent with one decimal; an en dash for None and NaN."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """ "1 scan", "2 scans"; thousands are set apart."""
    return f"{grouped(number)} {one if number == 1 else many or one + 's'}"


def grouped(number: int) -> str:
    """12 345, with a narrow space that does not break."""
    return f"{number:,}".replace(",", "\u202f")


def capitalised(text: str) -> str:
    """The text with its first letter in upper case, the others as they are."""
    return text[:1].upper() + text[1:]
