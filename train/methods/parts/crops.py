"""Overlapping crops of a voxelised scan. They are turned by quarters, so voxels stay voxels.

Letters: M voxels of the scan, K voxels in a crop, F features. The first three features are x, y, z in metres.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from train.methods.contract import SemiBatch


class Crop(NamedTuple):
    """Voxels of a batch. rows (K,) int64: their rows in it. coords (K,4) int32. features (K,F)."""

    rows: Tensor
    coords: Tensor
    features: Tensor

    def at(self, chosen: Tensor) -> Crop:
        """The voxels at a mask or at places."""
        return Crop(*(column[chosen] for column in self))

    @staticmethod
    def concat(crops: Iterable[Crop]) -> Crop:
        return Crop(*(torch.cat(columns) for columns in zip(*crops)))


def crop_of(batch: SemiBatch, chosen: slice) -> Crop:
    """The rows `chosen` of a batch, as a scan or all labelled scans have them."""
    coords = batch.pyramid.coords[0]
    return Crop(
        torch.arange(len(coords), device=coords.device)[chosen], coords[chosen], batch.features[chosen]
    )


def two_fans(scan: Crop, fan_deg: tuple[float, float], rng: np.random.Generator) -> tuple[Crop, Crop]:
    """Cut two sectors about the sensor, at the origin, with angles in `fan_deg`; turn each at random.

    As in GPC, both contain one voxel that is drawn at random, so they overlap.
    """
    azimuth = torch.atan2(scan.coords[:, 2] + 0.5, scan.coords[:, 1] + 0.5)
    shared = azimuth[rng.integers(len(azimuth))]

    def fan() -> Crop:
        half = np.deg2rad(rng.uniform(*fan_deg)) / 2
        away = azimuth - shared - rng.uniform(-half, half)
        inside = torch.atan2(away.sin(), away.cos()).abs() <= half + 1e-6
        return _turned(scan.at(inside), rng)

    return fan(), fan()


def two_windows(scan: Crop, share: float, rng: np.random.Generator) -> tuple[Crop, Crop]:
    """Cut two windows in x and y of `share` of the scan's extent; turn each, then count from its corner.

    As in GPC, both contain one voxel that is drawn at random, and lie within the scan's extent.
    """
    plane = scan.coords[:, 1:3].double().cpu().numpy()
    low, high = plane.min(axis=0), plane.max(axis=0)
    edge = share * (high - low)
    shared = plane[rng.integers(len(plane))]

    def window() -> Crop:
        corner = rng.uniform(np.maximum(low, shared - edge), np.minimum(high - edge, shared))
        inside = ((plane >= corner - 1e-6) & (plane <= corner + edge + 1e-6)).all(axis=1)
        return _from_corner(_turned(scan.at(torch.from_numpy(inside).to(scan.coords.device)), rng))

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
