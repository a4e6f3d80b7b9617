"""Kernel maps: which input voxel meets which output voxel under each offset, for all levels of a U-Net.

The loader's workers build them, once per batch. The counts are Python ints, so that the network never waits
for a GPU to know a size.
Letters: M voxels of a level, P pairs of a map, K kernel offsets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lass3d_core.compute.packing import pack, unpack
from lass3d_core.errors import DataError
from lass3d_core.sparse.voxels import lattice_keys, lattice_steps, run_starts

CENTRE = 13  # the offset (0, 0, 0) among the 27 of a 3x3x3 kernel


@dataclass(frozen=True)
class CsrPairs:
    """The pairs grouped by row, in compressed rows (CSR): row r has positions[offsets[r]:offsets[r + 1]].

    positions (P,) int32: indices of pairs. offsets (rows + 1,) int32.
    """

    positions: Tensor
    offsets: Tensor


@dataclass(frozen=True)
class KernelMap:
    """The pairs of one convolution: under kernel offset k, row `source` of the input adds to row `target`.

    source, target (P,) int32: grouped by offset, ascending.
    counts: number of pairs of each offset, K ints.
    by_target, by_source: the same pairs grouped by row, for sums instead of scattered additions.
    centre: the offset under which every row meets itself. Its pairs are not listed. None for an even kernel.

    Offsets are numbered as in an array (3,3,3) or (2,2,2) over (x, y, z), z fastest.
    """

    source: Tensor
    target: Tensor
    counts: tuple[int, ...]
    by_target: CsrPairs
    by_source: CsrPairs
    centre: int | None = None

    def transposed(self) -> KernelMap:
        """The map of the transposed convolution: source and target exchanged."""
        return KernelMap(self.target, self.source, self.counts, self.by_source, self.by_target, self.centre)


@dataclass(frozen=True)
class KernelPyramid:
    """Coordinates and kernel maps of every level. Level 0 has the given voxels, in their order.

    coords: per level (M_l,4) int32 of (batch, x, y, z), in voxels of that level. An edge doubles per level.
    submanifold: per level l the 3x3x3 map from l to l.
    stride: per level l but the last the 2x2x2 map from l to l + 1.

    All tensors are moved as one: between processes, to a device, and into a file.
    """

    coords: tuple[Tensor, ...]
    submanifold: tuple[KernelMap, ...]
    stride: tuple[KernelMap, ...]

    @property
    def levels(self) -> int:
        return len(self.coords)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> KernelPyramid:
        """The same pyramid on `device`, moved by one copy."""
        if self.coords[0].device == torch.device(device):
            return self
        skeleton, packed = pack(self)
        return unpack(skeleton, packed.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> KernelPyramid:
        """The same pyramid in page-locked memory, from which a GPU copies without waiting."""
        skeleton, packed = pack(self)
        return unpack(skeleton, packed.pin_memory())

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, Tensor]]:
        return unpack, pack(self)


def build_pyramid(coords: Tensor, levels: int) -> KernelPyramid:
    """Build `levels` levels over coords (M,4) int32 of (batch, x, y, z), in any order.

    The parent of a voxel is floor(coordinate / 2), also for negative coordinates. The rows of coarser levels
    are sorted. Raises DataError if two rows are equal or the occupied box is too large.
    """
    all_coords, submanifold, stride = [coords], [_submanifold_map(coords)], []
    for _ in range(levels - 1):
        coarse, down = _stride_map(all_coords[-1])
        all_coords.append(coarse)
        stride.append(down)
        submanifold.append(_submanifold_map(coarse))
    return KernelPyramid(tuple(all_coords), tuple(submanifold), tuple(stride))


def _submanifold_map(coords: Tensor) -> KernelMap:
    """The 3x3x3 map of coords (M,4) onto themselves."""
    target, source, counts = _half_pairs(coords)  # the other half is its mirror image
    half = len(target)
    mirrored = torch.cat(torch.arange(half, device=coords.device).split(counts)[::-1])
    both_source = torch.cat([target[mirrored], source])
    both_target = torch.cat([source[mirrored], target])
    mirror = torch.empty(2 * half, dtype=torch.int32, device=coords.device)
    mirror[:half] = (mirrored + half).int()
    mirror[mirrored + half] = torch.arange(half, dtype=torch.int32, device=coords.device)
    by_target = _group_by_row(both_target, len(coords))
    # The mirror of the pair (k, source, target) is (26 - k, target, source), so no second sort is needed.
    by_source = CsrPairs(mirror[by_target.positions], by_target.offsets)
    all_counts = (*counts[::-1], 0, *counts)
    return KernelMap(both_source, both_target, all_counts, by_target, by_source, CENTRE)


def _half_pairs(coords: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """The pairs of the 13 offsets after the centre: target, source (P/2,) int32, and each offset's count."""
    # The 13 offsets are the next z, and four columns of three. The sorted keys hold a column in at most three
    # consecutive places: one search finds its start, two steps walk it.
    count = len(coords)
    keys, order = _sorted_keys(coords)
    _, step_x, step_y, _ = lattice_steps(coords, margin=1)
    columns = torch.tensor([[step_y], [step_x - step_y], [step_x], [step_x + step_y]], device=keys.device)
    padded = torch.cat([keys, keys.new_full((4,), torch.iinfo(torch.int64).max)])
    wanted = keys + (columns - 1)
    place = torch.searchsorted(keys, wanted)
    hit = torch.empty(13, count, dtype=torch.bool, device=keys.device)
    found = torch.empty(13, count, dtype=torch.int64, device=keys.device)
    torch.eq(padded[1 : count + 1], keys + 1, out=hit[0])
    torch.arange(1, count + 1, out=found[0])
    for z in range(3):
        present = padded[place] == wanted + z
        hit[1 + z :: 3], found[1 + z :: 3] = present, place
        place = place + present
    pairs = hit.view(-1).nonzero().squeeze(1)
    target, source = pairs % max(count, 1), found.view(-1)[pairs]
    if order is not None:
        target, source = order[target], order[source]
    return target.int(), source.int(), hit.sum(dim=1).tolist()


