"""The furniture of a room, each piece a few solids, and the kinds of rooms. See pieces.py for the frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from preprocess.simulation.room.fixtures import (
    bathtub,
    counter,
    refrigerator,
    toilet,
    wall_picture,
    washstand,
)
from preprocess.simulation.room.materials import draw_colour
from preprocess.simulation.room.pieces import Maker, Piece, Range, block, on_legs
from preprocess.simulation.shapes import Shape

# From the edge of a table to the back of a chair that is drawn up to it.
_SEAT_GAP_M = 0.58


def bed(rng: np.random.Generator) -> Piece:
    """A mattress on a frame, a headboard at the wall, one or two pillows."""
    width, length, height = rng.uniform(0.9, 1.7), rng.uniform(1.9, 2.1), rng.uniform(0.42, 0.58)
    half, cover, pillow = width / 2, draw_colour(rng, "bed"), draw_colour(rng, "pillow")
    solids = [
        block("bed", cover * 0.6, (-half, half), (0.0, length), (0.0, 0.6 * height)),
        block("bed", cover, (-half + 0.03, half - 0.03), (0.05, length - 0.03), (0.6 * height, height)),
        block("bed", cover * 0.6, (-half, half), (0.0, 0.05), (0.0, height + rng.uniform(0.3, 0.5))),
    ]
    for centre in (-width / 4, width / 4) if width > 1.3 else (0.0,):
        x = (centre - 0.28, centre + 0.28)
        solids.append(block("pillow", pillow, x, (0.1, 0.5), (height, height + 0.12)))
    return Piece(tuple(solids), width, length, (0.0, height + 0.5))


def chair(rng: np.random.Generator) -> Piece:
    """Four legs or a column, a seat, a back."""
    width, seat, colour = rng.uniform(0.42, 0.52), rng.uniform(0.42, 0.48), draw_colour(rng, "chair")
    half, top = width / 2, rng.uniform(0.8, 1.0)
    if rng.random() < 0.5:
        legs = [
            block("chair", colour, (x - 0.025, x + 0.025), (y - 0.025, y + 0.025), (0.0, seat))
            for x in (0.03 - half, half - 0.03)
            for y in (0.03, width - 0.03)
        ]
    else:
        legs = [
            block("chair", colour, (-0.04, 0.04), (half - 0.04, half + 0.04), (0.0, seat), Shape.CYLINDER),
            block("chair", colour, (-half, half), (0.0, width), (0.03, 0.09), Shape.CYLINDER),
        ]
    solids = [
        *legs,
        block("chair", colour, (-half, half), (0.0, width), (seat - 0.06, seat)),
        block("chair", colour, (-half, half), (0.0, 0.06), (seat + 0.08, top)),
    ]
    return Piece(tuple(solids), width, width, (0.0, top))


def sofa(rng: np.random.Generator) -> Piece:
    """A seat between two arms and a back."""
    width, depth, seat = rng.uniform(1.3, 2.2), rng.uniform(0.8, 0.95), rng.uniform(0.38, 0.46)
    half, top, colour = width / 2, rng.uniform(0.72, 0.9), draw_colour(rng, "sofa")
    solids = [
        block("sofa", colour, (0.18 - half, half - 0.18), (0.2, depth), (0.05, seat)),
        block("sofa", colour, (-half, half), (0.0, 0.24), (0.05, top)),
        block("sofa", colour, (-half, 0.18 - half), (0.0, depth), (0.05, seat + 0.18)),
        block("sofa", colour, (half - 0.18, half), (0.0, depth), (0.05, seat + 0.18)),
    ]
    if rng.random() < 0.5:
        x, pillow = rng.uniform(-0.3, 0.3) * width, draw_colour(rng, "pillow")
        solids.append(block("pillow", pillow, (x - 0.2, x + 0.2), (0.24, 0.38), (seat, seat + 0.36)))
    return Piece(tuple(solids), width, depth, (0.0, top))


def dining_table(rng: np.random.Generator) -> Piece:
    """A top on four legs, with places for two or four chairs."""
    width, depth, height = rng.uniform(0.9, 1.7), rng.uniform(0.7, 0.95), rng.uniform(0.7, 0.78)
    places = (-width / 4, width / 4) if width > 1.2 else (0.0,)
    front = tuple((x, depth + _SEAT_GAP_M, np.pi) for x in places)
    back = tuple((x, -_SEAT_GAP_M, 0.0) for x in places)
    top_and_legs = on_legs("table", draw_colour(rng, "table"), width, depth, height)
    return Piece(top_and_legs, width, depth, (0.0, height), front + back)


def coffee_table(rng: np.random.Generator) -> Piece:
    """A low table."""
    width, depth, height = rng.uniform(0.7, 1.2), rng.uniform(0.5, 0.7), rng.uniform(0.36, 0.48)
    top_and_legs = on_legs("table", draw_colour(rng, "table"), width, depth, height)
    return Piece(top_and_legs, width, depth, (0.0, height))


def desk(rng: np.random.Generator) -> Piece:
    """A top on side boards or on legs, often with a screen, and a place for a chair."""
    width, depth, height = rng.uniform(1.0, 1.6), rng.uniform(0.6, 0.8), rng.uniform(0.7, 0.78)
    half, colour = width / 2, draw_colour(rng, "desk")
    if rng.random() < 0.35:
        solids = list(on_legs("desk", colour, width, depth, height))
    else:
        drawers = rng.choice([0.04, 0.4])
        solids = [
            block("desk", colour, (-half, half), (0.0, depth), (height - 0.04, height)),
            block("desk", colour, (-half, 0.04 - half), (0.0, depth), (0.0, height)),
            block("desk", colour, (half - drawers, half), (0.0, depth), (0.0, height)),
        ]
    if rng.random() < 0.7:
        x = rng.uniform(-0.2, 0.2) * width
        screen = partial(block, "television", draw_colour(rng, "television"))
        solids.append(screen((x - 0.28, x + 0.28), (0.2, 0.25), (height + 0.1, height + 0.44)))
        solids.append(screen((x - 0.1, x + 0.1), (0.14, 0.3), (height, height + 0.1)))
    return Piece(tuple(solids), width, depth, (0.0, height + 0.45), ((0.0, depth + _SEAT_GAP_M, np.pi),))


def cabinet(rng: np.random.Generator) -> Piece:
    """A box with doors: low as a chest, or high as a bookshelf."""
    height = float(rng.choice([rng.uniform(0.7, 1.1), rng.uniform(1.5, 2.0)]))
    width, depth = rng.uniform(0.6, 1.3), rng.uniform(0.4, 0.6)
    body = block("cabinet", draw_colour(rng, "cabinet"), (-width / 2, width / 2), (0.0, depth), (0.0, height))
    return Piece((body,), width, depth, (0.0, height))


def hung_cabinet(rng: np.random.Generator) -> Piece:
    """A cabinet on the wall, above the counters."""
    width, depth, low = rng.uniform(0.8, 1.8), rng.uniform(0.3, 0.38), rng.uniform(1.4, 1.5)
    z = (low, low + rng.uniform(0.55, 0.75))
    body = block("cabinet", draw_colour(rng, "cabinet"), (-width / 2, width / 2), (0.0, depth), z)
    return Piece((body,), width, depth, z)


def bookshelf(rng: np.random.Generator) -> Piece:
    """Boards around rows of books; some rows are half empty."""
    width, depth, height = rng.uniform(0.7, 1.3), rng.uniform(0.26, 0.36), rng.uniform(1.1, 2.0)
    half, levels = width / 2, np.linspace(0.06, height, round(height / 0.35))
    board = partial(block, "bookshelf", draw_colour(rng, "bookshelf"))
    solids = [
        board((-half, 0.03 - half), (0.0, depth), (0.0, height)),
        board((half - 0.03, half), (0.0, depth), (0.0, height)),
        board((-half, half), (0.0, 0.02), (0.0, height)),
        *(board((-half, half), (0.0, depth), (level - 0.03, level)) for level in levels),
    ]
    for level in levels[:-1]:
        end = rng.uniform(-0.2, 1.0) * (half - 0.03)
        books = (0.02, depth - rng.uniform(0.03, 0.1))
        row = partial(block, "books", draw_colour(rng, "books"), (0.03 - half, end), books)
        solids.append(row((level, level + rng.uniform(0.18, 0.27))))
    return Piece(tuple(solids), width, depth, (0.0, height))


def television(rng: np.random.Generator) -> Piece:
    """A screen on a low cabinet."""
    width, height = rng.uniform(1.0, 1.6), rng.uniform(0.4, 0.6)
    half, screen, z = width / 2, rng.uniform(0.4, 0.6), (height + 0.04, height + 0.7)
    solids = (
        block("cabinet", draw_colour(rng, "cabinet"), (-half, half), (0.0, 0.42), (0.0, height)),
        block("television", draw_colour(rng, "television"), (-screen, screen), (0.12, 0.18), z),
    )
    return Piece(solids, max(width, 2 * screen), 0.42, (0.0, height + 0.7))


def other(rng: np.random.Generator) -> Piece:
    """A stool, an ottoman or a small rack: the class otherfurniture of ScanNet's benchmark."""
    width, colour = rng.uniform(0.36, 0.6), draw_colour(rng, "otherfurniture")
    half, kind = width / 2, rng.integers(3)
    if kind < 2:
        height, shape = rng.uniform(0.35, 0.6), (Shape.CYLINDER, Shape.BOX)[kind]
        solids = [block("otherfurniture", colour, (-half, half), (0.0, width), (0.0, height), shape)]
    else:
        height = rng.uniform(0.8, 1.3)
        board = partial(block, "otherfurniture", colour)
        solids = [board((-half, half), (0.0, 0.35), (z - 0.03, z)) for z in np.linspace(0.1, height, 4)]
        solids += [board((x, x + 0.04), (0.0, 0.35), (0.0, height)) for x in (-half, half - 0.04)]
    return Piece(tuple(solids), width, max(width, 0.35), (0.0, height))


def rug(rng: np.random.Generator) -> Piece:
    """A mat on the floor. It has no height, so other pieces may stand on it."""
    half, depth = rng.uniform(0.5, 0.9), rng.uniform(0.8, 1.4)
    mat = block("floor mat", draw_colour(rng, "floor mat"), (-half, half), (0.0, depth), (0.0, 0.012))
    return Piece((mat,), 2 * half, depth, (0.0, 0.0))


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
    width: Range
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
