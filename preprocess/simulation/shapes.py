"""Boxes, cylinders and ellipsoids, and a ray caster over them for LiDAR and cameras.

A solid is a unit box, cylinder or ball: scaled by `half`, turned by `rotation`, moved to `centre`.
Products over rays are einsum, which loops, and not matrix products: a threaded BLAS may round differently
from run to run, and the files that are written must not differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import reduce

import numpy as np

NOTHING = -1
"""Stands for the index of a solid if a ray meets none."""


class Shape(IntEnum):
    """Unit solids: |x|,|y|,|z| <= 1; x²+y² <= 1 and |z| <= 1; x²+y²+z² <= 1."""

    BOX = 0
    CYLINDER = 1
    ELLIPSOID = 2


@dataclass(frozen=True)
class Solid:
    """One solid."""

    shape: Shape
    centre: np.ndarray  # (3,) metres
    half: np.ndarray  # (3,) metres
    rotation: np.ndarray  # (3,3) world_from_local
    material: int  # an index
    colour: np.ndarray  # (3,) RGB in [0,1]


@dataclass(frozen=True)
class Scene:
    """S solids, each field of Solid as an array (S,...). to_sun: unit vector (3,)."""

    shape: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    rotation: np.ndarray
    material: np.ndarray
    colour: np.ndarray
    to_sun: np.ndarray

    @staticmethod
    def of(solids: Sequence[Solid], to_sun: np.ndarray) -> Scene:
        names = [field.name for field in fields(Solid)]
        arrays = {name: np.array([getattr(solid, name) for solid in solids]) for name in names}
        return Scene(**arrays, to_sun=to_sun)


def cast(
    scene: Scene, origin: np.ndarray, directions: np.ndarray, range_m: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest solid along each ray.

    origin (3,) and unit directions (R,3): world frame.
    Returns the distance (R,) in metres and the index (R,) of the solid; infinity and NOTHING if no solid lies
    within `range_m`. A solid around the origin is not seen.
    """
    distance = np.full(len(directions), np.inf)
    solid = np.full(len(directions), NOTHING)
    gap = np.linalg.norm(scene.centre - origin, axis=1) - np.linalg.norm(scene.half, axis=1)
    for index in map(int, np.flatnonzero(gap <= range_m)):
        radius = float(np.linalg.norm(scene.half[index]))
        rays = _rays_towards(scene.centre[index] - origin, radius, directions)
        near = _meet(scene, index, origin, directions[rays])
        nearer = (near < distance[rays]) & (near <= range_m)
        distance[rays[nearer]] = near[nearer]
        solid[rays[nearer]] = index
    return distance, solid


def local_points(scene: Scene, points: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Points (R,3), world frame, in the unit frames of their solids (R,)."""
    turned = np.einsum("rji,rj->ri", scene.rotation[solid], points - scene.centre[solid])
    return turned / scene.half[solid]


def normals(scene: Scene, local: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Outward unit normals (R,3), world frame, at surface points in the unit frames of their solids (R,).

    local (R,3): from `local_points`.
    """
    shape = scene.shape[solid]
    face = np.zeros_like(local)
    axis = np.abs(local).argmax(axis=1)[:, None]
    np.put_along_axis(face, axis, np.sign(np.take_along_axis(local, axis, axis=1)), axis=1)
    on_cap = np.abs(local[:, 2]) >= np.hypot(local[:, 0], local[:, 1])
    round_ = local * np.where(on_cap[:, None], (0.0, 0.0, 1.0), (1.0, 1.0, 0.0))
    is_box, is_cylinder = (shape == Shape.BOX)[:, None], (shape == Shape.CYLINDER)[:, None]
    gradient = np.select([is_box, is_cylinder], [face, round_], local)
    turned = np.einsum("rij,rj->ri", scene.rotation[solid], gradient / scene.half[solid])
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)


def yawed(angle: float) -> np.ndarray:
    """Rotation (3,3) about z by `angle` radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def rolled(angle: float) -> np.ndarray:
    """Rotation (3,3) about x by `angle` radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def pitched(angle: float) -> np.ndarray:
    """Rotation (3,3) about y by `angle` radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def _rays_towards(offset: np.ndarray, radius: float, directions: np.ndarray) -> np.ndarray:
    """Indices of the rays from the origin that may meet the ball of `radius` around `offset`."""
    squared = offset @ offset
    if squared <= radius * radius:
        return np.arange(len(directions))
    cosine = np.sqrt((squared - radius * radius) / squared) - 1e-9
    return np.flatnonzero(np.einsum("rj,j->r", directions, offset) >= cosine * np.sqrt(squared))


def _meet(scene: Scene, index: int, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Distance (R,) at which rays enter solid `index`; infinite if they miss it or start inside."""
    inverse = scene.rotation[index].T / scene.half[index][:, None]
    start = np.einsum("ij,j->i", inverse, origin - scene.centre[index])
    step = np.einsum("ij,rj->ri", inverse, directions)
    step = np.where(np.abs(step) < 1e-12, 1e-12, step)
    match Shape(scene.shape[index]):
        case Shape.BOX:
            enter, leave = _between_planes(start, step)
        case Shape.CYLINDER:
            top_enter, top_leave = _between_planes(start[2:], step[:, 2:])
            side_enter, side_leave = _inside_ball(start[:2], step[:, :2])
            enter, leave = np.maximum(top_enter, side_enter), np.minimum(top_leave, side_leave)
        case Shape.ELLIPSOID:
            enter, leave = _inside_ball(start, step)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def _between_planes(start: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (R,) at which rays enter and leave the cube |coordinate| <= 1. start (A,), step (R,A)."""
    first, second = (-1.0 - start) / step, (1.0 - start) / step
    enter, leave = np.minimum(first, second), np.maximum(first, second)
    # A reduction over three rows is several times faster than `max(axis=1)`.
    return reduce(np.maximum, enter.T), reduce(np.minimum, leave.T)


def _inside_ball(start: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (R,) at which rays enter and leave the unit ball; (inf, -inf) if they miss it.

    start (A,), step (R,A).
    """
    a = np.einsum("ra,ra->r", step, step)
    b = np.einsum("a,ra->r", start, step)
    discriminant = b * b - a * (start @ start - 1.0)
    root = np.sqrt(np.maximum(discriminant, 0.0))
    missed = discriminant < 0
    return np.where(missed, np.inf, (-b - root) / a), np.where(missed, -np.inf, (-b + root) / a)
