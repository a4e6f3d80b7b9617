"""The poses of a hand-held camera in a room."""

from __future__ import annotations

import numpy as np

from lass3d_core.geometry.projection import rigid
from preprocess.simulation.room.plan import FloorPlan
from preprocess.simulation.shapes import pitched, rolled, yawed

_CAMERA_FROM_LEVEL = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""Rotation from a level frame (x forward, z up) into the camera's (x right, y down, z forward)."""

_CLEARANCE_M = 0.25


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


def _standpoint(plan: FloorPlan, heading: float, height: float) -> np.ndarray:
    """The place (3,) of a camera that looks along `heading`: as far back as pieces allow, else the middle."""
    middle = plan.size[:2] / 2
    back = -np.array([np.cos(heading), np.sin(heading)])
    for share in (0.62, 0.5, 0.36, 0.2):
        place = np.array([*(middle + share * middle * back), height])
        if plan.is_free(place - _CLEARANCE_M, place + _CLEARANCE_M):
            break
    else:
        place = np.array([*middle, height])
    return place
