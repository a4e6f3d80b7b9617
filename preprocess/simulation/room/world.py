"""A random furnished room: its floor plan, in which no piece stands in another, and its place in the world.

Room frame: one corner is the origin, x and y along the walls, z up; metres.
World frame: z up; the room is turned and shifted in it, as in a ScanNet scan that is not aligned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from lass3d_core.geometry.projection import rigid
from preprocess.simulation.room.fixtures import door, window
from preprocess.simulation.room.furniture import TYPES, Wanted, chair
from preprocess.simulation.room.materials import draw_colour
from preprocess.simulation.room.pieces import Maker, Piece, Seats, block
from preprocess.simulation.shapes import Scene, Solid, yawed

_THICK_M = 0.1  # walls, floor and ceiling
_TRIES = 25
_SPARE_M = 0.02


@dataclass
class FloorPlan:
    """A room of a size (3,) and what stands in it. taken: the boxes (low, high) of the pieces."""

    size: np.ndarray
    solids: list[Solid] = field(default_factory=list)
    taken: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def at_wall(self, rng: np.random.Generator, piece: Piece, gap: float = 0.0) -> np.ndarray | None:
        """Put `piece` with its back to a wall, `gap` away. Returns the pose (4,4); None if none is free."""
        return self._first_free(piece, lambda: self._place_at_wall(rng, piece, gap))

    def inside(self, rng: np.random.Generator, piece: Piece) -> np.ndarray | None:
        """Put `piece` anywhere, about parallel to the walls. Returns the pose (4,4); None if none is free."""
        return self._first_free(piece, lambda: self._place_inside(rng))

    def put(self, piece: Piece, pose: np.ndarray) -> bool:
        """Put `piece` at a pose room_from_piece (4,4); False, without an effect, if the place is taken."""
        low, high = _bounds(piece, pose)
        if not self.is_free(low, high):
            return False
        self.solids += transform_solids(piece.solids, pose)
        self.taken.append((low, high))
        return True

    def is_free(self, low: np.ndarray, high: np.ndarray) -> bool:
        """Whether the box from `low` to `high` (3,) lies in the room and overlaps no piece."""
        inside = bool((low > -_SPARE_M).all() and (high < self.size + _SPARE_M).all())
        return inside and not any((low < top).all() and (bottom < high).all() for bottom, top in self.taken)

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


@dataclass(frozen=True)
class Room:
    """A furnished room. scene and lamp (3,): world frame. plan: room frame."""

    kind: str
    plan: FloorPlan
    scene: Scene
    lamp: np.ndarray
    world_from_room: np.ndarray


def build_room(rng: np.random.Generator) -> Room:
    """Draw a room, its pieces, and its place in the world."""
    kind = TYPES[rng.choice(len(TYPES), p=[one.share for one in TYPES])]
    plan = FloorPlan(np.array([*rng.uniform(*kind.width, 2), rng.uniform(2.4, 2.7)]))
    plan.at_wall(rng, door(rng))
    for _ in range(1 + (rng.random() < 0.3)):
        plan.at_wall(rng, window(rng))
    for maker in _drawn(rng, kind.at_wall):
        piece = maker(rng)
        _seat(rng, plan, piece.seats, plan.at_wall(rng, piece, gap=rng.uniform(0.01, 0.05)))
    for maker in _drawn(rng, kind.hung):
        plan.at_wall(rng, maker(rng))
    for maker in _drawn(rng, kind.inside):
        piece = maker(rng)
        _seat(rng, plan, piece.seats, plan.inside(rng, piece))
    solids = [*_shell(rng, plan.size, kind.floor), *plan.solids]
    x, y = rng.uniform(-3, 3, 2)
    world_from_room = pose_at(x, y, rng.uniform(0, 2 * np.pi), rng.uniform(-0.1, 0.1))
    lamp = plan.size * [*rng.uniform(0.35, 0.65, 2), 0.95]
    lamp = np.einsum("ij,j->i", world_from_room[:3, :3], lamp) + world_from_room[:3, 3]
    scene = Scene.of(list(transform_solids(solids, world_from_room)), to_sun=np.array([0.0, 0.0, 1.0]))
    return Room(kind.name, plan, scene, lamp, world_from_room)


def _drawn(rng: np.random.Generator, wanted: Wanted) -> list[Maker]:
    """Each maker a random number of times; the average is the expected number."""
    return [maker for maker, number in wanted for _ in range(int(number + rng.random()))]


def _seat(rng: np.random.Generator, plan: FloorPlan, seats: Seats, pose: np.ndarray | None) -> None:
    """Put chairs at the places of a piece that stands at `pose` (4,4)."""
    for x, y, yaw in seats if pose is not None else ():
        if rng.random() < 0.8:
            plan.put(chair(rng), pose @ pose_at(x, y, yaw + rng.normal(0.0, 0.12)))


def _shell(rng: np.random.Generator, size: np.ndarray, floor: str) -> list[Solid]:
    """Floor, ceiling and four walls around a room of size (3,)."""
    x, y, z = size
    t, colour = _THICK_M, draw_colour(rng, "wall")
    return [
        block(floor, draw_colour(rng, floor), (-t, x + t), (-t, y + t), (-t, 0.0)),
        block("ceiling", draw_colour(rng, "ceiling"), (-t, x + t), (-t, y + t), (z, z + t)),
        block("wall", colour, (-t, x + t), (-t, 0.0), (0.0, z)),
        block("wall", colour, (-t, x + t), (y, y + t), (0.0, z)),
        block("wall", colour, (-t, 0.0), (0.0, y), (0.0, z)),
        block("wall", colour, (x, x + t), (0.0, y), (0.0, z)),
    ]


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
    half = piece.width / 2
    corners = np.array([(x, y, z) for x in (-half, half) for y in (0.0, piece.depth) for z in piece.z])
    placed = np.einsum("ij,cj->ci", pose[:3, :3], corners) + pose[:3, 3]
    # A little smaller, so that things may touch.
    return placed.min(axis=0) + _SPARE_M / 2, placed.max(axis=0) - _SPARE_M / 2
