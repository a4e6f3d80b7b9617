"""Overlapping crops of a voxelised scan. They are turned by quarters, so voxels stay voxels.

Letters: M voxels of the scan, K voxels in a crop, F features. The first three features are x, y, z in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Crop:
    """The voxels of a crop. rows (K,) int64: their rows in the scan. coords (K,4) int32. features (K,F)."""

    rows: Tensor
    coords: Tensor
    features: Tensor

    @staticmethod
    def concat(crops: Sequence[Crop]) -> Crop:
        """All crops in one."""
        return Crop(
            torch.cat([crop.rows for crop in crops]),
            torch.cat([crop.coords for crop in crops]),
            torch.cat([crop.features for crop in crops]),
        )


def two_fans(
    coords: Tensor, features: Tensor, rows: Tensor, fan_deg: tuple[float, float], rng: np.random.Generator
) -> tuple[Crop, Crop]:
    """Cut two sectors about the sensor, at the origin, with angles in `fan_deg`; turn each at random.

    coords (M,4) int32, features (M,F), rows (M,): of one scan.
    As in GPC, both contain one voxel that is drawn at random, so they overlap.
    """
    azimuth = torch.atan2(coords[:, 2] + 0.5, coords[:, 1] + 0.5)
    shared = azimuth[rng.integers(len(coords))]

    def fan() -> Crop:
        half = np.deg2rad(rng.uniform(*fan_deg)) / 2
        away = azimuth - shared - rng.uniform(-half, half)
        inside = torch.atan2(away.sin(), away.cos()).abs() <= half + 1e-6
        return _turned(Crop(rows[inside], coords[inside], features[inside]), rng)

    return fan(), fan()


def two_windows(
    coords: Tensor, features: Tensor, rows: Tensor, share: float, rng: np.random.Generator
) -> tuple[Crop, Crop]:
    """Cut two windows in x and y of `share` of the scan's extent; turn each, then count from its corner.

    coords (M,4) int32, features (M,F), rows (M,): of one scan.
    As in GPC, both contain one voxel that is drawn at random, and lie within the scan's extent.
    """
    plane = coords[:, 1:3].double().cpu().numpy()
    low, high = plane.min(axis=0), plane.max(axis=0)
    edge = share * (high - low)
    shared = plane[rng.integers(len(plane))]

    def window() -> Crop:
        corner = rng.uniform(np.maximum(low, shared - edge), np.minimum(high - edge, shared))
        inside = ((plane >= corner - 1e-6) & (plane <= corner + edge + 1e-6)).all(axis=1)
        mask = torch.from_numpy(inside).to(coords.device)
        return _from_corner(_turned(Crop(rows[mask], coords[mask], features[mask]), rng))

    return window(), window()


def quarter_turned(crop: Crop, turns: int) -> Crop:
    """Turn `crop` counterclockwise about +z by quarter turns. Voxel v covers [v, v + 1)."""
    coords, features = crop.coords.clone(), crop.features.clone()
    for _ in range(turns % 4):
        coords[:, 1], coords[:, 2] = -1 - coords[:, 2], coords[:, 1].clone()
        features[:, 0], features[:, 1] = -features[:, 1], features[:, 0].clone()
    return Crop(crop.rows, coords, features)


def _turned(crop: Crop, rng: np.random.Generator) -> Crop:
    """Turn by zero to three quarters about +z and mirror x, both at random."""
    turned = quarter_turned(crop, int(rng.integers(4)))
    if rng.random() < 0.5:
        turned.coords[:, 1] = -1 - turned.coords[:, 1]
        turned.features[:, 0] = -turned.features[:, 0]
    return turned


def _from_corner(crop: Crop) -> Crop:
    """Move the least x and y to 0, in voxels and in metres."""
    coords, features = crop.coords.clone(), crop.features.clone()
    coords[:, 1:3] -= coords[:, 1:3].amin(dim=0)
    features[:, :2] -= features[:, :2].amin(dim=0)
    return Crop(crop.rows, coords, features)
