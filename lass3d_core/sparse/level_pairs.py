"""The pairs of neighbouring voxels of one level, before kernel maps are made of them.

`pairs_on_host.py` and `pairs_on_device.py` find them, each as its processor likes it. Both give the same.
Letters: M voxels of a level, H half of the pairs of a 3x3x3 map without its centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LAST_KEY = torch.iinfo(torch.int64).max
"""Behind the keys of all voxels."""

DUPLICATE = "two voxels of one scan have the same coordinates; voxelise the points first"


@dataclass(frozen=True)
class Children:
    """How the voxels of a level meet their parents, the voxels of the next level.

    child, parent (M,) int32: rows of both levels, grouped by the octant of the child, ascending.
    counts (8,) int64 on the device, and the same as ints.
    """

    child: Tensor
    parent: Tensor
    counts: Tensor
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class LevelPairs:
    """The voxels of a level, coords (M,4) int32, and their pairs.

    target, source (H,) int32: the pairs of the 13 offsets after the centre, grouped by offset, ascending. The
        pairs of the other 13 are their mirror image.
    counts (13,) int64 on the device, and the same as ints.
    first_rows: the voxels of the scans with a number below `first_scans`; 0 if that was not asked for.
    children: to the next level; None on the last.
    """

    coords: Tensor
    target: Tensor
    source: Tensor
    counts: Tensor
    sizes: tuple[int, ...]
    first_rows: int
    children: Children | None


def neighbours(keys: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Which voxels have a neighbour under each of the 13 offsets after the centre, and where.

    keys (M,) int64: of `lattice_keys`, ascending. columns (4,) int64: what a step to each of the four columns
    adds to a key. Returns (13,M) bool, and the places (13,M) int64 in `keys`, any if there is no neighbour.
    """
    # The 13 offsets are the next z, and four columns of three. The sorted keys hold a column in at most three
    # consecutive places: one search finds its start, two steps walk it.
    count = len(keys)
    padded = torch.cat([keys, keys.new_full((4,), LAST_KEY)])
    wanted = keys + (columns.unsqueeze(1) - 1)
    place = torch.searchsorted(keys, wanted)
    hit = torch.empty(13, count, dtype=torch.bool, device=keys.device)
    found = torch.empty(13, count, dtype=torch.int64, device=keys.device)
    torch.eq(padded[1 : count + 1], keys + 1, out=hit[0])
    torch.arange(1, count + 1, out=found[0])
    for z in range(3):
        present = padded[place] == wanted + z
        hit[1 + z :: 3], found[1 + z :: 3] = present, place
        place = place + present
    return hit, found
