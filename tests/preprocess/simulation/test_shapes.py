from __future__ import annotations

import numpy as np
import pytest

from preprocess.simulation.shapes import NOTHING, Scene, Shape, Solid, cast, local_points, normals

UP = np.array([0.0, 0.0, 1.0])


def solid(shape: Shape, centre: tuple, half: tuple, yaw: float = 0.0) -> Solid:
    rotation = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1.0]])
    return Solid(shape, np.array(centre, float), np.array(half, float), rotation, 0, np.full(3, 0.5))


def scene(*solids: Solid) -> Scene:
    return Scene.of(solids, UP)


def random_scene(rng: np.random.Generator) -> Scene:
    return scene(
        *(
            solid(
                Shape(rng.integers(3)), rng.uniform(-10, 10, 3), rng.uniform(0.3, 2.0, 3), rng.uniform(0, 6)
            )
            for _ in range(12)
        )
    )


def random_directions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Unit directions, most of them downwards."""
    directions = rng.normal(size=(count, 3)) - (0.0, 0.0, 2.0)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def is_inside(local: np.ndarray, shape: Shape) -> np.ndarray:
    """The definition of the unit shapes, point by point."""
    if shape == Shape.BOX:
        return np.abs(local).max(axis=1) < 1
    if shape == Shape.CYLINDER:
        return (np.hypot(local[:, 0], local[:, 1]) < 1) & (np.abs(local[:, 2]) < 1)
    return np.linalg.norm(local, axis=1) < 1


@pytest.mark.parametrize("shape", list(Shape))
def test_ray_along_x_enters_at_the_near_side(shape: Shape) -> None:
    distance, index = cast(scene(solid(shape, (5, 0, 0), (2, 1, 1))), np.zeros(3), np.eye(3), 40.0)
    assert distance[0] == pytest.approx(3.0)
    assert np.isinf(distance[1:]).all()
    assert index.tolist() == [0, NOTHING, NOTHING]


def test_ray_from_above_meets_the_cap_of_a_cylinder() -> None:
    pole = scene(solid(Shape.CYLINDER, (0, 0, 0), (0.5, 0.5, 2)))
    origin, down = np.array([0.3, 0.0, 5.0]), -UP[None]
    distance, index = cast(pole, origin, down, 40.0)
    local = local_points(pole, origin + down * distance[:, None], index)
    assert distance == pytest.approx([3.0])
    assert normals(pole, local, index)[0] == pytest.approx(UP)


def test_turned_box_shows_its_turned_face() -> None:
    box = scene(solid(Shape.BOX, (5, 0, 0), (1, 1, 1), yaw=np.pi / 4))
    distance, index = cast(box, np.array([0.0, 0.5, 0.0]), np.eye(3)[:1], 40.0)
    local = local_points(box, np.array([[distance[0], 0.5, 0.0]]), index)
    assert distance[0] == pytest.approx(5 - np.sqrt(2) + 0.5)
    assert normals(box, local, index)[0] == pytest.approx([-np.sqrt(0.5), np.sqrt(0.5), 0])


def test_nearer_solid_hides_the_farther() -> None:
    two = scene(solid(Shape.BOX, (9, 0, 0), (1, 3, 3)), solid(Shape.ELLIPSOID, (5, 0, 0), (1, 1, 1)))
    assert cast(two, np.zeros(3), np.eye(3)[:1], 40.0)[1].tolist() == [1]


def test_solid_beyond_the_range_is_not_seen() -> None:
    box = scene(solid(Shape.BOX, (9, 0, 0), (1, 1, 1)))
    assert cast(box, np.zeros(3), np.eye(3)[:1], 7.9)[1].tolist() == [NOTHING]
    assert cast(box, np.zeros(3), np.eye(3)[:1], 8.1)[1].tolist() == [0]


def test_solid_around_the_origin_is_not_seen() -> None:
    rays = random_directions(np.random.default_rng(0), 50)
    assert (cast(scene(solid(Shape.BOX, (0, 0, 0), (1, 1, 1))), np.zeros(3), rays, 40.0)[1] == NOTHING).all()


@pytest.mark.parametrize("seed", range(5))
def test_ray_is_free_before_its_hit_and_inside_the_solid_after_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world, directions = random_scene(rng), random_directions(rng, 300)
    origin = np.array([0.0, 0.0, 14.0])
    distance, index = cast(world, origin, directions, 30.0)
    for step in np.linspace(0.05, 30.0, 120):
        before = np.flatnonzero(step < distance - 1e-6)
        for number in range(12):
            where = local_points(world, origin + step * directions[before], np.full(len(before), number))
            assert not is_inside(where, Shape(world.shape[number])).any()
    hit = np.flatnonzero(index != NOTHING)
    assert len(hit) > 10
    for ray in hit:
        behind = origin + (distance[ray] + 1e-6) * directions[ray]
        local = local_points(world, behind[None], index[ray : ray + 1])
        assert is_inside(local, Shape(world.shape[index[ray]])).all()


@pytest.mark.parametrize("seed", range(3))
def test_normals_are_unit_and_face_the_eye(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world, directions = random_scene(rng), random_directions(rng, 2000)
    origin = np.array([0.0, 0.0, 14.0])
    distance, index = cast(world, origin, directions, 40.0)
    hit = index != NOTHING
    points = origin + directions[hit] * distance[hit, None]
    normal = normals(world, local_points(world, points, index[hit]), index[hit])
    assert np.allclose(np.linalg.norm(normal, axis=1), 1)
    assert (np.einsum("ri,ri->r", normal, directions[hit]) < 1e-6).all()
