"""A hand-held RGB-D camera in a room: its poses, colour images, depth images, and the fused surface.

The images are small, with ScanNet's proportions: the depth image has half of the resolution and another
centre. It has holes where a surface is far or is seen at a grazing angle, and at random pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lass3d_core.geometry.projection import rigid
from lass3d_core.records import Camera
from preprocess.simulation.pinhole import cast_from, ends_of_rays, photograph, pixel_directions, turned
from preprocess.simulation.room.materials import MATERIALS, UNANNOTATED
from preprocess.simulation.room.patterns import textured
from preprocess.simulation.room.world import FloorPlan, Room
from preprocess.simulation.shapes import NOTHING, local_points, normals, pitched, rolled, yawed

COLOUR_HW = (96, 128)
DEPTH_HW = (48, 64)
COLOUR_K = np.array([[97.6, 0.0, 63.4], [0.0, 97.9, 48.7], [0.0, 0.0, 1.0]])
DEPTH_K = np.array([[48.4, 0.0, 31.8], [0.0, 48.4, 23.8], [0.0, 0.0, 1.0]])

_CAMERA_FROM_LEVEL = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""Rotation from a level frame (x forward, z up) into the camera's (x right, y down, z forward)."""

_CLEARANCE_M = 0.25  # of the camera, to every side
_RANGE_M = 12.0
_DEPTH_RANGE_M = (0.35, 5.5)
# Standard deviation in metres at a depth of one metre; it grows with the square of the depth.
_DEPTH_NOISE = 0.0015
_DEPTH_DROP_OUT = 0.02
_GRAZING = 0.12  # least cosine between ray and normal that returns a depth
_AMBIENT = 0.66
_PIXEL_NOISE = (0.05, 0.02)  # multiplicative, additive
_EXPOSURE = 0.04  # standard deviation, per image
_VERTEX_CELL_M = 0.055
_VERTEX_NOISE_M = 0.004
_VERTEX_COLOUR_NOISE = (0.08, 0.04)
_PATCHES = 12  # that nobody labelled
_PATCH_RADIUS_M = (0.08, 0.25)


@dataclass(frozen=True)
class Surface:
    """The ends of the rays of an image."""

    points: np.ndarray  # (R,3) metres, world frame
    colour: np.ndarray  # (R,3) in [0,1], lit, without noise
    solid: np.ndarray  # (R,) index


@dataclass(frozen=True)
class Vertices:
    """A fused scan."""

    points: np.ndarray  # (N,3) float32 metres, world frame
    colours: np.ndarray  # (N,3) uint8
    labels: np.ndarray  # (N,) uint16 raw ids


def walk(
    rng: np.random.Generator, plan: FloorPlan, world_from_room: np.ndarray, frames: int
) -> list[np.ndarray]:
    """Draw the poses world_from_camera (4,4) of a camera that turns once around in `frames` frames.

    It always looks across the middle of the room: most of a wall fits into an image from the opposite side.
    """
    start, poses = rng.uniform(0, 2 * np.pi), []
    for frame in range(frames):
        heading = start + 2 * np.pi * (frame + rng.uniform(-0.25, 0.25)) / frames
        pitch, roll = np.deg2rad(rng.normal(19.0, 6.0)), np.deg2rad(rng.normal(0.0, 3.0))
        turn = yawed(heading + rng.normal(0.0, 0.12)) @ pitched(pitch) @ rolled(roll)
        place = _standpoint(plan, heading, rng.uniform(1.35, 1.65))
        poses.append(world_from_room @ rigid(turn @ _CAMERA_FROM_LEVEL.T, place))
    return poses


def seen_from(room: Room, pose: np.ndarray, K: np.ndarray, size_hw: tuple[int, int]) -> Surface:
    """What a camera at `pose` world_from_camera (4,4) sees: one point per pixel."""
    directions = pixel_directions(Camera(K, np.eye(4), size_hw))
    distance, solid = cast_from(room.scene, pose, directions, _RANGE_M)
    assert (solid != NOTHING).all(), "the room is closed"
    points = ends_of_rays(pose, directions, distance)
    return Surface(points, _lit(room, points, solid), solid)


