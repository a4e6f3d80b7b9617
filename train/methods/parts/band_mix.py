"""A labelled and an unlabelled scan exchange bands of laser beams (LaserMix, Kong et al., CVPR 2023).

    inclination phi = atan2(z, sqrt(x^2 + y^2)), clamped to pitch_deg
    m bands of equal angle, m drawn from `areas` for every pair of a labelled and an unlabelled scan
    mix 1 = even bands of the labelled scan + odd bands of the unlabelled one, mix 2 = the other halves

For spinning LiDAR, whose frame starts at the sensor.
Letters: M voxels of the batch, K voxels in a mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.settings import SETTINGS
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from train.methods.contract import BatchCounts, SemiBatch

SEMANTICKITTI_PITCH_DEG = (-25.0, 3.0)  # lowest and highest inclination of its sensor


@dataclass(frozen=True, config=SETTINGS)
class BandMixConfig:
    """Mixed scans beside another objective. The values are LaserMix's for voxels."""

    weight: NonNegativeFloat = 0.0  # of the mixed scans' cross-entropy; 0 = off
    areas: tuple[int, ...] = (3, 4, 5, 6)
    pitch_deg: tuple[float, float] = SEMANTICKITTI_PITCH_DEG
    seed: NonNegativeInt = 0  # of the numbers of bands

    def __post_init__(self) -> None:
        check_bands(self.areas, self.pitch_deg)


def check_bands(areas: Sequence[int], pitch_deg: tuple[float, float]) -> None:
    if not areas or min(areas) < 1:
        raise ValueError(f"areas must be numbers of at least 1, got {areas}")
    if not -90 <= pitch_deg[0] < pitch_deg[1] <= 90:
        raise ValueError(f"pitch_deg must rise within [-90, 90], got {pitch_deg}")


class Mixed(NamedTuple):
    """Mixed scans. rows (K,) int64: their voxels of the batch. coords (K,4) int32: (mix, x, y, z)."""

    rows: Tensor
    coords: Tensor


class Pair(NamedTuple):
    """A labelled and an unlabelled scan, by their rows in the batch, and the number of their bands."""

    labelled: slice
    unlabelled: slice
    areas: int


def mixed(coords: Tensor, pairs: Sequence[Pair], pitch_deg: tuple[float, float]) -> Mixed:
    """Make the mixes 2p and 2p + 1 of every pair p. A voxel is in one of the two mixes of its pair.

    coords (M,4) int32. pairs: from `pairs_of`. The voxels keep their order.
    """
    places = torch.arange(len(coords), device=coords.device)
    # In the order of the rows: the labelled scans of all pairs come before the unlabelled ones.
    sides = sorted((side, number) for number in range(len(pairs)) for side in (0, 1))
    rows, mixes = [places[:0]], [places[:0]]
    for side, number in sides:
        scan = pairs[number][side]
        odd = bands(coords[scan], pairs[number].areas, pitch_deg) % 2 == 1
        rows.append(places[scan])
        mixes.append(2 * number + (odd if side == 0 else ~odd).long())
    chosen = torch.cat(rows)
    return Mixed(chosen, torch.cat([torch.cat(mixes).int().unsqueeze(1), coords[chosen, 1:]], dim=1))


def mixed_scans(batch: SemiBatch, config: Any, step: int) -> tuple[Tensor, Tensor, KernelPyramid]:
    """The mixed scans of a batch: the rows (K,) of their voxels in it, the features (K,F), the pyramid.

    config: has areas, pitch_deg and seed.
    """
    pairs = pairs_of(batch.counts, config.areas, config.seed, step)
    mix = mixed(batch.pyramid.coords[0], pairs, config.pitch_deg)
    return mix.rows, batch.features[mix.rows], build_pyramid(mix.coords, batch.pyramid.levels)


def pairs_of(counts: BatchCounts, areas: Sequence[int], seed: int, step: int) -> list[Pair]:
    """Pair the scans and draw a number of bands for each pair.

    Decision: the n-th labelled scan is mixed with the n-th unlabelled one. A scan without a partner is not
    mixed.
    """
    rows = counts.rows
    # Seeded by the scan: processes that share a batch draw the same numbers as one process.
    return [
        Pair(rows[one], rows[other], int(np.random.default_rng((seed, step, one)).choice(areas)))
        for one, other in counts.pairs
    ]


def bands(coords: Tensor, areas: int, pitch_deg: tuple[float, float]) -> Tensor:
    """The band (N,) int64 of each voxel of a scan that is cut into `areas` bands; band 0 is the topmost.

    coords (N,4).
    Decision: a voxel's band is decided by the inclination of its centre. It depends only on the voxel's
    position, so the two scans never contribute the same voxel. It is an angle, so it does not depend on the
    voxel size.
    """
    x, y, z = (coords[:, 1:].double() + 0.5).unbind(dim=1)
    inclination = torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))
    low, high = pitch_deg
    share = (high - inclination) / (high - low)
    return (share * areas).floor().long().clamp(min=0, max=areas - 1)
