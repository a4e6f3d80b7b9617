"""The pairs of neighbouring voxels of one level, before kernel maps are made of them.

`pairs_on_host.py` and `pairs_on_device.py` find them, each as its processor likes it. Both give the same.
Letters: M voxels of a level, H half of the pairs of a 3x3x3 map without its centre.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

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
    children: to the next level; None on the last.
    """

    coords: Tensor
    target: Tensor
    source: Tensor
    counts: Tensor
    sizes: tuple[int, ...]
    children: Children | None