def camera_image(surface: Surface, rng: np.random.Generator) -> np.ndarray:
    """The image (H,W,3) uint8 RGB of what the colour camera sees."""
    exposed = surface.colour * (1.0 + rng.normal(0.0, _EXPOSURE))
    return photograph(exposed, COLOUR_HW, _PIXEL_NOISE, rng)


def depth_image(room: Room, pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The depth image (H,W) uint16: millimetres along the optical axis, 0 for unknown."""
    directions = pixel_directions(Camera(DEPTH_K, np.eye(4), DEPTH_HW))
    distance, solid = cast_from(room.scene, pose, directions, _RANGE_M)
    rays = turned(pose, directions)
    local = local_points(room.scene, ends_of_rays(pose, directions, distance), solid)
    normal = normals(room.scene, local, solid)
    depth = distance * directions[:, 2]
    measured = depth + rng.normal(0.0, _DEPTH_NOISE, len(depth)) * depth**2
    valid = (depth > _DEPTH_RANGE_M[0]) & (depth < _DEPTH_RANGE_M[1])
    valid &= np.abs(np.einsum("rj,rj->r", normal, rays)) > _GRAZING
    valid &= rng.random(len(depth)) >= _DEPTH_DROP_OUT
    return np.where(valid, (measured * 1000).round(), 0).astype(np.uint16).reshape(DEPTH_HW)


def fused(surfaces: list[Surface], room: Room, rng: np.random.Generator) -> Vertices:
    """Fuse the surfaces: a noisy vertex per occupied cell of a grid, in the colour of one of its rays."""
    points = np.concatenate([surface.points for surface in surfaces])
    order = rng.permutation(len(points))
    points = points[order]
    _, first = np.unique(_cells(points), return_index=True)
    kept = np.sort(first)
    solid = np.concatenate([surface.solid for surface in surfaces])[order][kept]
    colour = np.concatenate([surface.colour for surface in surfaces])[order][kept]
    raw_ids = MATERIALS.column("raw_id")[room.scene.material[solid]]
    points = points[kept] + rng.normal(0.0, _VERTEX_NOISE_M, (len(kept), 3))
    colours = photograph(colour, (len(kept), 1), _VERTEX_COLOUR_NOISE, rng)[:, 0]
    labels = np.where(_forgotten(points, rng), UNANNOTATED, raw_ids)
    return Vertices(points.astype(np.float32), colours, labels.astype(np.uint16))


def _standpoint(plan: FloorPlan, heading: float, height: float) -> np.ndarray:
    """The place (3,) of a camera that looks along `heading`: as far back as pieces allow, else the middle."""
    middle = plan.size[:2] / 2
    back = -np.array([np.cos(heading), np.sin(heading)])
    for share in (0.62, 0.5, 0.36, 0.2):
        place = np.array([*(middle + share * middle * back), height])
        if plan.is_free(place - _CLEARANCE_M, place + _CLEARANCE_M):
            return place
    return np.array([*middle, height])


def _cells(points: np.ndarray) -> np.ndarray:
    """The number (N,) int64 of the grid cell that each of the points (N,3) falls into."""
    cell = np.floor(points / _VERTEX_CELL_M).astype(np.int64)
    cell -= cell.min(axis=0)
    return np.ravel_multi_index(tuple(cell.T), tuple(cell.max(axis=0) + 1))


def _lit(room: Room, points: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Colours (R,3) of surface points: the texture of the material, lit by the lamp after Lambert's law."""
    local = local_points(room.scene, points, solid)
    normal = normals(room.scene, local, solid)
    to_lamp = room.lamp - points
    to_lamp /= np.linalg.norm(to_lamp, axis=1, keepdims=True)
    lit = np.maximum(np.einsum("rj,rj->r", normal, to_lamp), 0.0)
    colour = textured(room.scene, local * room.scene.half[solid], solid)
    return colour * (_AMBIENT + (1.0 - _AMBIENT) * lit)[:, None]


def _forgotten(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whether each of the points (N,3) lies in one of a few small patches: (N,) bool."""
    found = np.zeros(len(points), bool)
    for _ in range(_PATCHES):
        gap = np.linalg.norm(points - points[rng.integers(len(points))], axis=1)
        found |= gap < rng.uniform(*_PATCH_RADIUS_M)
    return found
