"""Points to voxels and back: quantisation, pooling of features and labels, batch collation.

Meant for loader workers on a CPU; every device works. The order of all operations is fixed.
Letters: N points, M voxels, F features, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE

_INT32 = torch.iinfo(torch.int32)
_INT64_MAX = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Voxels:
    """The occupied voxels of one scan, sorted by (x, y, z).

    coords (M,3) int32: voxel v covers [v, v + 1) * size metres.
    inverse (N,) int64: the voxel of each point. first (M,) int64: the first point of each voxel.
    """

    coords: Tensor
    inverse: Tensor
    first: Tensor


def voxelise(points: Tensor, size: float) -> Voxels:
    """Group points (N,3) float32 by the cube of edge `size` that holds them. Both in metres, any frame.

    Raises DataError for points that are not finite or do not fit into int32 voxel coordinates, and for a
    size that is not positive.
    """
    if not (size > 0 and math.isfinite(size)):
        raise DataError(f"voxel size {size} m is not a positive number; set one")
    quotient = torch.floor(points.double() / size)  # float64: the same result on every device
    fits = (quotient >= _INT32.min) & (quotient <= _INT32.max)  # false for NaN
    bad = ~fits.all(dim=1)
    if bad.any():
        row = int(bad.nonzero()[0])
        point = f"point {row} ({', '.join(f'{value:g}' for value in points[row].tolist())})"
        raise DataError(f"{point} is not finite or too far away for voxels of {size} m; drop such points")
    coords = quotient.to(torch.int32)
    keys, order = lattice_keys(coords).sort(stable=True)
    starts = run_starts(keys)
    inverse = torch.empty_like(order)
    inverse[order] = starts.cumsum(0) - 1
    first = order[starts]
    return Voxels(coords[first], inverse, first)


def mean_by_voxel(features: Tensor, voxels: Voxels) -> Tensor:
    """features (N,F) averaged over the points of each voxel, (M,F)."""
    sums = features.new_zeros(len(voxels.coords), features.shape[1]).index_add_(0, voxels.inverse, features)
    counts = torch.bincount(voxels.inverse, minlength=len(voxels.coords))
    return sums / counts.to(features.dtype)[:, None]


def majority_label(labels: Tensor, voxels: Voxels, num_classes: int, ignore: int = IGNORE) -> Tensor:
    """The commonest label of each voxel's points, (M,) int64. The smallest id wins a tie.

    labels (N,) int64: train ids in [0, num_classes) or `ignore`. Ignored points do not vote. A voxel without
    a vote is `ignore`. Raises DataError for any other label.
    """
    votes = labels != ignore
    ids = labels[votes]
    if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < num_classes):
        lowest, highest = int(ids.min()), int(ids.max())
        raise DataError(f"labels reach from {lowest} to {highest}, not within 0..{num_classes - 1}")
    ballots = voxels.inverse[votes] * num_classes + ids
    tally = torch.bincount(ballots, minlength=len(voxels.coords) * num_classes).view(-1, num_classes)
    most, label = tally.max(dim=1) if len(tally) else (labels[:0], labels[:0])
    return torch.where(most > 0, label, ignore)


def first_point(valid: Tensor, voxels: Voxels) -> Tensor:
    """The first valid point of each voxel, (M,) int64; N if there is none. valid (N,) bool."""
    count = len(valid)
    point = torch.arange(count, device=valid.device)
    earliest = point.new_full((len(voxels.coords),), count)
    return earliest.scatter_reduce_(0, voxels.inverse[valid], point[valid], "amin")


def first_valid(indices: Tensor, voxels: Voxels) -> Tensor:
    """The first valid index among each voxel's points, (M,) of the same dtype; -1 if there is none.

    indices (N,) integer: the slot or row of each point's text, -1 for none.
    Decision: the first, not the majority. It costs one pass, and few voxels have points with different texts.
    """
    return torch.cat([indices, indices.new_full((1,), -1)])[first_point(indices >= 0, voxels)]


def collate(coords: Sequence[Tensor]) -> Tensor:
    """The voxel coordinates (M_i,3) int32 of several scans as one (sum M_i, 4) int32 of (batch, x, y, z)."""
    if not coords:
        return torch.empty(0, 4, dtype=torch.int32)
    return torch.cat([nn.functional.pad(scan, (1, 0), value=batch) for batch, scan in enumerate(coords)])


def lattice_keys(coords: Tensor, margin: int = 0) -> Tensor:
    """One int64 key per row of coords (M,D) int32. Keys sort as the rows sort lexicographically.

    A move along one of the last three axes by at most `margin` adds a constant to the key, see
    `lattice_steps`. The sum is never the key of another occupied row by wrapping around.
    Raises DataError if the occupied box is too large for int64.
    """
    keys = torch.zeros(len(coords), dtype=torch.int64, device=coords.device)
    if not len(coords):
        return keys
    lows = coords.amin(dim=0).tolist()
    for axis, step in enumerate(lattice_steps(coords, margin)):
        keys += (coords[:, axis].to(torch.int64) - lows[axis]) * step
    return keys


def lattice_steps(coords: Tensor, margin: int = 0) -> list[int]:
    """The number that one step along each axis adds to a key of `lattice_keys`, D ints."""
    if not len(coords):
        return [0] * coords.shape[1]
    spans = (coords.amax(dim=0).to(torch.int64) - coords.amin(dim=0).to(torch.int64) + 1 + margin).tolist()
    require_countable(spans)
    return [math.prod(spans[axis + 1 :]) for axis in range(len(spans))]


def require_countable(spans: Sequence[int]) -> None:
    """Raises DataError if a box of spans[i] cells along axis i has more cells than int64 keys."""
    if math.prod(spans) > _INT64_MAX // 2:
        cells = " x ".join(map(str, spans))
        raise DataError(f"voxels span {cells} cells, too many; crop the scan or use larger ones")


def run_starts(keys: Tensor) -> Tensor:
    """Whether each of the sorted keys (M,) differs from the one before it, (M,) bool."""
    starts = torch.ones(len(keys), dtype=torch.bool, device=keys.device)
    torch.ne(keys[1:], keys[:-1], out=starts[1:])
    return starts
