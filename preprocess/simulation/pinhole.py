"""Pinhole cameras of a simulated world: rays through pixels, blotches on surfaces, noise in images.

See shapes.py for why products over rays are einsum and not matrix products.
"""

from __future__ import annotations

import numpy as np

from lass3d_core.records import Camera
from preprocess.simulation.shapes import Scene, cast


def pixel_directions(camera: Camera) -> np.ndarray:
    """Unit directions (H*W,3), camera frame, through the centres of the pixels, (u + 0.5, v + 0.5)."""
    height, width = camera.size_hw
    v, u = (grid.ravel() + 0.5 for grid in np.mgrid[0:height, 0:width])
    K = camera.K
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(len(u))], axis=1)
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def cast_from(
    scene: Scene, pose: np.ndarray, directions: np.ndarray, range_m: float
) -> tuple[np.ndarray, np.ndarray]:
    """`cast` for unit directions (R,3) in the frame of a sensor at `pose` world_from_sensor (4,4)."""
    return cast(scene, pose[:3, 3], turned(pose, directions), range_m)


def turned(pose: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Directions (R,3) of a sensor at `pose` (4,4), in the world frame."""
    return np.einsum("ij,rj->ri", pose[:3, :3], directions)


def ends_of_rays(pose: np.ndarray, directions: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The points (R,3), world frame, at a distance (R,) along the directions (R,3) of a sensor at `pose`."""
    return turned(pose, directions) * distance[:, None] + pose[:3, 3]


def mottle(metric: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Blotches of a quarter metre: a number (R,) in [-1, 1] per surface point.

    metric: surface points (R,3) in metres along the axes of their solids (R,).
    """
    return hashed(np.floor(metric * 4.0).astype(np.int64), solid)


def hashed(cell: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """A number (R,) in [-1, 1] for each cell (R,3) int64 of a solid (R,).

    It is a hash, so that every image shows the same texture on a solid.
    """
    mixed = cell[:, 0] * 73856093 ^ cell[:, 1] * 19349663 ^ cell[:, 2] * 83492791 ^ solid * 2654435761
    mixed = (mixed ^ (mixed >> 13)) * 1274126177 & 0xFFFFFFFF
    return (mixed ^ (mixed >> 16)) / float(0xFFFFFFFF) * 2.0 - 1.0


def photograph(
    colour: np.ndarray, size_hw: tuple[int, int], noise: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """The image (H,W,3) uint8 of colours (H*W,3) in [0,1], with noise.

    noise: standard deviations of the multiplicative and the additive part.
    """
    multiplicative, additive = noise
    colour = colour * (1.0 + rng.normal(0.0, multiplicative, (len(colour), 1)))
    colour += rng.normal(0.0, additive, colour.shape)
    return (np.clip(colour, 0.0, 1.0) * 255).round().astype(np.uint8).reshape(*size_hw, 3)
