"""Fixed pieces of a room: kitchen and bath, pictures, windows, doors. See pieces.py for the frame."""

from __future__ import annotations

from functools import partial

import numpy as np

from preprocess.simulation.room.materials import draw_colour
from preprocess.simulation.room.pieces import Piece, basin, block, folds
from preprocess.simulation.shapes import Shape


def counter(rng: np.random.Generator) -> Piece:
    """A stone top on cabinets, often with a sink in it."""
    width, depth, height = rng.uniform(1.3, 2.6), rng.uniform(0.58, 0.66), rng.uniform(0.86, 0.94)
    half, top = width / 2, height - 0.06
    solids = [
        block("cabinet", draw_colour(rng, "cabinet"), (-half, half), (0.0, depth - 0.03), (0.0, top)),
        block("counter", draw_colour(rng, "counter"), (-half, half), (0.0, depth), (top, height)),
    ]
    if rng.random() < 0.75:
        x, y = rng.uniform(0.4 - half, half - 0.4), depth / 2
        solids += basin(draw_colour(rng, "sink"), (x - 0.28, x + 0.28), (y - 0.2, y + 0.2), height)
    return Piece(tuple(solids), width, depth, (0.0, height + 0.1))


def refrigerator(rng: np.random.Generator) -> Piece:
    """A smooth box with a door, and a freezer's door above it."""
    width, depth, height = rng.uniform(0.58, 0.8), rng.uniform(0.6, 0.7), rng.uniform(1.4, 1.9)
    half, colour, seam = width / 2, draw_colour(rng, "refrigerator"), height * rng.uniform(0.6, 0.7)
    solids = (
        block("refrigerator", colour * 0.8, (-half, half), (0.0, depth - 0.05), (0.0, height)),
        block("refrigerator", colour, (-half, half), (0.0, depth), (0.05, seam - 0.01)),
        block("refrigerator", colour, (-half, half), (0.0, depth), (seam + 0.01, height)),
    )
    return Piece(solids, width, depth, (0.0, height))


def toilet(rng: np.random.Generator) -> Piece:
    """A tank at the wall, and a bowl before it."""
    colour, seat = draw_colour(rng, "toilet"), rng.uniform(0.38, 0.44)
    solids = (
        block("toilet", colour, (-0.22, 0.22), (0.0, 0.18), (seat, seat + 0.4)),
        block("toilet", colour, (-0.12, 0.12), (0.05, 0.5), (0.0, seat)),
        block("toilet", colour, (-0.2, 0.2), (0.15, 0.7), (seat - 0.16, seat + 0.03), Shape.ELLIPSOID),
    )
    return Piece(solids, 0.44, 0.7, (0.0, seat + 0.4))


def washstand(rng: np.random.Generator) -> Piece:
    """A sink on a column."""
    height, half, colour = rng.uniform(0.78, 0.86), rng.uniform(0.25, 0.33), draw_colour(rng, "sink")
    column = block("sink", colour, (-0.08, 0.08), (0.1, 0.26), (0.0, height), Shape.CYLINDER)
    bowl = basin(colour, (-half, half), (0.0, 0.44), height)
    under = block("sink", colour, (-half, half), (0.0, 0.44), (height - 0.1, height))
    return Piece((column, under, *bowl), 2 * half, 0.44, (0.0, height + 0.1))


def bathtub(rng: np.random.Generator) -> Piece:
    """Four walls around a floor, mostly with a curtain beside them."""
    length, width, height = rng.uniform(1.4, 1.7), rng.uniform(0.68, 0.78), rng.uniform(0.48, 0.58)
    half, tub = length / 2, partial(block, "bathtub", draw_colour(rng, "bathtub"))
    solids = [
        tub((-half, half), (0.0, width), (0.0, 0.14)),
        tub((-half, half), (0.0, 0.07), (0.14, height)),
        tub((-half, half), (width - 0.07, width), (0.14, height)),
        tub((-half, 0.07 - half), (0.07, width - 0.07), (0.14, height)),
        tub((half - 0.07, half), (0.07, width - 0.07), (0.14, height)),
    ]
    if rng.random() < 0.75:
        drawn = (-half, rng.uniform(-0.6, 0.4) * half)
        solids += folds(rng, "shower curtain", drawn, (width - 0.05, width + 0.02), (0.3, 1.95))
        return Piece(tuple(solids), length, width + 0.02, (0.0, 1.95))
    return Piece(tuple(solids), length, width, (0.0, height))


def wall_picture(rng: np.random.Generator) -> Piece:
    """A canvas on the wall, at the height of the windows."""
    half, height, low = rng.uniform(0.22, 0.55), rng.uniform(0.4, 0.8), rng.uniform(1.15, 1.4)
    z = (low, low + height)
    canvas = block("picture", draw_colour(rng, "picture"), (-half, half), (0.0, 0.03), z)
    return Piece((canvas,), 2 * half, 0.03, z)


def window(rng: np.random.Generator) -> Piece:
    """Panes in the wall, mostly with curtains beside them."""
    half, z = rng.uniform(0.45, 0.8), (rng.uniform(0.85, 1.1), rng.uniform(1.95, 2.15))
    solids = [block("window", draw_colour(rng, "window"), (-half, half), (0.0, 0.04), z)]
    if rng.random() < 0.3:
        return Piece(tuple(solids), 2 * half, 0.06, z)
    cloth = (rng.uniform(0.05, 0.4), 2.3)
    for sign in (-1, 1):
        inner, outer = half - rng.uniform(0.0, 0.15), half + rng.uniform(0.2, 0.4)
        x = (inner, outer) if sign > 0 else (-outer, -inner)
        solids += folds(rng, "curtain", x, (0.05, 0.13), cloth)
    return Piece(tuple(solids), 2 * half + 0.8, 0.14, (cloth[0], 2.3))


def door(rng: np.random.Generator) -> Piece:
    """A leaf in the wall. The depth of the piece keeps free the space that it opens into."""
    half = rng.uniform(0.4, 0.48)
    leaf = block("door", draw_colour(rng, "door"), (-half, half), (0.0, 0.03), (0.0, rng.uniform(1.98, 2.1)))
    return Piece((leaf,), 2 * half, 0.8, (0.0, 2.1))
