"""Kernel maps: which input voxel meets which output voxel under each offset, for all levels of a U-Net.

They are built once per batch: for a CPU by the loader's workers, for a GPU on the GPU. The counts are Python
ints, so that the network never waits for a GPU to know a size.
Letters: M voxels of a level, P pairs of a map, K kernel offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lass3d_core.compute.packing import pack, unpack
from lass3d_core.sparse.level_pairs import Children, LevelPairs
from lass3d_core.sparse.pairs_on_device import offsets_on_device, pairs_on_device
from lass3d_core.sparse.pairs_on_host import offsets_on_host, pairs_on_host

RowOffsets = Callable[[Tensor, Tensor, int], Tensor]
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

    source, target (P,) int32: grouped by offset, ascending. counts: number of pairs of each offset, K ints.
    ends (K,) int32: where the pairs of each offset end; the same as `counts`, for the device.
    by_target, by_source: the same pairs grouped by row, for sums instead of scattered additions.
    centre: the offset under which every row meets itself. Its pairs are not listed. None for an even kernel.

    Offsets are numbered as in an array (3,3,3) or (2,2,2) over (x, y, z), z fastest.
    """

    source: Tensor
    target: Tensor
    counts: tuple[int, ...]
    ends: Tensor
    by_target: CsrPairs
    by_source: CsrPairs
    centre: int | None = None

    def transposed(self) -> KernelMap:
        """The same pairs with inputs and outputs exchanged."""
        by_target, by_source = self.by_source, self.by_target
        return KernelMap(self.target, self.source, self.counts, self.ends, by_target, by_source, self.centre)


@dataclass(frozen=True)
class FirstScans:
    """The scans of a batch whose batch-norm statistics are kept apart from those of the rest.

    scans: these are the scans with a number below that. rows: their voxels on each level; they come first.
    """

    scans: int
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class KernelPyramid:
    """Coordinates and kernel maps of every level. Level 0 has the given voxels, in their order.

    coords: per level (M_l,4) int32 of (batch, x, y, z), in voxels of that level. An edge doubles per level.
    submanifold: per level l the 3x3x3 map from l to l.
    stride: per level l but the last the 2x2x2 map from l to l + 1.
    unbuilt: how many levels are still to be built, with all maps: see `unbuilt_pyramid`. 0: none.
    first: the scans that batch norm keeps apart; None: all scans share their statistics.

    All tensors are moved as one: between processes, to a device, and into a file.
    """

    coords: tuple[Tensor, ...]
    submanifold: tuple[KernelMap, ...]
    stride: tuple[KernelMap, ...]
    unbuilt: int = 0
    first: FirstScans | None = None

    @property
    def levels(self) -> int:
        """How many levels the maps have, or will have once they are built."""
        return self.unbuilt or len(self.coords)

    @property
    def first_scans(self) -> int | None:
        """How many scans batch norm keeps apart; None: all share their statistics."""
        return None if self.first is None else self.first.scans

    @property
    def first_rows(self) -> tuple[int | None, ...]:
        """The rows of each level that batch norm keeps apart; None: all share their statistics."""
        return (None,) * self.levels if self.first is None else self.first.rows

    def to(self, device: torch.device | str, non_blocking: bool = False) -> KernelPyramid:
        """The same pyramid on `device`, moved by one copy; built there if it is not yet built."""
        if self.unbuilt:
            coords = self.coords[0].to(device, non_blocking=non_blocking)
            return build_pyramid(coords, self.levels, self.first_scans)
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


def build_pyramid(coords: Tensor, levels: int, first_scans: int | None = None) -> KernelPyramid:
    """Build `levels` levels over coords (M,4) int32 of (batch, x, y, z), in any order.

    The parent of a voxel is floor(coordinate / 2), also for negative coordinates. The rows of coarser levels
    are sorted. On a GPU the program waits once, for the sizes of all levels.
    first_scans: batch norm keeps the scans with a number below that apart; their rows must come first.
    Raises DataError if two rows are equal or the occupied box is too large.
    """
    # No voxels: nothing to wait for.
    on_host = coords.device.type == "cpu" or not len(coords)
    if on_host:
        return pyramid_of(pairs_on_host(coords, levels, first_scans), offsets_on_host, first_scans)
    return pyramid_of(pairs_on_device(coords, levels, first_scans), offsets_on_device, first_scans)


