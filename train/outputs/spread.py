"""Choose a few scans out of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spread(items: Sequence[str], count: int) -> list[str]:
    """At most `count` of `items`, evenly spread from the first to the last."""
    if not items:
        return []
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in chosen]
