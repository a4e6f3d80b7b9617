"""Bands of laser beams of a labelled and an unlabelled scan, exchanged (LaserMix, Kong et al., CVPR 2023).

    inclination phi = atan2(z, sqrt(x^2 + y^2)), clamped to pitch_deg
    m bands of equal angle, m drawn from `areas` for every pair of a labelled and an unlabelled scan
    mix 1 = even bands of the labelled scan + odd bands of the unlabelled one, mix 2 = the other halves

For spinning LiDAR, whose frame starts at the sensor. Letters: M voxels of the batch, K in a mix, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SEMANTICKITTI_PITCH_DEG = (-25.0, 3.0)
"""Lowest and highest inclination of its sensor."""


@dataclass(frozen=True)
class BandMixConfig:
    """Bands mixed beside another objective; see the module. The values are LaserMix's for voxels."""

    weight: float = 0.0  # of the mixed scans' cross-entropy; 0 = off
    areas: tuple[int, ...] = (3, 4, 5, 6)
    pitch_deg: tuple[float, float] = SEMANTICKITTI_PITCH_DEG
    seed: int = 0  # of the numbers of bands

    def __post_init__(self) -> None:
        check_bands(self.areas, self.pitch_deg)
        for name in ("weight", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


def check_bands(areas: Sequence[int], pitch_deg: tuple[float, float]) -> None:
    """Raises ValueError for numbers that cut no scan."""
    if not areas or min(areas) < 1:
        raise ValueError(f"areas must be numbers of at least 1, got {areas}")
    if not -90 <= pitch_deg[0] < pitch_deg[1] <= 90:
        raise ValueError(f"pitch_deg must rise within [-90, 90], got {pitch_deg}")


@dataclass(frozen=True)
class Mixed:
    """rows (K,) int64: the voxels of the batch that are in a mix. coords (K,4) int32: (mix, x, y, z)."""

    rows: Tensor
    coords: Tensor


def mixed(
    coords: Tensor, pair: Tensor, areas: Tensor, is_labelled: Tensor, pitch_deg: tuple[float, float]
) -> Mixed:
    """The mixes 2p and 2p + 1 of every pair p. coords (M,4), is_labelled (M,) bool; pair, areas: `pairs_of`.

    A voxel is in one of the two mixes of its pair: mixing is giving the voxels other scan numbers.
    """
    rows = (pair >= 0).nonzero().squeeze(1)
    odd = bands(coords[rows], areas[pair[rows]], pitch_deg) % 2 == 1
    in_second = odd == is_labelled[rows]
    return Mixed(rows, torch.cat([(2 * pair[rows] + in_second).int().unsqueeze(1), coords[rows, 1:]], dim=1))


def pairs_of(
    scan: Tensor, is_labelled: Tensor, areas: Sequence[int], seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """The pair of each voxel (M,) int64, -1 none; the number of bands of each pair (P,) int64.

    scan (M,): slot of each voxel's scan in the batch. Decision: the n-th labelled scan is mixed with the n-th
    unlabelled one; a scan without a partner is not mixed. The draw hangs on the slot of the labelled scan:
    processes that share a batch draw as one does.
    """
    pair = torch.full_like(scan, -1)
    slots = [scan[kind].unique().tolist() for kind in (is_labelled, ~is_labelled)]
    drawn = []
    for number, (labelled, unlabelled) in enumerate(zip(*slots)):
        pair[(scan == labelled) | (scan == unlabelled)] = number
        rng = np.random.default_rng((seed, step, labelled))
        drawn.append(int(rng.choice(areas)))
    return pair, torch.tensor(drawn, dtype=torch.int64, device=pair.device)


def bands(coords: Tensor, areas: Tensor, pitch_deg: tuple[float, float]) -> Tensor:
    """The band (N,) int64 of voxels coords (N,4), where a voxel's scan has areas (N,); band 0 is topmost.

    Decision: the inclination is that of the voxel's centre. It hangs on the place alone, so that two scans
    never bring the same voxel into one mix, and as a ratio it needs no voxel size.
    """
    x, y, z = (coords[:, 1:].double() + 0.5).unbind(dim=1)
    inclination = torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))
    low, high = pitch_deg
    share = (high - inclination) / (high - low)
    return (share * areas).floor().long().clamp(min=0).minimum(areas - 1)