def pyramid_of_rest(pyramid: KernelPyramid) -> KernelPyramid:
    """The pyramid of the scans behind the first ones, numbered from 0. Its rows keep their order.

    pyramid: built, with `first`.
    """
    assert pyramid.first is not None
    coords = pyramid.coords[0][pyramid.first.rows[0] :].clone()
    coords[:, 0] -= pyramid.first.scans
    return build_pyramid(coords, pyramid.levels)


def unbuilt_pyramid(coords: Tensor, levels: int, first_scans: int | None = None) -> KernelPyramid:
    """Level 0 alone, coords (M,4) int32. `to` builds all `levels` levels, on the device that uses them.

    So a loader sends coordinates, which are a fraction of the maps. first_scans: as in `build_pyramid`.
    """
    first = None if first_scans is None else FirstScans(first_scans)
    return KernelPyramid((coords,), (), (), unbuilt=levels, first=first)


def pyramid_of(
    levels: Iterable[LevelPairs], offsets_of: RowOffsets, first_scans: int | None = None
) -> KernelPyramid:
    """The pyramid of these levels, the finest first.

    offsets_of: see `offsets_on_host`. first_scans: that the levels were built with.
    """
    all_coords, submanifold, stride, rows, born = [], [], [], [], None
    for level in levels:
        if born is not None:
            stride.append(_stride_map(born, len(all_coords[-1]), len(level.coords), offsets_of))
        all_coords.append(level.coords)
        submanifold.append(_submanifold_map(level, offsets_of))
        rows.append(level.first_rows)
        born = level.children
    first = None if first_scans is None else FirstScans(first_scans, tuple(rows))
    return KernelPyramid(tuple(all_coords), tuple(submanifold), tuple(stride), first=first)


def _submanifold_map(level: LevelPairs, offsets_of: RowOffsets) -> KernelMap:
    """The 3x3x3 map of the voxels of a level onto themselves."""
    target, source, counts = level.target, level.source, level.sizes
    half, device = len(target), target.device
    # The other half is the mirror image.
    mirrored = torch.cat(torch.arange(half, device=device).split(counts)[::-1])
    both_source = torch.cat([target[mirrored], source])
    both_target = torch.cat([source[mirrored], target])
    mirror = torch.empty(2 * half, dtype=torch.int32, device=device)
    mirror[:half] = (mirrored + half).int()
    mirror[mirrored + half] = torch.arange(half, dtype=torch.int32, device=device)
    by_target = _group_by_row(both_target, len(level.coords), offsets_of)
    # The mirror of the pair (k, source, target) is (26 - k, target, source), so no second sort is needed.
    by_source = CsrPairs(mirror[by_target.positions], by_target.offsets)
    all_counts = (*counts[::-1], 0, *counts)
    centre = torch.zeros_like(level.counts[:1])
    ends = torch.cat([level.counts.flip(0), centre, level.counts]).cumsum(0, dtype=torch.int32)
    return KernelMap(both_source, both_target, all_counts, ends, by_target, by_source, CENTRE)


def _stride_map(children: Children, fine: int, coarse: int, offsets_of: RowOffsets) -> KernelMap:
    """The 2x2x2 map from a level of `fine` voxels to the next of `coarse`; voxels are octants of a parent."""
    source, target = children.child, children.parent
    ends = children.counts.cumsum(0, dtype=torch.int32)
    by_target = _group_by_row(target, coarse, offsets_of)
    by_source = _group_by_row(source, fine, offsets_of)
    return KernelMap(source, target, children.sizes, ends, by_target, by_source)


def _group_by_row(row: Tensor, rows: int, offsets_of: RowOffsets) -> CsrPairs:
    """Group the P pairs by their row (P,) int32. Pairs of one row keep their order."""
    ordered, positions = row.sort(stable=True)
    return CsrPairs(positions.int(), offsets_of(row, ordered, rows))
