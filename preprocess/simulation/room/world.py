"""A random furnished room.

Room frame: see plan.py. World frame: z up; the room is turned and shifted in it, as in a ScanNet scan that is
not aligned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preprocess.simulation.room.fixtures import (
    bathtub,
    counter,
    door,
    refrigerator,
    toilet,
    wall_picture,
    washstand,
    window,
)
from preprocess.simulation.room.furniture import (
    bed,
    bookshelf,
    cabinet,
    chair,
    coffee_table,
    desk,
    dining_table,
    hung_cabinet,
    other,
    rug,
    sofa,
    television,
)
from preprocess.simulation.room.materials import draw_colour
from preprocess.simulation.room.pieces import Maker, block
from preprocess.simulation.room.plan import FloorPlan, pose_at, transform_solids
from preprocess.simulation.shapes import Scene, Solid

_THICK_M = 0.1  # walls, floor and ceiling

Wanted = tuple[tuple[Maker, float], ...]
"""Pieces, and the expected number of each."""


@dataclass(frozen=True)
class RoomType:
    """A kind of room and its pieces.

    share: among all rooms. width: range of both sides in metres. floor: the material.
    The room is furnished in this order: at_wall (stand at the walls), hung (hang on them), inside (anywhere).
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
        share=0.25,
        width=(3.0, 4.2),
        floor="floor",
        at_wall=((bed, 1.4), (cabinet, 1.8), (desk, 0.8), (bookshelf, 0.6), (television, 0.3), (other, 0.8)),
        hung=((wall_picture, 1.5),),
        inside=((chair, 0.8), (rug, 0.5)),
    ),
    RoomType(
        "Living room / Lounge",
        share=0.24,
        width=(3.4, 4.6),
        floor="floor",
        at_wall=((sofa, 1.8), (television, 0.8), (bookshelf, 1.3), (cabinet, 0.8), (other, 0.8)),
        hung=((wall_picture, 1.8),),
        inside=((coffee_table, 0.9), (dining_table, 0.5), (chair, 1.0), (rug, 0.6)),
    ),
    RoomType(
        "Kitchen",
        share=0.16,
        width=(2.8, 3.9),
        floor="tiles",
        at_wall=((counter, 1.9), (refrigerator, 1.1), (cabinet, 0.6), (other, 0.4)),
        hung=((hung_cabinet, 1.4), (wall_picture, 0.4)),
        inside=((dining_table, 1.0), (chair, 0.5)),
    ),
    RoomType(
        "Office",
        share=0.17,
        width=(3.0, 4.5),
        floor="floor",
        at_wall=((desk, 2.7), (bookshelf, 1.6), (cabinet, 1.5), (refrigerator, 0.2)),
        hung=((wall_picture, 1.0),),
        inside=((dining_table, 0.6), (chair, 1.2), (other, 0.4)),
    ),
    RoomType(
        "Bathroom",
        share=0.18,
        width=(2.2, 2.8),
        floor="tiles",
        at_wall=((bathtub, 0.9), (toilet, 1.0), (washstand, 1.0), (cabinet, 0.6), (other, 0.3)),
        hung=((wall_picture, 0.2),),
        inside=((rug, 0.4),),
    ),
)
"""Crowded, as ScanNet's rooms are: a wall must not be all that a camera sees."""


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
        _stand(rng, plan, maker)
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


def _stand(rng: np.random.Generator, plan: FloorPlan, maker: Maker) -> None:
    piece = maker(rng)
    _seat(rng, plan, piece.seats, plan.at_wall(rng, piece, gap=rng.uniform(0.01, 0.05)))


def _seat(
    rng: np.random.Generator,
    plan: FloorPlan,
    seats: tuple[tuple[float, float, float], ...],
    pose: np.ndarray | None,
) -> None:
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
