"""A floor plan: where pieces stand. No piece stands in another.

Room frame: one corner is the origin, x and y along the walls, z up; metres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from lass3d_core.geometry.projection import rigid
from preprocess.simulation.room.pieces import Piece
from preprocess.simulation.shapes import Solid, yawed

_TRIES = 25
_SPARE_M = 0.02


@dataclass
class FloorPlan:
    """A room and what stands in it.

    size (3,): along x, y and z. taken: the boxes (low, high) of the pieces.
    """

    size: np.ndarray
    solids: list[Solid] = field(default_factory=list)
    taken: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def at_wall(self, rng: np.random.Generator, piece: Piece, gap: float = 0.0) -> np.ndarray | None:
        """Put `piece` with its back to a wall, `gap` away.

        Returns the pose (4,4), or None if no place is left.
        """
        return self._first_free(piece, lambda: self._place_at_wall(rng, piece, gap))

    def inside(self, rng: np.random.Generator, piece: Piece) -> np.ndarray | None:
        """Put `piece` anywhere, about parallel to the walls.

        Returns the pose (4,4), or None if no place is left.
        """
        return self._first_free(piece, lambda: self._place_inside(rng))

    def put(self, piece: Piece, pose: np.ndarray) -> bool:
        """Put `piece` at a pose room_from_piece (4,4).

        Returns False, and does nothing, if the place is taken.
        """
        low, high = _bounds(piece, pose)
        if not self.is_free(low, high):
            return False
        self.solids += transform_solids(piece.solids, pose)
        self.taken.append((low, high))
        return True

    def is_free(self, low: np.ndarray, high: np.ndarray) -> bool:
        """Whether the box from `low` to `high` (3,) lies in the room and overlaps no piece."""
        inside = (low > -_SPARE_M).all() and (high < self.size + _SPARE_M).all()
        return bool(inside) and not any(
            (low < top).all() and (bottom < high).all() for bottom, top in self.taken
        )

    def _first_free(self, piece: Piece, draw: Callable[[], np.ndarray]) -> np.ndarray | None:
        poses = (draw() for _ in range(_TRIES))
        return next((pose for pose in poses if self.put(piece, pose)), None)

    def _place_at_wall(self, rng: np.random.Generator, piece: Piece, gap: float) -> np.ndarray:
        wall = rng.integers(4)
        x, y = self.size[:2]
        length = x if wall % 2 == 0 else y
        along = rng.uniform(0, 1) * max(length - piece.width, 0.0) + piece.width / 2
        x, y = ((along, gap), (x - gap, along), (along, y - gap), (gap, along))[wall]
        return pose_at(x, y, (0.0, np.pi / 2, np.pi, -np.pi / 2)[wall])

    def _place_inside(self, rng: np.random.Generator) -> np.ndarray:
        x, y = rng.uniform(0.15, 0.85, 2) * self.size[:2]
        return pose_at(x, y, rng.integers(4) * np.pi / 2 + rng.normal(0.0, 0.06))


def pose_at(x: float, y: float, yaw: float, z: float = 0.0) -> np.ndarray:
    """The pose (4,4) of something that stands upright, turned left by `yaw` radians."""
    return rigid(yawed(yaw), np.array([x, y, z]))


def transform_solids(solids: Iterable[Solid], pose: np.ndarray) -> Iterator[Solid]:
    """The solids after a rigid transform (4,4)."""
    for solid in solids:
        centre = np.einsum("ij,j->i", pose[:3, :3], solid.centre) + pose[:3, 3]
        rotation = np.einsum("ij,jk->ik", pose[:3, :3], solid.rotation)
        yield replace(solid, centre=centre, rotation=rotation)


def _bounds(piece: Piece, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners low and high (3,) of the box around `piece`, along the axes of the room."""
    corners = np.array(
        [(x, y, z) for x in (-piece.width / 2, piece.width / 2) for y in (0.0, piece.depth) for z in piece.z]
    )
    placed = np.einsum("ij,cj->ci", pose[:3, :3], corners) + pose[:3, 3]
    # A little smaller, so that things may touch.
    return placed.min(axis=0) + _SPARE_M / 2, placed.max(axis=0) - _SPARE_M / 2
