from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.datasets.scannet.reader import LABEL_SPACE
from lass3d_core.labels import IGNORE
from preprocess.simulation.room.furniture import chair, desk, dining_table
from preprocess.simulation.room.materials import MATERIALS
from preprocess.simulation.room.pieces import Maker, Piece, block
from preprocess.simulation.room.sensors import walk
from preprocess.simulation.room.world import FloorPlan, Room, build_room, pose_at
from preprocess.simulation.shapes import NOTHING, cast

GREY = np.full(3, 0.5)


def room(seed: int) -> Room:
    return build_room(np.random.default_rng((11, seed)))


def crate(width: float, depth: float) -> Piece:
    half = width / 2
    return Piece((block("cabinet", GREY, (-half, half), (0, depth), (0, 1)),), width, depth, (0.0, 1.0))


def in_room(one: Room, world: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(one.world_from_room)
    return world @ inverse[:3, :3].T + inverse[:3, 3]


def test_every_class_of_scannet_has_a_material() -> None:
    raw = np.array([material.raw_id for material in MATERIALS])
    train_ids = LABEL_SPACE.train_ids(raw, "materials")
    assert set(train_ids[train_ids != IGNORE]) == set(range(20))


def test_equal_seeds_build_equal_rooms_and_others_do_not() -> None:
    assert np.array_equal(room(1).scene.colour, room(1).scene.colour)
    assert np.array_equal(room(1).scene.centre, room(1).scene.centre)
    assert not np.array_equal(room(1).plan.size, room(2).plan.size)


def test_fourteen_classes_and_more_stand_in_twenty_rooms() -> None:
    found = [{MATERIALS[index].name for index in np.unique(room(seed).scene.material)} for seed in range(20)]
    assert len(set.union(*found)) >= 24
    assert all({"wall", "ceiling"} < names for names in found)
    assert sum("window" in names for names in found) >= 15


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_nothing_stands_in_something_else_or_outside(seed: int) -> None:
    plan = room(seed).plan
    for index, (low, high) in enumerate(plan.taken):
        assert (low > -0.05).all() and (high < plan.size + 0.05).all()
        for other_low, other_high in plan.taken[:index]:
            assert (np.maximum(low, other_low) >= np.minimum(high, other_high)).any()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_room_is_closed_and_its_camera_stands_in_the_air(seed: int) -> None:
    one = room(seed)
    rng = np.random.default_rng(seed)
    for pose in walk(rng, one.plan, one.world_from_room, 4):
        rays = rng.normal(size=(300, 3))
        distance, solid = cast(
            one.scene, pose[:3, 3], rays / np.linalg.norm(rays, axis=1, keepdims=True), 12.0
        )
        assert (solid != NOTHING).all() and distance.min() > 0.1
        place = in_room(one, pose[:3, 3])
        assert (place > 0.2).all() and (place < one.plan.size - 0.2).all()


def test_camera_walks_around_and_looks_down_upright() -> None:
    one = room(3)
    poses = np.stack(walk(np.random.default_rng(0), one.plan, one.world_from_room, 12))
    assert np.allclose(poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.linalg.det(poses[:, :3, :3]), 1)
    forward, down = poses[:, :3, 2], poses[:, :3, 1]
    assert (down[:, 2] < -0.8).all() and -0.6 < forward[:, 2].mean() < -0.1
    heading = np.sort(np.arctan2(forward[:, 1], forward[:, 0]))
    assert np.diff(heading).max() < np.deg2rad(75)


def test_piece_at_a_wall_turns_its_back_to_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        plan = FloorPlan(np.array([4.0, 3.0, 2.5]))
        pose = plan.at_wall(rng, crate(1.0, 0.5), gap=0.1)
        assert pose is not None
        back, front = pose[:3, 3], pose[:3, 3] + pose[:3, 1]
        gaps = np.concatenate([back[:2], plan.size[:2] - back[:2]])
        assert gaps.min() == pytest.approx(0.1)
        assert (front[:2] > 0).all() and (front[:2] < plan.size[:2]).all()


def test_second_piece_on_the_same_place_is_refused() -> None:
    plan = FloorPlan(np.array([4.0, 3.0, 2.5]))
    assert plan.put(crate(1.0, 0.5), pose_at(2.0, 1.0, 0.0))
    before = len(plan.solids)
    assert not plan.put(crate(1.0, 0.5), pose_at(2.4, 1.2, 0.3))
    assert len(plan.solids) == before
    assert plan.put(crate(1.0, 0.5), pose_at(2.0, 1.5, 0.0))  # touches


def test_full_room_takes_no_more() -> None:
    plan = FloorPlan(np.array([2.0, 2.0, 2.5]))
    assert plan.put(crate(1.9, 1.9), pose_at(1.0, 0.05, 0.0))
    assert plan.at_wall(np.random.default_rng(0), crate(1.0, 0.5)) is None
    assert plan.inside(np.random.default_rng(0), crate(0.5, 0.5)) is None


@pytest.mark.parametrize("maker", [dining_table, desk])
def test_chairs_face_what_they_are_drawn_up_to(maker: Maker) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        piece, plan = maker(rng), FloorPlan(np.array([6.0, 6.0, 2.5]))
        place = pose_at(3.0, 2.5, np.pi / 2)
        assert plan.put(piece, place)
        assert piece.seats
        middle = place @ [0.0, piece.depth / 2, 0.0, 1.0]
        for x, y, yaw in piece.seats:
            seat = place @ pose_at(x, y, yaw)
            towards = (middle - seat[:, 3])[:2]
            assert seat[:2, 1] @ towards > 0.6 * np.linalg.norm(towards)
            assert plan.put(chair(rng), seat)
