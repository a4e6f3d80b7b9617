"""Geometric augmentation of one scan. Pure functions: every draw comes from the generator that is passed in.

Nothing here touches which image or entity a point is paired with: those are indices in raw point order.
Letters: N points of the scan, K of them kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges of the random draws. The defaults are LaserMix's outdoor recipe for MinkUNet."""

    yaw_rad: float = np.pi  # turn about +z by an angle in [-yaw_rad, yaw_rad]
    flip: float = 0.5  # probability of mirroring x, and the same again of mirroring y
    scale: float = 0.05  # all coordinates times a factor in [1 - scale, 1 + scale]
    shift_m: float = 0.1  # standard deviation of one offset of the whole scan, per axis, metres
    jitter_m: float = 0.0  # standard deviation of an offset per point and axis, metres
    keep: float = 1.0  # share of the points that is kept, at random
    max_points: int = 0  # at most so many points are kept, at random; 0 = no limit

    def __post_init__(self) -> None:
        if not (0 <= self.flip <= 1 and 0 < self.keep <= 1):
            raise ValueError(f"flip must lie in [0, 1] and keep in (0, 1], got {self.flip} and {self.keep}")
        if not 0 <= self.scale < 1:
            raise ValueError(f"scale must lie in [0, 1), got {self.scale}")
        if min(self.yaw_rad, self.shift_m, self.jitter_m, self.max_points) < 0:
            raise ValueError("yaw_rad, shift_m, jitter_m and max_points must not be negative")


def augmented(points: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """points (N,3) float32 metres, turned, mirrored, scaled, shifted and jittered; same shape, same order."""
    turn = yaw(rng.uniform(-config.yaw_rad, config.yaw_rad)) @ mirror(rng.random(2) < config.flip)
    factor = rng.uniform(1 - config.scale, 1 + config.scale)
    offset = rng.normal(0.0, config.shift_m, 3)
    moved = points @ (factor * turn).T.astype(np.float32) + offset.astype(np.float32)
    return moved + jitter(points.shape, config.jitter_m, rng) if config.jitter_m else moved


def kept(count: int, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Which of `count` points stay: ascending indices (K,) int64, at least one where there is any."""
    share = max(round(count * config.keep), min(count, 1))
    target = min(share, config.max_points) if config.max_points else share
    if target == count:
        return np.arange(count)
    return np.sort(rng.choice(count, target, replace=False))


def yaw(angle: float) -> np.ndarray:
    """The rotation (3,3) float64 about +z by `angle` radians, counter-clockwise seen from above."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def mirror(flips: np.ndarray) -> np.ndarray:
    """The mirroring (3,3) float64 of x and of y where flips (2,) bool says so."""
    return np.diag([-1.0 if flips[0] else 1.0, -1.0 if flips[1] else 1.0, 1.0])


def jitter(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Independent offsets of `shape`, float32, cut at three sigma so that points stay where they are."""
    return np.clip(rng.normal(0.0, sigma, shape), -3 * sigma, 3 * sigma).astype(np.float32)
