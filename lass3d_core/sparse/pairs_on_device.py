"""Pairs of voxels for a GPU: all sizes of all levels come to the host together, in one transfer.

A size that the host must know, to allocate, stops the program until the GPU has done all before. So the
levels are found in tensors as long as level 0, which no level exceeds. Behind a level's own rows is filling.
`pairs_on_host.py` finds the same pairs.
Letters: M voxels of level 0, which is the length of every level here. H half of the pairs of a 3x3x3 map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lass3d_core.errors import DataError
from lass3d_core.sparse.level_pairs import DUPLICATE, LAST_KEY, Children, LevelPairs, neighbours
from lass3d_core.sparse.voxels import require_countable, run_starts


@dataclass(frozen=True)
class _Level:
    """A level whose sizes the host does not know yet.

    coords (M,4) int32: filling repeats a row, so that the occupied box stays as it is.
    size (1,) int64: rows that are no filling. own (M,) bool: which.
    keys (M,) int64: sorted. steps (4,) int64: what one step along each axis adds to a key.
    order (M,) int64: the row of each key.
    """

    coords: Tensor
    size: Tensor
    own: Tensor
    keys: Tensor
    steps: Tensor
    order: Tensor


@dataclass(frozen=True)
class _Hits:
    """Which key has a neighbour under which of the 13 offsets after the centre."""

    hit: Tensor  # (13,M) bool
    place: Tensor  # (13,M) int64: of the neighbour among the keys
    counts: Tensor  # (13,) int64


@dataclass(frozen=True)
class _Octants:
    """The rows of a level grouped by octant, and the row of each voxel's parent in the next level."""

    child: Tensor  # (M,) int64: filling comes last
    parent: Tensor  # (M,) int64
    counts: Tensor  # (8,) int64


def pairs_on_device(coords: Tensor, levels: int, first_scans: int | None = None) -> list[LevelPairs]:
    """The pairs of `levels` levels over coords (M,4) int32 of (batch, x, y, z), in any order; M > 0.

    first_scans: as in `pairs_on_host`.
    Raises DataError if two rows are equal or the occupied box is too large.
    """
    level, spans = _finest(coords)
    unique = run_starts(level.keys).all()[None]
    every, octants = [level], []
    for _ in range(levels - 1):
        level, of_level = _coarser(level)
        every.append(level)
        octants.append(of_level)
    hits = [_hits(one) for one in every]
    counts = [*(one.counts for one in hits), *(one.counts for one in octants)]
    sized = [*(one.size for one in every), _first_rows(every, first_scans)]
    read = iter(torch.cat([spans, unique, *sized, *counts]).tolist())  # the transfer
    require_countable([next(read) for _ in range(len(spans))])
    if not next(read):
        raise DataError(DUPLICATE)
    sizes, first_rows = ([next(read) for _ in every] for _ in range(2))
    of_counts = [tuple(next(read) for _ in range(len(count))) for count in counts]
    children = [_cut_children(*one) for one in zip(octants, sizes, of_counts[len(every) :])]
    return [_cut(*one) for one in zip(every, sizes, hits, of_counts, first_rows, (*children, None))]


def _finest(coords: Tensor) -> tuple[_Level, Tensor]:
    """Level 0, and the spans (4,) int64 of its box, with the margin."""
    keys, steps, spans = _keys(coords)
    keys, order = keys.sort(stable=True)
    own = torch.ones_like(keys, dtype=torch.bool)
    return _Level(coords, own.sum(dim=0, keepdim=True), own, keys, steps, order), spans


def _keys(coords: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As lattice_keys and lattice_steps with a margin of 1: keys, steps, and the spans of the box."""
    low = coords.amin(dim=0).long()
    spans = coords.amax(dim=0).long() - low + 2
    below = spans.flip(0).cumprod(0)[:-1]  # of the last axis, of the last two, of the last three
    steps = torch.cat([torch.ones_like(below[:1]), below]).flip(0)
    return ((coords.long() - low) * steps).sum(dim=1), steps, spans


def _hits(level: _Level) -> _Hits:
    """The neighbours of each voxel under the 13 offsets after the centre."""
    _, step_x, step_y, _ = level.steps.unbind()
    columns = torch.stack([step_y, step_x - step_y, step_x, step_x + step_y])
    hit, found = neighbours(level.keys, columns)
    hit &= level.own
    return _Hits(hit, found, hit.sum(dim=1))


def _coarser(level: _Level) -> tuple[_Level, _Octants]:
    """The next level, and how the voxels of `level` meet its voxels."""
    halves = level.coords.clone()
    halves[:, 1:] >>= 1  # an arithmetic shift: floor, for negative coordinates too
    keys, steps, _ = _keys(halves)
    keys, order = torch.where(level.own, keys, LAST_KEY).sort(stable=True)
    starts = run_starts(keys) & (keys != LAST_KEY)
    parent = torch.empty_like(order)
    parent[order] = starts.cumsum(0) - 1
    first = places_of(starts, len(starts))
    place = torch.arange(len(keys), device=keys.device)
    size = starts.sum(dim=0, keepdim=True)
    own = place < size
    coarse = _Level(halves[order[first]], size, own, torch.where(own, keys[first], LAST_KEY), steps, place)
    x, y, z = (level.coords[:, 1:] & 1).unbind(dim=1)
    octant = torch.where(level.own, 4 * x + 2 * y + z, 8)
    counts = (octant == torch.arange(8, device=octant.device)[:, None]).sum(dim=1)
    return coarse, _Octants(octant.sort(stable=True).indices, parent, counts)


def _first_rows(levels: list[_Level], first_scans: int | None) -> Tensor:
    """How many rows of each level have a scan's number below that, (levels,) int64; 0 for None."""
    scan, own = (torch.stack(columns) for columns in zip(*((one.coords[:, 0], one.own) for one in levels)))
    return (own & (scan < (first_scans or 0))).sum(dim=1)


def _cut(
    level: _Level,
    size: int,
    hits: _Hits,
    sizes: tuple[int, ...],
    first_rows: int,
    children: Children | None,
) -> LevelPairs:
    """The level without its filling."""
    pairs = places_of(hits.hit.view(-1), sum(sizes))
    target, source = level.order[pairs % len(level.keys)], level.order[hits.place.view(-1)[pairs]]
    pairs_of = target.int(), source.int(), hits.counts, sizes
    return LevelPairs(level.coords[:size], *pairs_of, first_rows, children)


def _cut_children(octants: _Octants, size: int, sizes: tuple[int, ...]) -> Children:
    child = octants.child[:size]
    return Children(child.int(), octants.parent[child].int(), octants.counts, sizes)


def places_of(mask: Tensor, size: int) -> Tensor:
    """The first `size` places (size,) int64 where mask (N,) is true; 0 behind the last of them.

    As `nonzero`, which waits for the GPU to know how many there are.
    """
    # Where the mask is false, the place is written to one element more than is returned.
    rank = torch.where(mask, mask.cumsum(0) - 1, size)
    places = torch.zeros(size + 1, dtype=torch.int64, device=mask.device)
    return places.scatter_(0, rank, torch.arange(len(mask), device=mask.device))[:size]


def offsets_on_device(row: Tensor, ordered: Tensor, rows: int) -> Tensor:
    """As `offsets_on_host`, whose `bincount` waits for the GPU; on a CPU that one is faster."""
    every = torch.arange(rows + 1, dtype=ordered.dtype, device=ordered.device)
    return torch.searchsorted(ordered, every, out_int32=True)
