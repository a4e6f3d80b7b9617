"""Augmentation of one scan: pure functions, which draw from the generator that is passed in.

A point keeps its image and its entity: they are paired with it by index, in raw point order.
Letters: N points of the scan, K of them kept, F features of a point.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from lass3d_core.settings import SETTINGS
from train.data.elastic import elastic_offsets

Spacing = Annotated[float, Field(gt=0)]
Magnitude = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, config=SETTINGS)
class AugmentConfig:
    """Ranges of the random draws; 0 for none. train/presets has the values of the published recipes.

    deviation: the standard deviation of normal draws, in the unit of what they are added to.
    """

    yaw_rad: float = Field(default=np.pi, ge=0)  # turn about +z by an angle in [-yaw_rad, yaw_rad]
    flip: float = Field(default=0.5, ge=0, le=1)  # probability of mirroring x, and again of mirroring y
    scale: float = Field(default=0.05, ge=0, lt=1)  # times a factor in [1 - scale, 1 + scale]
    distort: float = Field(default=0.0, ge=0)  # deviation of draws added to the identity (3,3)
    shift_m: float = Field(default=0.1, ge=0)  # deviation of one offset of the whole scan, per axis, metres
    elastic_m: tuple[tuple[Spacing, Magnitude], ...] = ()  # elastic fields: (node spacing, magnitude), metres
    jitter_m: float = Field(default=0.0, ge=0)  # deviation of an offset per point and axis, metres
    tint: float = Field(default=0.0, ge=0)  # deviation of one offset of each feature of the whole scan
    crop_m: float = Field(default=0.0, ge=0)  # edge of the square window in x and y, metres; 0 = whole scan
    keep: float = Field(default=1.0, gt=0, le=1)  # share of the points that is kept, at random
    max_points: int = Field(default=0, ge=0)  # at most so many points are kept, at random; 0 = no limit


def keep_indices(points: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Choose which points (N,3) stay: ascending indices (K,) int64, at least one unless the scan is empty."""
    inside = window(points, config.crop_m, rng) if config.crop_m else np.arange(len(points))
    count = len(inside)
    share = max(round(count * config.keep), min(count, 1))
    target = min(share, config.max_points) if config.max_points else share
    if target == count:
        return inside
    return inside[np.sort(rng.choice(count, target, replace=False))]


def window(points: np.ndarray, edge: float, rng: np.random.Generator) -> np.ndarray:
    """Choose the points (N,3) in a square window of `edge` metres in x and y, as GPC does.

    Returns ascending indices (K,) int64. If the scan is smaller than the window, all of it is inside.
    """
    if not len(points):
        return np.arange(0)
    plane = points[:, :2].astype(np.float64)
    low, high = plane.min(0), plane.max(0)
    # Centred at a point of the scan: dense places are chosen more often.
    centre = plane[rng.integers(len(points))]
    # Moved into the scan's extent: no window is half empty.
    centre = np.clip(centre, low + edge / 2, np.maximum(high - edge / 2, low + edge / 2))
    return np.flatnonzero((np.abs(plane - centre) <= edge / 2 + 1e-6).all(axis=1))


def augmented(points: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Move points (N,3) float32, metres, by every draw of `config`; same shape, same order."""
    turn = yaw(rng.uniform(-config.yaw_rad, config.yaw_rad)) @ mirror(rng.random(2) < config.flip)
    factor = rng.uniform(1 - config.scale, 1 + config.scale)
    offset = rng.normal(0.0, config.shift_m, 3)
    if config.distort:
        turn = turn @ distortion(config.distort, rng)
    moved = points @ (factor * turn).T.astype(np.float32) + offset.astype(np.float32)
    for spacing, magnitude in config.elastic_m:
        moved = moved + elastic_offsets(moved, spacing, magnitude, rng)
    return moved + jitter(points.shape, config.jitter_m, rng) if config.jitter_m else moved


def shift_features(features: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Shift each feature (N,F) by one draw for the whole scan. Returns float32."""
    shown = features.astype(np.float32)
    if not config.tint:
        return shown
    return shown + rng.normal(0.0, config.tint, shown.shape[1:]).astype(np.float32)


def yaw(angle: float) -> np.ndarray:
    """The rotation (3,3) float64 about +z by `angle` radians, counter-clockwise from above."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def mirror(flips: np.ndarray) -> np.ndarray:
    """The mirroring (3,3) float64 of x if flips[0], and of y if flips[1]; flips (2,) bool."""
    return np.diag([-1.0 if flips[0] else 1.0, -1.0 if flips[1] else 1.0, 1.0])


def distortion(sigma: float, rng: np.random.Generator) -> np.ndarray:
    """The identity plus normal noise of standard deviation `sigma`, (3,3) float64."""
    return np.eye(3) + rng.normal(0.0, sigma, (3, 3))


def jitter(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Independent offsets of `shape`, float32."""
    # Cut at three sigma: no point is moved far away.
    return np.clip(rng.normal(0.0, sigma, shape), -3 * sigma, 3 * sigma).astype(np.float32)
