"""A seeded furnished room, somewhere in a world whose axes are not its walls'.

Room frame: see plan.py. World frame: z up, the room turned and moved, as an un-aligned scan is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preprocess.room.fixtures import bathtub, counter, door, picture, refrigerator, toilet, washstand, window
from preprocess.room.furniture import (
    bed,
    bookshelf,
    cabinet,
    chair,
    coffee_table,
    desk,
    hung_cabinet,
    other_furniture,
    rug,
    sofa,
    table,
    television,
)
from preprocess.room.pieces import Maker, block, paint
from preprocess.room.plan import Plan, moved, pose_at
from preprocess.simulation.shapes import Scene, Solid

_THICK_M = 0.1  # of walls, floor and ceiling

Wanted = tuple[tuple[Maker, float], ...]
"""Pieces and how many of each to expect."""


@dataclass(frozen=True)
class RoomType:
    """share: of all rooms. width: metres, of either side. floor: its material.

    at_wall, hung, inside: what stands at the walls, hangs on them, and stands anywhere; in this order.
    """

    name: str
    share: float
    width: tuple[float, float]
    floor: str
    at_wall: Wanted
    hung: Wanted
    inside: Wanted


TYPES = (
    RoomType(
        "Bedroom / Hotel",
        0.26,
        (3.2, 4.8),
        "floor",
        (
            (bed, 1.2),
            (cabinet, 1.2),
            (desk, 0.6),
            (bookshelf, 0.4),
            (television, 0.3),
            (other_furniture, 0.5),
        ),
        ((picture, 1.5),),
        ((chair, 0.5), (rug, 0.5)),
    ),
    RoomType(
        "Living room / Lounge",
        0.26,
        (3.8, 5.5),
        "floor",
        ((sofa, 1.6), (television, 0.8), (bookshelf, 0.8), (cabinet, 0.5), (other_furniture, 0.6)),
        ((picture, 1.8),),
        ((coffee_table, 0.9), (table, 0.3), (chair, 0.7), (rug, 0.6)),
    ),
    RoomType(
        "Kitchen",
        0.16,
        (3.0, 4.5),
        "tiles",
        ((counter, 1.6), (refrigerator, 1.0), (cabinet, 0.4), (other_furniture, 0.3)),
        ((hung_cabinet, 1.3), (picture, 0.4)),
        ((table, 1.0), (chair, 0.4)),
    ),
    RoomType(
        "Office",
        0.18,
        (3.2, 5.2),
        "floor",
        ((desk, 2.2), (bookshelf, 1.3), (cabinet, 1.0), (refrigerator, 0.15)),
        ((picture, 1.0),),
        ((table, 0.5), (chair, 1.0), (other_furniture, 0.4)),
    ),
    RoomType(
        "Bathroom",
        0.14,
        (2.4, 3.2),
        "tiles",
        ((bathtub, 0.9), (toilet, 1.0), (washstand, 1.0), (cabinet, 0.4), (other_furniture, 0.2)),
        ((picture, 0.2),),
        ((rug, 0.4),),
    ),
)


@dataclass(frozen=True)
class Room:
    """A furnished room. scene and lamp (3,) in the world; plan: free places, in the room's own frame."""

    kind: str
    plan: Plan
    scene: Scene
    lamp: np.ndarray
    world_from_room: np.ndarray


def build_room(rng: np.random.Generator) -> Room:
    """Draw a room, furnish it, put it somewhere."""
    kind = TYPES[rng.choice(len(TYPES), p=[one.share for one in TYPES])]
    plan = Plan(np.array([*rng.uniform(*kind.width, 2), rng.uniform(2.4, 2.7)]))
    plan.at_wall(rng, door(rng))
    for _ in range(1 + (rng.random() < 0.3)):
        plan.at_wall(rng, window(rng))
    for maker in _drawn(rng, kind.at_wall):
        _stand(rng, plan, maker)
    for maker in _drawn(rng, kind.hung):
        plan.at_wall(rng, maker(rng))
    for maker in _drawn(rng, kind.inside):
        piece = maker(rng)
        _seat(rng, plan, piece.seats, plan.inside(rng, piece))
    solids = [*_shell(rng, plan.size, kind.floor), *plan.solids]
    world_from_room = pose_at(*rng.uniform(-3, 3, 2), rng.uniform(0, 2 * np.pi), rng.uniform(-0.1, 0.1))
    lamp = plan.size * [*rng.uniform(0.35, 0.65, 2), 0.95]
    lamp = np.einsum("ij,j->i", world_from_room[:3, :3], lamp) + world_from_room[:3, 3]
    scene = Scene.of(list(moved(solids, world_from_room)), to_sun=np.array([0.0, 0.0, 1.0]))
    return Room(kind.name, plan, scene, lamp, world_from_room)


def _drawn(rng: np.random.Generator, wanted: Wanted) -> list[Maker]:
    """Each maker as often as expected, on average."""
    return [maker for maker, number in wanted for _ in range(int(number + rng.random()))]


def _stand(rng: np.random.Generator, plan: Plan, maker: Maker) -> None:
    piece = maker(rng)
    _seat(rng, plan, piece.seats, plan.at_wall(rng, piece, gap=rng.uniform(0.01, 0.05)))


def _seat(
    rng: np.random.Generator,
    plan: Plan,
    seats: tuple[tuple[float, float, float], ...],
    pose: np.ndarray | None,
) -> None:
    """Draw chairs up to a piece that was put at `pose` (4,4)."""
    for x, y, yaw in seats if pose is not None else ():
        if rng.random() < 0.8:
            plan.put(chair(rng), pose @ pose_at(x, y, yaw + rng.normal(0.0, 0.12)))


def _shell(rng: np.random.Generator, size: np.ndarray, floor: str) -> list[Solid]:
    """Floor, ceiling and four walls, seen from inside."""
    x, y, z = size
    t, colour = _THICK_M, paint(rng, "wall")
    return [
        block(floor, paint(rng, floor), (-t, x + t), (-t, y + t), (-t, 0.0)),
        block("ceiling", paint(rng, "ceiling"), (-t, x + t), (-t, y + t), (z, z + t)),
        block("wall", colour, (-t, x + t), (-t, 0.0), (0.0, z)),
        block("wall", colour, (-t, x + t), (y, y + t), (0.0, z)),
        block("wall", colour, (-t, 0.0), (0.0, y), (0.0, z)),
        block("wall", colour, (x, x + t), (0.0, y), (0.0, z)),
    ]
