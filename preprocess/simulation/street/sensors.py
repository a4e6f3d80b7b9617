"""Measurements of a spinning LiDAR and of pinhole cameras in a street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lass3d_core.records import Camera
from preprocess.simulation.pinhole import cast_from, ends_of_rays, mottle, photograph, pixel_directions
from preprocess.simulation.shapes import NOTHING, Scene, local_points, normals
from preprocess.simulation.street.materials import MATERIALS

UNLABELLED = 0
"""SemanticKITTI's raw id of points without a class."""

_SKY = np.array([0.62, 0.78, 0.93])
_CAMERA_RANGE_M = 80.0
_AMBIENT = 0.62
_PIXEL_NOISE = (0.06, 0.025)  # multiplicative, additive
_REMISSION_SPREAD = 0.09
_MOTTLE = 0.05


@dataclass(frozen=True)
class LidarModel:
    """A spinning LiDAR. With these defaults a scan has 5 000 to 7 000 points."""

    beams: int = 32
    azimuths: int = 224
    lowest_deg: float = -24.0
    highest_deg: float = 6.0
    range_m: float = 40.0
    dust: float = 0.003  # share of returns that come from the air before the surface


@dataclass(frozen=True)
class Sweep:
    """One turn of the LiDAR."""

    points: np.ndarray  # (N,3) float32 metres, LiDAR frame
    remission: np.ndarray  # (N,) float32 in [0,1]
    raw_labels: np.ndarray  # (N,) uint32


def sweep(scene: Scene, pose: np.ndarray, rng: np.random.Generator, model: LidarModel) -> Sweep:
    """Scan `scene` from a pose world_from_velodyne (4,4)."""
    directions = _beam_directions(rng, model)
    distance, solid = cast_from(scene, pose, directions, model.range_m)
    material = np.where(solid == NOTHING, 0, scene.material[solid])
    kept = (solid != NOTHING) & (rng.random(len(solid)) >= MATERIALS.column("drop_out")[material])
    directions, distance, material = directions[kept], distance[kept], material[kept]
    distance = distance + rng.normal(0.0, MATERIALS.column("range_noise_m")[material])
    remission = rng.normal(MATERIALS.column("remission")[material], _REMISSION_SPREAD)
    labels = MATERIALS.column("raw_id")[material].astype(np.uint32)
    dust = rng.random(len(distance)) < model.dust
    distance = np.where(dust, distance * rng.uniform(0.2, 0.9, len(distance)), distance)
    return Sweep(
        points=(directions * distance[:, None]).astype(np.float32),
        remission=np.clip(remission, 0.0, 0.99).astype(np.float32),
        raw_labels=np.where(dust, UNLABELLED, labels).astype(np.uint32),
    )


def camera_image(scene: Scene, pose: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """The image (H,W,3) uint8 RGB of `camera` on a car whose LiDAR is at a pose world_from_velodyne (4,4)."""
    world_from_camera = pose @ np.linalg.inv(camera.cam_from_points)
    directions = pixel_directions(camera)
    distance, solid = cast_from(scene, world_from_camera, directions, _CAMERA_RANGE_M)
    colour = np.tile(_SKY, (len(solid), 1))
    hit = solid != NOTHING
    world = ends_of_rays(world_from_camera, directions[hit], distance[hit])
    colour[hit] = _shaded(scene, world, solid[hit])
    return photograph(colour, camera.size_hw, _PIXEL_NOISE, rng)


def _beam_directions(rng: np.random.Generator, model: LidarModel) -> np.ndarray:
    """Unit directions (beams * azimuths, 3), LiDAR frame, with the jitter of a real spindle."""
    elevation = np.deg2rad(np.linspace(model.lowest_deg, model.highest_deg, model.beams))
    step = 2 * np.pi / model.azimuths
    azimuth = step * (np.arange(model.azimuths) + rng.random())
    elevation, azimuth = (grid.ravel() for grid in np.meshgrid(elevation, azimuth, indexing="ij"))
    azimuth = azimuth + rng.normal(0.0, 0.1 * step, len(azimuth))
    level = np.cos(elevation)
    return np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=1)


def _shaded(scene: Scene, world: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Colours (R,3) of surface points (R,3): Lambert's law under sun and sky, then the material's pattern."""
    local = local_points(scene, world, solid)
    normal = normals(scene, local, solid)
    sunlit = np.maximum(np.einsum("rj,j->r", normal, scene.to_sun), 0.0)
    colour = scene.colour[solid] * (_AMBIENT + (1.0 - _AMBIENT) * sunlit)[:, None]
    metric = local * scene.half[solid]
    colour *= 1.0 + _MOTTLE * mottle(metric, solid)[:, None]
    pattern = MATERIALS.column("pattern")[scene.material[solid]]
    colour[(pattern == "windows") & _on_window(metric, normal)] *= 0.6
    colour[(pattern == "lane_marks") & _on_lane_mark(world)] = 0.85
    return colour


def _on_window(metric: np.ndarray, normal: np.ndarray) -> np.ndarray:
    along = np.where(np.abs(normal[:, 0]) > np.abs(normal[:, 1]), metric[:, 1], metric[:, 0])
    upright = np.abs(normal[:, 2]) < 0.5
    column, row = along % 2.8, metric[:, 2] % 2.9
    return upright & (column > 0.8) & (column < 2.0) & (row > 1.0) & (row < 2.3)


def _on_lane_mark(world: np.ndarray) -> np.ndarray:
    return (np.abs(world[:, 1]) < 0.08) & (world[:, 0] % 6.0 < 3.0)
