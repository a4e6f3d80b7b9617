"""The things that stand in a street, each as a few solids. x along the street, y left, z up, metres."""

from __future__ import annotations

import numpy as np

from preprocess.simulation.shapes import Shape, Solid, rolled, yawed
from preprocess.simulation.street.materials import MATERIAL_ORDER

_COLOUR_SPREAD = 0.02  # per object; at 0.05 a reader of colours is right on less than half of the points
_MATERIAL_INDEX = {material.name: index for index, material in enumerate(MATERIAL_ORDER)}


def paint(rng: np.random.Generator, name: str) -> np.ndarray:
    """RGB (3,) in [0,1]: one of the nominal colours of the class, slightly off."""
    colours = MATERIAL_ORDER[_MATERIAL_INDEX[name]].colours
    nominal = np.array(colours[rng.integers(len(colours))])
    return np.clip(nominal + rng.normal(0.0, _COLOUR_SPREAD, 3), 0.02, 0.98)


def solid(
    shape: Shape,
    name: str,
    colour: np.ndarray,
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
    rotation: np.ndarray | float = 0.0,
) -> Solid:
    """A Solid of class `name`; rotation is a matrix (3,3) or a yaw in radians."""
    matrix = yawed(rotation) if isinstance(rotation, float) else rotation
    return Solid(shape, np.array(centre), np.array(half), matrix, _MATERIAL_INDEX[name], colour)


def slab(
    rng: np.random.Generator, name: str, x: tuple[float, float], y: tuple[float, float], top: float
) -> Solid:
    """A flat piece of ground, half a metre thick, between two x and two y."""
    middle, half = (sum(x) / 2, sum(y) / 2, top - 0.25), (abs(x[1] - x[0]) / 2, abs(y[1] - y[0]) / 2, 0.25)
    return solid(Shape.BOX, name, paint(rng, name), middle, half)


def building(
    rng: np.random.Generator, x: float, y: float, z: float, length: float, depth: float
) -> list[Solid]:
    """A box, low or several storeys high, sunk half a metre into the ground."""
    height = float(rng.choice([rng.uniform(2.4, 3.4), rng.uniform(5.0, 14.0)], p=[0.25, 0.75]))
    half = (length / 2, depth / 2, height / 2 + 0.5)
    return [solid(Shape.BOX, "building", paint(rng, "building"), (x, y, z + height / 2 - 0.5), half)]


def low_wall(rng: np.random.Generator, x: float, y: float, z: float, length: float) -> list[Solid]:
    """A garden wall: a building by class, a fence by shape."""
    height = rng.uniform(0.8, 1.6)
    colour = paint(rng, "building")
    return [solid(Shape.BOX, "building", colour, (x, y, z + height / 2), (length / 2, 0.12, height / 2))]


def fence(rng: np.random.Generator, x: float, y: float, z: float, length: float) -> list[Solid]:
    """A thin upright box along x, 0.9 to 2 m high."""
    height = rng.uniform(0.9, 2.0)
    return [
        solid(Shape.BOX, "fence", paint(rng, "fence"), (x, y, z + height / 2), (length / 2, 0.05, height / 2))
    ]


def car(rng: np.random.Generator, x: float, y: float, z: float, heading: float) -> list[Solid]:
    """A body with a cabin on it, turned by `heading` radians."""
    length, width, height = rng.uniform(3.7, 4.9), rng.uniform(1.65, 1.9), rng.uniform(1.4, 1.7)
    colour = paint(rng, "car")
    body = solid(
        Shape.BOX,
        "car",
        colour,
        (x, y, z + 0.2 + 0.25 * height),
        (length / 2, width / 2, 0.27 * height),
        heading,
    )
    back = -0.06 * length * np.array([np.cos(heading), np.sin(heading)])
    cabin_half = (0.29 * length, 0.44 * width, 0.23 * height)
    cabin = solid(
        Shape.BOX, "car", colour * 0.75, (x + back[0], y + back[1], z + 0.77 * height), cabin_half, heading
    )
    return [body, cabin]


