"""What the pieces of a room are made with.

Local frame of a piece: the middle of its back is the origin, x to the right of who looks out from there, y
from back to front, z up; metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from preprocess.simulation.room.materials import MATERIAL_ORDER
from preprocess.simulation.shapes import Shape, Solid

Range = tuple[float, float]

_COLOUR_SPREAD = 0.025  # per object
_MATERIAL_INDEX = {material.name: index for index, material in enumerate(MATERIAL_ORDER)}


@dataclass(frozen=True)
class Piece:
    """Something that stands or hangs in a room.

    It fills |x| <= width / 2, 0 <= y <= depth, z. seats: where chairs belong, as (x, y, yaw).
    """

    solids: tuple[Solid, ...]
    width: float
    depth: float
    z: Range
    seats: tuple[tuple[float, float, float], ...] = ()


Maker = Callable[[np.random.Generator], Piece]


def paint(rng: np.random.Generator, name: str) -> np.ndarray:
    """RGB (3,) in [0,1]: one of the nominal colours of a material, slightly off."""
    colours = MATERIAL_ORDER[_MATERIAL_INDEX[name]].colours
    nominal = np.array(colours[rng.integers(len(colours))])
    return np.clip(nominal + rng.normal(0.0, _COLOUR_SPREAD, 3), 0.02, 0.98)


def block(name: str, colour: np.ndarray, x: Range, y: Range, z: Range, shape: Shape = Shape.BOX) -> Solid:
    """A box, or the upright cylinder or ellipsoid that just fits into it."""
    low, high = np.array([x[0], y[0], z[0]]), np.array([x[1], y[1], z[1]])
    return Solid(shape, (low + high) / 2, (high - low) / 2, np.eye(3), _MATERIAL_INDEX[name], colour)


def on_legs(name: str, colour: np.ndarray, width: float, depth: float, height: float) -> tuple[Solid, ...]:
    """A top that four thin legs carry."""
    half = width / 2
    legs = [
        block(name, colour * 0.8, (x - 0.03, x + 0.03), (y - 0.03, y + 0.03), (0.0, height - 0.04))
        for x in (0.06 - half, half - 0.06)
        for y in (0.06, depth - 0.06)
    ]
    return (block(name, colour, (-half, half), (0.0, depth), (height - 0.04, height)), *legs)


def basin(colour: np.ndarray, x: Range, y: Range, z: float) -> list[Solid]:
    """A rim of 4 cm that stands up around a darker floor."""
    rim, top = 0.05, (z, z + 0.05)
    return [
        block("sink", colour * 0.85, x, y, (z, z + 0.01)),
        block("sink", colour, x, (y[0], y[0] + rim), top),
        block("sink", colour, x, (y[1] - rim, y[1]), top),
        block("sink", colour, (x[0], x[0] + rim), y, top),
        block("sink", colour, (x[1] - rim, x[1]), y, top),
    ]


def folds(rng: np.random.Generator, name: str, x: Range, y: Range, z: Range) -> list[Solid]:
    """Hanging cloth: upright elliptic cylinders side by side, a hand wide."""
    count, colour = max(2, round((x[1] - x[0]) / 0.12)), paint(rng, name)
    edges = np.linspace(*x, count + 1)
    return [block(name, colour, (a, b), y, z, Shape.CYLINDER) for a, b in pairwise(edges)]
