"""The things that stand in a street, each as a few solids.

Frame: x along the street, y left, z up, metres. (x, y, z) is the foot of a thing, heading a yaw in radians.
"""

from __future__ import annotations

import numpy as np

from preprocess.simulation.shapes import Shape, Solid, rolled, yawed
from preprocess.simulation.street.materials import MATERIALS, draw_colour

Range = tuple[float, float]
Triple = tuple[float, float, float]


def part(
    shape: Shape,
    name: str,
    colour: np.ndarray,
    centre: Triple,
    half: Triple,
    rotation: np.ndarray | float = 0.0,
) -> Solid:
    """A solid of the class `name`. rotation: a matrix (3,3), or a yaw in radians."""
    matrix = yawed(rotation) if isinstance(rotation, float) else rotation
    return Solid(shape, np.array(centre), np.array(half), matrix, MATERIALS.position(name), colour)


def slab(name: str, colour: np.ndarray, x: Range, y: Range, top: float) -> Solid:
    """A flat piece of ground, half a metre thick. x, y: its ends."""
    middle, half = (sum(x) / 2, sum(y) / 2, top - 0.25), (abs(x[1] - x[0]) / 2, abs(y[1] - y[0]) / 2, 0.25)
    return part(Shape.BOX, name, colour, middle, half)


def building(
    rng: np.random.Generator, x: float, y: float, z: float, length: float, depth: float
) -> list[Solid]:
    """A box, low or several storeys high, sunk half a metre into the ground."""
    height = float(rng.choice([rng.uniform(2.4, 3.4), rng.uniform(5.0, 14.0)], p=[0.25, 0.75]))
    half = (length / 2, depth / 2, height / 2 + 0.5)
    return [part(Shape.BOX, "building", draw_colour(rng, "building"), (x, y, z + height / 2 - 0.5), half)]


def low_wall(rng: np.random.Generator, x: float, y: float, z: float, length: float) -> list[Solid]:
    """A garden wall: its class is building, its shape a fence's."""
    height, colour = rng.uniform(0.8, 1.6), draw_colour(rng, "building")
    return [part(Shape.BOX, "building", colour, (x, y, z + height / 2), (length / 2, 0.12, height / 2))]


def fence(rng: np.random.Generator, x: float, y: float, z: float, length: float) -> list[Solid]:
    """A thin upright box along x, 0.9 to 2 m high."""
    height = rng.uniform(0.9, 2.0)
    centre, half = (x, y, z + height / 2), (length / 2, 0.05, height / 2)
    return [part(Shape.BOX, "fence", draw_colour(rng, "fence"), centre, half)]


def car(rng: np.random.Generator, x: float, y: float, z: float, heading: float) -> list[Solid]:
    """A body with a cabin on it."""
    length, width, height = rng.uniform(3.7, 4.9), rng.uniform(1.65, 1.9), rng.uniform(1.4, 1.7)
    colour = draw_colour(rng, "car")
    middle, half = (x, y, z + 0.2 + 0.25 * height), (length / 2, width / 2, 0.27 * height)
    body = part(Shape.BOX, "car", colour, middle, half, heading)
    back = -0.06 * length * np.array([np.cos(heading), np.sin(heading)])
    middle, half = (x + back[0], y + back[1], z + 0.77 * height), (0.29 * length, 0.44 * width, 0.23 * height)
    cabin = part(Shape.BOX, "car", colour * 0.75, middle, half, heading)
    return [body, cabin]


def truck(rng: np.random.Generator, x: float, y: float, z: float, heading: float) -> list[Solid]:
    """A container as high as a low building, and a cab."""
    length, width, height = rng.uniform(4.5, 8.0), rng.uniform(2.2, 2.5), rng.uniform(2.4, 3.4)
    colour = draw_colour(rng, "truck")
    middle, half = (x, y, z + 0.4 + height / 2), (length / 2, width / 2, height / 2)
    load = part(Shape.BOX, "truck", colour, middle, half, heading)
    ahead = (length / 2 + 0.9) * np.array([np.cos(heading), np.sin(heading)])
    middle, half = (x + ahead[0], y + ahead[1], z + 0.4 + 0.36 * height), (0.8, 0.46 * width, 0.36 * height)
    cab = part(Shape.BOX, "truck", np.clip(colour * 1.1, 0.0, 0.98), middle, half, heading)
    return [load, cab]


