"""Pairs of voxels for a CPU, level by level: reading a size costs nothing there.

Letters: M voxels of a level, H half of the pairs of a 3x3x3 map.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lass3d_core.errors import DataError
from lass3d_core.sparse.level_pairs import DUPLICATE, Children, LevelPairs, neighbours
from lass3d_core.sparse.voxels import lattice_keys, lattice_steps, run_starts


def pairs_on_host(coords: Tensor, levels: int, first_scans: int | None = None) -> Iterator[LevelPairs]:
    """The pairs of `levels` levels over coords (M,4) int32 of (batch, x, y, z), in any order.

    first_scans: LevelPairs.first_rows counts the voxels of the scans with a number below that.
    Raises DataError if two rows are equal or the occupied box is too large.
    """
    for level in range(levels):
        half = _half_pairs(coords)
        coarse, children = (coords, None) if level == levels - 1 else _children(coords)
        first_rows = 0 if first_scans is None else int((coords[:, 0] < first_scans).sum())
        yield LevelPairs(coords, *half, first_rows, children)
        coords = coarse


def _half_pairs(coords: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...]]:
    """target, source, counts and sizes of LevelPairs."""
    count = len(coords)
    keys, order = _sorted_keys(coords)
    _, step_x, step_y, _ = lattice_steps(coords, margin=1)
    columns = torch.tensor([step_y, step_x - step_y, step_x, step_x + step_y])
    hit, found = neighbours(keys, columns)
    pairs = hit.view(-1).nonzero().squeeze(1)
    target, source = pairs % max(count, 1), found.view(-1)[pairs]
    if order is not None:
        target, source = order[target], order[source]
    counts = hit.sum(dim=1)
    return target.int(), source.int(), counts, tuple(counts.tolist())


def _sorted_keys(coords: Tensor) -> tuple[Tensor, Tensor | None]:
    """The sorted keys of coords (M,) int64, and the row of each; None if the rows are sorted already."""
    keys = lattice_keys(coords, margin=1)
    if bool((keys[1:] > keys[:-1]).all()):
        return keys, None
    keys, order = keys.sort()
    if not bool(run_starts(keys).all()):
        raise DataError(DUPLICATE)
    return keys, order


def _children(coords: Tensor) -> tuple[Tensor, Children]:
    """The next coarser level of coords (M,4), and how the voxels meet its voxels, as octants of a parent."""
    halves = coords.clone()
    halves[:, 1:] >>= 1  # an arithmetic shift: floor, for negative coordinates too
    keys, order = lattice_keys(halves).sort(stable=True)
    starts = run_starts(keys)
    coarse = halves[order[starts]]
    parent = torch.empty_like(order)
    parent[order] = starts.cumsum(0) - 1
    x, y, z = (coords[:, 1:] & 1).unbind(dim=1)
    octant = 4 * x + 2 * y + z
    child = octant.sort(stable=True).indices.int()
    counts = torch.bincount(octant, minlength=8)
    return coarse, Children(child, parent.int()[child], counts, tuple(counts.tolist()))


def offsets_on_host(row: Tensor, ordered: Tensor, rows: int) -> Tensor:
    """Where each row begins in `ordered`, and the end: (rows + 1,) int32.

    row (P,) int32: of each pair, in 0, ..., rows - 1. ordered (P,) int32: the same, sorted.
    """
    offsets = row.new_zeros(rows + 1)
    offsets[1:] = torch.bincount(row, minlength=rows).cumsum(0)
    return offsets
