"""The record of a piece of a room, and the solids that pieces are built from.

Frame of a piece: the origin is the middle of its back; x left to right as seen from behind it, y from back to
front, z up; metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from preprocess.simulation.room.materials import MATERIALS, draw_colour
from preprocess.simulation.shapes import Shape, Solid

Range = tuple[float, float]
Seats = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Piece:
    """Something that stands or hangs in a room.

    It fills |x| <= width / 2, 0 <= y <= depth, and the range z. seats: (x, y, yaw) of places for chairs.
    """

    solids: tuple[Solid, ...]
    width: float
    depth: float
    z: Range
    seats: Seats = ()


Maker = Callable[[np.random.Generator], Piece]


def block(name: str, colour: np.ndarray, x: Range, y: Range, z: Range, shape: Shape = Shape.BOX) -> Solid:
    """A box between two x, two y and two z, or the upright cylinder or ellipsoid that just fits into it."""
    low, high = np.array([x[0], y[0], z[0]]), np.array([x[1], y[1], z[1]])
    return Solid(shape, (low + high) / 2, (high - low) / 2, np.eye(3), MATERIALS.position(name), colour)


def on_legs(name: str, colour: np.ndarray, width: float, depth: float, height: float) -> tuple[Solid, ...]:
    """A top on four thin legs."""
    half = width / 2
    legs = [
        block(name, colour * 0.8, (x - 0.03, x + 0.03), (y - 0.03, y + 0.03), (0.0, height - 0.04))
        for x, y in product((0.06 - half, half - 0.06), (0.06, depth - 0.06))
    ]
    return (block(name, colour, (-half, half), (0.0, depth), (height - 0.04, height)), *legs)


def basin(colour: np.ndarray, x: Range, y: Range, z: float) -> list[Solid]:
    """A rim, 4 cm high, around a darker floor."""
    rim, top = 0.05, (z, z + 0.05)
    return [
        block("sink", colour * 0.85, x, y, (z, z + 0.01)),
        block("sink", colour, x, (y[0], y[0] + rim), top),
        block("sink", colour, x, (y[1] - rim, y[1]), top),
        block("sink", colour, (x[0], x[0] + rim), y, top),
        block("sink", colour, (x[1] - rim, x[1]), y, top),
    ]


def folds(rng: np.random.Generator, name: str, x: Range, y: Range, z: Range) -> list[Solid]:
    """Hanging cloth: upright elliptic cylinders, a hand wide, side by side."""
    count, colour = max(2, round((x[1] - x[0]) / 0.12)), draw_colour(rng, name)
    edges = np.linspace(*x, count + 1)
    return [block(name, colour, (a, b), y, z, Shape.CYLINDER) for a, b in pairwise(edges)]