def truck(rng: np.random.Generator, x: float, y: float, z: float, heading: float) -> list[Solid]:
    """A container as high as a low building, and its cab, turned by `heading` radians."""
    length, width, height = rng.uniform(4.5, 8.0), rng.uniform(2.2, 2.5), rng.uniform(2.4, 3.4)
    colour = paint(rng, "truck")
    load = solid(
        Shape.BOX, "truck", colour, (x, y, z + 0.4 + height / 2), (length / 2, width / 2, height / 2), heading
    )
    ahead = (length / 2 + 0.9) * np.array([np.cos(heading), np.sin(heading)])
    cab_half = (0.8, 0.46 * width, 0.36 * height)
    cab_colour = np.clip(colour * 1.1, 0.0, 0.98)
    cab = solid(
        Shape.BOX,
        "truck",
        cab_colour,
        (x + ahead[0], y + ahead[1], z + 0.4 + 0.36 * height),
        cab_half,
        heading,
    )
    return [load, cab]


def tree(rng: np.random.Generator, x: float, y: float, z: float) -> list[Solid]:
    """A bare trunk, often as thin as a pole, under a crown of one to three ellipsoids."""
    radius, bare = rng.uniform(0.09, 0.28), rng.uniform(1.8, 3.2)
    trunk_half = (radius, radius, bare / 2 + 0.4)
    solids = [solid(Shape.CYLINDER, "trunk", paint(rng, "trunk"), (x, y, z + bare / 2), trunk_half)]
    leaves = paint(rng, "vegetation")
    for _ in range(rng.integers(1, 4)):
        half = rng.uniform((0.9, 0.9, 0.8), (1.9, 1.9, 1.7))
        dx, dy = rng.normal(0.0, 0.5, 2)
        centre = (x + dx, y + dy, z + bare + 0.6 * half[2])
        solids.append(solid(Shape.ELLIPSOID, "vegetation", leaves, centre, tuple(half)))
    return solids


def bush(rng: np.random.Generator, x: float, y: float, z: float) -> list[Solid]:
    half = rng.uniform((0.5, 0.4, 0.4), (2.2, 0.9, 1.0))
    centre = (x, y, z + 0.7 * half[2])
    return [solid(Shape.ELLIPSOID, "vegetation", paint(rng, "vegetation"), centre, tuple(half))]


def pole(rng: np.random.Generator, x: float, y: float, z: float, with_sign: bool) -> list[Solid]:
    """A post, with a sign's plate at its top or, taller, without."""
    radius = rng.uniform(0.07, 0.16)
    height = rng.uniform(2.4, 3.4) if with_sign else rng.uniform(4.0, 7.0)
    post_half = (radius, radius, height / 2)
    solids = [solid(Shape.CYLINDER, "pole", paint(rng, "pole"), (x, y, z + height / 2), post_half)]
    if with_sign:
        half = (0.04, rng.uniform(0.3, 0.55), rng.uniform(0.3, 0.5))
        heading = float(rng.normal(0.0, 0.2))
        centre = (x - radius - 0.05, y, z + height - half[2])
        solids.append(solid(Shape.BOX, "traffic sign", paint(rng, "traffic sign"), centre, half, heading))
    return solids


def person(rng: np.random.Generator, x: float, y: float, z: float) -> list[Solid]:
    """A body and a head."""
    height, girth = rng.uniform(1.5, 1.9), rng.uniform(0.2, 0.3)
    clothes = paint(rng, "person")
    body_half = (girth, girth, 0.43 * height)
    body = solid(Shape.CYLINDER, "person", clothes, (x, y, z + 0.43 * height), body_half)
    head = solid(Shape.ELLIPSOID, "person", clothes, (x, y, z + 0.92 * height), (0.13, 0.13, 0.16))
    return [body, head]


def bicyclist(rng: np.random.Generator, x: float, y: float, z: float, heading: float) -> list[Solid]:
    """Rider and bicycle together, as SemanticKITTI labels them."""
    colour = paint(rng, "bicyclist")
    along = 0.5 * np.array([np.cos(heading), np.sin(heading)])
    wheels = [
        solid(
            Shape.CYLINDER,
            "bicyclist",
            colour * 0.85,
            (x + dx, y + dy, z + 0.34),
            (0.34, 0.34, 0.03),
            yawed(heading) @ rolled(np.pi / 2),
        )
        for dx, dy in (along, -along)
    ]
    frame = solid(Shape.BOX, "bicyclist", colour * 0.9, (x, y, z + 0.6), (0.5, 0.06, 0.2), heading)
    rider = solid(Shape.ELLIPSOID, "bicyclist", colour, (x, y, z + 1.2), (0.3, 0.24, 0.5), heading)
    return [*wheels, frame, rider]
