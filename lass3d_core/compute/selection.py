"""Selections whose size the host knows already, so that no GPU has to be asked for it.

`rows[mask]` and `mask.nonzero()` wait for a GPU: the size of their result is a number on it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def true_places(mask: Tensor, count: int) -> Tensor:
    """The places (count,) int64 of the `count` true values of mask (M,), in their order."""
    rank = mask.cumsum(0) - 1
    places = torch.arange(len(mask), device=mask.device)
    # What is not chosen goes behind the end.
    return places.new_empty(count + 1).scatter_(0, rank.masked_fill(~mask, count), places)[:count]


def first_equal(rows: Tensor) -> Tensor:
    """For each of rows (N,D) the first row that equals it, (N,) int64; itself if no row before it does."""
    places = torch.arange(len(rows), device=rows.device)
    if not len(rows):
        return places
    same = torch.cdist(rows, rows, p=0) == 0  # the number of columns that differ
    return torch.where(same, places, len(rows)).amin(dim=1)