def _sorted_keys(coords: Tensor) -> tuple[Tensor, Tensor | None]:
    """The sorted keys of coords (M,) int64, and the row of each; None if the rows are sorted already."""
    keys = lattice_keys(coords, margin=1)
    if bool((keys[1:] > keys[:-1]).all()):
        return keys, None
    keys, order = keys.sort()
    if not bool(run_starts(keys).all()):
        raise DataError("two voxels of one scan have the same coordinates; voxelise the points first")
    return keys, order


def _stride_map(coords: Tensor) -> tuple[Tensor, KernelMap]:
    """The next coarser level of coords (M,4), and the 2x2x2 map to it; voxels are octants of a parent."""
    halves = coords.clone()
    halves[:, 1:] >>= 1  # an arithmetic shift: floor, for negative coordinates too
    keys, order = lattice_keys(halves).sort(stable=True)
    starts = run_starts(keys)
    coarse = halves[order[starts]]
    parent = torch.empty_like(order)
    parent[order] = starts.cumsum(0) - 1
    x, y, z = (coords[:, 1:] & 1).unbind(dim=1)
    octant = 4 * x + 2 * y + z
    source = octant.sort(stable=True).indices.int()
    target = parent.int()[source]
    counts = tuple(torch.bincount(octant, minlength=8).tolist())
    by_target, by_source = _group_by_row(target, len(coarse)), _group_by_row(source, len(coords))
    return coarse, KernelMap(source, target, counts, by_target, by_source)


def _group_by_row(row: Tensor, rows: int) -> CsrPairs:
    """Group the P pairs by their row (P,) int32. Pairs of one row keep their order."""
    offsets = row.new_zeros(rows + 1)
    offsets[1:] = torch.bincount(row, minlength=rows).cumsum(0)
    return CsrPairs(row.sort(stable=True).indices.int(), offsets)
