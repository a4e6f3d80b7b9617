"""A random street: its layout, what stands in it, and the poses of a car that drives through it.

World frame: x along the street, y to the left, z up, the road at z = 0, metres. Traffic keeps right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lass3d_core.geometry.projection import rigid
from preprocess.simulation.shapes import Scene, Shape, Solid, pitched, rolled, yawed
from preprocess.simulation.street import objects
from preprocess.simulation.street.materials import draw_colour
from preprocess.simulation.street.objects import Range, part, slab

# The street goes on this far before and behind the car, a little farther than the LiDAR sees.
_REACH_M = 42.0
_OUTER_M = 45.0
_STEP_M = 1.0  # between two scans
_LIDAR_HEIGHT_M = 1.73  # of KITTI's Velodyne
_KERB_M = 0.13


@dataclass(frozen=True)
class Roadside:
    """One side of the street."""

    sign: int  # +1 left, -1 right
    parking: float  # width in metres, 0 for none
    sidewalk: float  # width in metres, 0 for none
    slope: float  # rise of the terrain per metre


@dataclass(frozen=True)
class Layout:
    """A street for a car that starts at x = 0 and takes `frames` scans.

    road_half: half of the road's width. crossing: (x, half of the width) of a street that crosses, or None.
    """

    frames: int
    road_half: float
    sides: tuple[Roadside, Roadside]
    crossing: Range | None

    @property
    def travel_m(self) -> float:
        """How far the car drives."""
        return (self.frames - 1) * _STEP_M

    @property
    def x(self) -> Range:
        """The ends of the street."""
        return -_REACH_M, _REACH_M + self.travel_m

    def kerb(self, side: Roadside) -> float:
        """|y| where the sidewalk begins."""
        return self.road_half + side.parking

    def edge(self, side: Roadside) -> float:
        """|y| where the terrain begins."""
        return self.kerb(side) + side.sidewalk

    def height(self, side: Roadside, lateral: float) -> float:
        """The height of the ground at |y| = `lateral`."""
        if lateral < self.kerb(side):
            return 0.0
        return _KERB_M + side.slope * max(0.0, lateral - self.edge(side))

    def is_free(self, x: float, margin: float = 0.0) -> bool:
        """Whether the crossing street is farther from `x` than `margin`."""
        return self.crossing is None or abs(x - self.crossing[0]) > self.crossing[1] + margin

    def pieces(self) -> list[Range]:
        """The stretches of x beside the crossing street."""
        if self.crossing is None:
            return [self.x]
        middle, half = self.crossing
        return [(self.x[0], middle - half), (middle + half, self.x[1])]


def lay_out(rng: np.random.Generator, frames: int) -> Layout:
    """Draw the street for a drive of `frames` scans."""
    sides = []
    for sign in (1, -1):
        parking = rng.uniform(2.1, 2.6) if rng.random() < 0.45 else 0.0
        sidewalk = rng.uniform(1.5, 3.0) if rng.random() < 0.85 else 0.0
        sides.append(Roadside(sign, parking, sidewalk, rng.uniform(0.0, 0.06)))
    plain = Layout(frames, rng.uniform(3.2, 5.5), (sides[0], sides[1]), crossing=None)
    if rng.random() > 0.35:
        return plain
    return replace(plain, crossing=(rng.uniform(plain.x[0] + 25, plain.x[1] - 12), rng.uniform(3.0, 4.5)))


def build_scene(rng: np.random.Generator, layout: Layout) -> Scene:
    """Draw the ground, what stands on it, and the direction to the sun."""
    solids = [*_ground(rng, layout), *_traffic(rng, layout)]
    for side in layout.sides:
        for furnish in (_plots, _greenery, _kerbside, _parked):
            solids += furnish(rng, layout, side)
    elevation, azimuth = np.deg2rad(rng.uniform(35, 70)), rng.uniform(0, 2 * np.pi)
    level = np.cos(elevation)
    to_sun = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
    return Scene.of(solids, to_sun)


def drive(rng: np.random.Generator, layout: Layout) -> list[np.ndarray]:
    """Draw the poses world_from_velodyne (4,4) of the scans: a metre apart, weaving in the right lane."""
    phase, swing = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.5)
    poses = []
    for frame in range(layout.frames):
        x = frame * _STEP_M
        y = -layout.road_half / 2 + swing * np.sin(x / 12 + phase)
        yaw = np.arctan(swing / 12 * np.cos(x / 12 + phase))
        pitch, roll = rng.normal(0.0, np.deg2rad(0.3), 2)
        place = np.array([x, y, _LIDAR_HEIGHT_M + rng.normal(0.0, 0.01)])
        poses.append(rigid(yawed(yaw) @ pitched(pitch) @ rolled(roll), place))
    return poses


def _ground(rng: np.random.Generator, layout: Layout) -> Iterator[Solid]:
    yield slab("road", draw_colour(rng, "road"), layout.x, (-_OUTER_M, _OUTER_M), 0.0)
    for side in layout.sides:
        parking, walk, lawn = (draw_colour(rng, name) for name in ("parking", "sidewalk", "terrain"))
        kerb, edge, sign = layout.kerb(side), layout.edge(side), side.sign
        for x in layout.pieces():
            if side.parking:
                yield slab("parking", parking, x, (sign * layout.road_half, sign * kerb), 0.01)
            if side.sidewalk:
                yield slab("sidewalk", walk, x, (sign * kerb, sign * edge), _KERB_M)
            yield _meadow(lawn, x, side, edge)


def _meadow(colour: np.ndarray, x: Range, side: Roadside, edge: float) -> Solid:
    """Terrain that rises outwards, from the height of the kerb."""
    angle, half_width = np.arctan(side.slope), (_OUTER_M - edge) / 2
    middle = np.array([0.0, side.sign * (edge + half_width), _KERB_M + side.slope * half_width])
    turn = rolled(side.sign * angle)
    thickness = 3.0
    centre = middle - thickness / 2 * turn[:, 2]
    half = ((x[1] - x[0]) / 2, half_width / np.cos(angle), thickness / 2)
    return part(Shape.BOX, "terrain", colour, (sum(x) / 2, centre[1], centre[2]), half, turn)


def _plots(rng: np.random.Generator, layout: Layout, side: Roadside) -> Iterator[Solid]:
    """Buildings, gardens with a fence or a wall, and gaps along the street."""
    x, edge = layout.x[0], layout.edge(side)
    while x < layout.x[1]:
        length, setback = rng.uniform(7.0, 18.0), rng.uniform(1.0, 9.0)
        middle = x + length / 2
        lateral = edge + rng.uniform(0.2, 0.9)
        at_fence = (middle, side.sign * lateral, layout.height(side, lateral))
        if layout.is_free(middle, length / 2):
            if rng.random() < 0.68:
                depth = rng.uniform(7.0, 11.0)
                centre = edge + setback + depth / 2
                ground = layout.height(side, edge + setback)
                yield from objects.building(rng, middle, side.sign * centre, ground, length * 0.9, depth)
            if rng.random() < 0.45:
                border = objects.fence if rng.random() < 0.7 else objects.low_wall
                yield from border(rng, *at_fence, length * rng.uniform(0.5, 1.0))
        x += length + rng.uniform(0.0, 5.0)


def _greenery(rng: np.random.Generator, layout: Layout, side: Roadside) -> Iterator[Solid]:
    for plant, count in ((objects.tree, rng.integers(8, 15)), (objects.bush, rng.integers(2, 6))):
        for _ in range(count):
            x, lateral = rng.uniform(*layout.x), layout.edge(side) + rng.uniform(0.3, 7.0)
            if layout.is_free(x, 1.5):
                yield from plant(rng, x, side.sign * lateral, layout.height(side, lateral))


def _kerbside(rng: np.random.Generator, layout: Layout, side: Roadside) -> Iterator[Solid]:
    """Poles, signs and people on the sidewalk."""
    kerb, edge = layout.kerb(side), layout.edge(side)
    x = layout.x[0] + rng.uniform(0.0, 8.0)
    while x < layout.x[1]:
        if layout.is_free(x, 0.5):
            yield from objects.pole(rng, x, side.sign * (kerb + 0.4), _KERB_M, with_sign=rng.random() < 0.45)
        x += rng.uniform(7.0, 16.0)
    for _ in range(rng.integers(3, 8)):
        x, lateral = rng.uniform(*layout.x), rng.uniform(kerb + 0.5, max(edge, kerb + 1.5))
        yield from objects.person(rng, x, side.sign * lateral, _KERB_M)


def _parked(rng: np.random.Generator, layout: Layout, side: Roadside) -> Iterator[Solid]:
    """Vehicles in the parking lane; without one, in the oncoming lane, never in the lane of our car."""
    if side.sign < 0 and not side.parking:
        return
    heading = 0.0 if side.sign < 0 else np.pi
    lateral = side.sign * (layout.road_half + (side.parking / 2 if side.parking else -1.0))
    x = layout.x[0]
    while x < layout.x[1]:
        if layout.is_free(x, 4.0) and rng.random() < 0.5:
            vehicle = objects.truck if rng.random() < 0.07 else objects.car
            yield from vehicle(rng, x, lateral, 0.0, heading + float(rng.normal(0.0, 0.04)))
        x += rng.uniform(7.5, 12.0)


def _traffic(rng: np.random.Generator, layout: Layout) -> Iterator[Solid]:
    """Vehicles in the two lanes, none in the way of our car, and people on bicycles."""
    lane = layout.road_half / 2
    ahead, behind = (layout.travel_m + 12.0, layout.x[1]), (layout.x[0], -10.0)
    for x_range, y, heading in ((ahead, -lane, 0.0), (behind, -lane, 0.0), (layout.x, lane, np.pi)):
        for _ in range(rng.integers(0, 4)):
            vehicle = objects.truck if rng.random() < 0.15 else objects.car
            yield from vehicle(rng, rng.uniform(*x_range), y, 0.0, heading + float(rng.normal(0.0, 0.03)))
    for _ in range(rng.integers(2, 5)):
        side = layout.sides[rng.integers(2)]
        x, lateral = rng.uniform(*layout.x), layout.road_half - 0.4
        yield from objects.bicyclist(rng, x, side.sign * lateral, 0.0, float(rng.normal(0.0, 0.1)))
