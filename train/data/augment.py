"""Augmentation of one scan: pure functions, which draw from the generator that is passed in.

Nothing here changes the image or the entity of a point.
Letters: N points of the scan, K of them kept, F features of a point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.data.elastic import elastic_offsets


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges of the random draws, 0 for none. train/presets has those of the published recipes."""

    yaw_rad: float = np.pi  # turn about +z by an angle in [-yaw_rad, yaw_rad]
    flip: float = 0.5  # probability of mirroring x, and the same again of mirroring y
    scale: float = 0.05  # all coordinates times a factor in [1 - scale, 1 + scale]
    distort: float = 0.0  # standard deviation of draws added to the identity (3,3): shears and squeezes
    shift_m: float = 0.1  # standard deviation of one offset of the whole scan, per axis, metres
    elastic_m: tuple[tuple[float, float], ...] = ()  # elastic fields: (node spacing, magnitude), metres
    jitter_m: float = 0.0  # standard deviation of an offset per point and axis, metres
    tint: float = 0.0  # standard deviation of one offset of each feature of the whole scan, in its own unit
    crop_m: float = 0.0  # edge of the square window, in x and y, that is cut out; 0 = the whole scan
    keep: float = 1.0  # share of the points that is kept, at random
    max_points: int = 0  # at most so many points are kept, at random; 0 = no limit

    def __post_init__(self) -> None:
        if not (0 <= self.flip <= 1 and 0 < self.keep <= 1):
            raise ValueError(f"flip must lie in [0, 1] and keep in (0, 1], got {self.flip} and {self.keep}")
        if not 0 <= self.scale < 1:
            raise ValueError(f"scale must lie in [0, 1), got {self.scale}")
        for name in ("yaw_rad", "distort", "shift_m", "jitter_m", "tint", "crop_m", "max_points"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if any(spacing <= 0 or magnitude < 0 for spacing, magnitude in self.elastic_m):
            raise ValueError(f"elastic_m needs spacings > 0 and magnitudes >= 0, got {self.elastic_m}")


def keep_indices(points: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """The indices of the points (N,3) that are kept, (K,) int64 ascending. At least one of any points."""
    inside = window(points, config.crop_m, rng) if config.crop_m else np.arange(len(points))
    count = len(inside)
    share = max(round(count * config.keep), min(count, 1))
    target = min(share, config.max_points) if config.max_points else share
    if target == count:
        return inside
    return inside[np.sort(rng.choice(count, target, replace=False))]


def window(points: np.ndarray, edge: float, rng: np.random.Generator) -> np.ndarray:
    """The points (N,3) in a random square window of `edge` metres in x and y: ascending indices (K,) int64.

    As in GPC, the window is centred at a random point, so that dense regions are likelier. It is then moved
    into the extent of the scan, so that it is not half empty. A scan that is smaller than the window is
    inside as a whole.
    """
    if not len(points):
        return np.arange(0)
    plane = points[:, :2].astype(np.float64)
    low, high = plane.min(0), plane.max(0)
    centre = plane[rng.integers(len(points))]
    centre = np.clip(centre, low + edge / 2, np.maximum(high - edge / 2, low + edge / 2))
    return np.flatnonzero((np.abs(plane - centre) <= edge / 2 + 1e-6).all(axis=1))


def augmented(points: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """points (N,3) float32 metres, moved as `config` says. Same shape, same order."""
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
    """features (N,F) of any floating type, each column shifted by one random offset, (N,F) float32."""
    shown = features.astype(np.float32)
    if not config.tint:
        return shown
    offset = rng.normal(0.0, config.tint, shown.shape[1:])
    return shown + offset.astype(np.float32)


def yaw(angle: float) -> np.ndarray:
    """The rotation (3,3) float64 about +z by `angle` radians, counter-clockwise from above."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def mirror(flips: np.ndarray) -> np.ndarray:
    """The mirroring (3,3) float64 of x if flips[0], and of y if flips[1]. flips (2,) bool."""
    return np.diag([-1.0 if flips[0] else 1.0, -1.0 if flips[1] else 1.0, 1.0])


def distortion(sigma: float, rng: np.random.Generator) -> np.ndarray:
    """The identity plus normal noise of standard deviation `sigma`, (3,3) float64."""
    return np.eye(3) + rng.normal(0.0, sigma, (3, 3))


def jitter(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise of `shape`, float32 metres, clipped at three sigma."""
    return np.clip(rng.normal(0.0, sigma, shape), -3 * sigma, 3 * sigma).astype(np.float32)