def tree(rng: np.random.Generator, x: float, y: float, z: float) -> list[Solid]:
    """A bare trunk, often as thin as a pole, under a crown of one to three ellipsoids."""
    radius, bare = rng.uniform(0.09, 0.28), rng.uniform(1.8, 3.2)
    trunk_half = (radius, radius, bare / 2 + 0.4)
    solids = [part(Shape.CYLINDER, "trunk", draw_colour(rng, "trunk"), (x, y, z + bare / 2), trunk_half)]
    leaves = draw_colour(rng, "vegetation")
    for _ in range(rng.integers(1, 4)):
        half = rng.uniform((0.9, 0.9, 0.8), (1.9, 1.9, 1.7))
        dx, dy = rng.normal(0.0, 0.5, 2)
        centre = (x + dx, y + dy, z + bare + 0.6 * half[2])
        solids.append(part(Shape.ELLIPSOID, "vegetation", leaves, centre, tuple(half)))
    return solids


def bush(rng: np.random.Generator, x: float, y: float, z: float) -> list[Solid]:
    """An ellipsoid that is sunk a little into the ground."""
    half = rng.uniform((0.5, 0.4, 0.4), (2.2, 0.9, 1.0))
    centre = (x, y, z + 0.7 * half[2])
    return [part(Shape.ELLIPSOID, "vegetation", draw_colour(rng, "vegetation"), centre, tuple(half))]


def pole(rng: np.random.Generator, x: float, y: float, z: float, with_sign: bool) -> list[Solid]:
    """A post with a sign's plate at the top, or a taller post without one."""
    radius = rng.uniform(0.07, 0.16)
    height = rng.uniform(2.4, 3.4) if with_sign else rng.uniform(4.0, 7.0)
    post_half = (radius, radius, height / 2)
    solids = [part(Shape.CYLINDER, "pole", draw_colour(rng, "pole"), (x, y, z + height / 2), post_half)]
    if with_sign:
        half = (0.04, rng.uniform(0.3, 0.55), rng.uniform(0.3, 0.5))
        heading = float(rng.normal(0.0, 0.2))
        centre = (x - radius - 0.05, y, z + height - half[2])
        colour = draw_colour(rng, "traffic sign")
        solids.append(part(Shape.BOX, "traffic sign", colour, centre, half, heading))
    return solids


def person(rng: np.random.Generator, x: float, y: float, z: float) -> list[Solid]:
    """A body and a head."""
    height, girth = rng.uniform(1.5, 1.9), rng.uniform(0.2, 0.3)
    clothes = draw_colour(rng, "person")
    body_half = (girth, girth, 0.43 * height)
    body = part(Shape.CYLINDER, "person", clothes, (x, y, z + 0.43 * height), body_half)
    head = part(Shape.ELLIPSOID, "person", clothes, (x, y, z + 0.92 * height), (0.13, 0.13, 0.16))
    return [body, head]


def bicyclist(rng: np.random.Generator, x: float, y: float, z: float, heading: float) -> list[Solid]:
    """A rider and a bicycle in one class, as in SemanticKITTI."""
    colour = draw_colour(rng, "bicyclist")
    along = 0.5 * np.array([np.cos(heading), np.sin(heading)])
    lying, half = yawed(heading) @ rolled(np.pi / 2), (0.34, 0.34, 0.03)
    wheels = [
        part(Shape.CYLINDER, "bicyclist", colour * 0.85, (x + dx, y + dy, z + 0.34), half, lying)
        for dx, dy in (along, -along)
    ]
    frame = part(Shape.BOX, "bicyclist", colour * 0.9, (x, y, z + 0.6), (0.5, 0.06, 0.2), heading)
    rider = part(Shape.ELLIPSOID, "bicyclist", colour, (x, y, z + 1.2), (0.3, 0.24, 0.5), heading)
    return [*wheels, frame, rider]
