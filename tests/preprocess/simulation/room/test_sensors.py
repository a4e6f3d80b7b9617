from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from lass3d_core.geometry.projection import project
from lass3d_core.geometry.visible_pixels import MeasuredDepth, Visibility, visible_pixels
from lass3d_core.records import Camera
from preprocess.simulation.room.materials import MATERIALS
from preprocess.simulation.room.patterns import textured
from preprocess.simulation.room.pieces import block
from preprocess.simulation.room.sensors import (
    COLOUR_HW,
    COLOUR_K,
    DEPTH_HW,
    DEPTH_K,
    Surface,
    Vertices,
    camera_image,
    depth_image,
    fused,
    seen_from,
    walk,
)
from preprocess.simulation.room.world import Room, build_room
from preprocess.simulation.shapes import Scene


@pytest.fixture(scope="module")
def visit() -> tuple[Room, list[np.ndarray], list[Surface]]:
    rng = np.random.default_rng(5)
    room = build_room(rng)
    poses = walk(rng, room.plan, room.world_from_room, 8)
    return room, poses, [seen_from(room, pose, COLOUR_K, COLOUR_HW) for pose in poses]


@pytest.fixture(scope="module")
def vertices(visit: tuple[Room, list[np.ndarray], list[Surface]]) -> Vertices:
    return fused(visit[2], visit[0], np.random.default_rng(6))


def camera_at(pose: np.ndarray, K: np.ndarray, size_hw: tuple[int, int]) -> Camera:
    return Camera(K, np.linalg.inv(pose), size_hw)


def test_surface_points_project_to_the_middles_of_their_pixels(visit: tuple) -> None:
    _, poses, surfaces = visit
    uv, depth = project(camera_at(poses[2], COLOUR_K, COLOUR_HW), surfaces[2].points.astype(np.float32))
    v, u = np.mgrid[0 : COLOUR_HW[0], 0 : COLOUR_HW[1]]
    assert (depth > 0).all()
    assert np.abs(uv - np.stack([u.ravel(), v.ravel()], axis=1) - 0.5).max() < 0.01


def test_depth_image_is_the_distance_along_the_axis_in_millimetres(visit: tuple) -> None:
    room, poses, _ = visit
    measured = depth_image(room, poses[0], np.random.default_rng(0)).astype(float) / 1000
    surface = seen_from(room, poses[0], DEPTH_K, DEPTH_HW)
    _, depth = project(camera_at(poses[0], DEPTH_K, DEPTH_HW), surface.points.astype(np.float32))
    known = measured.ravel() > 0
    assert 0.9 < known.mean() < 0.995
    assert np.abs(measured.ravel()[known] - depth[known]).max() < 0.01 * depth.max() ** 2
    assert measured[measured > 0].min() > 0.3 and measured.max() < 5.7


def test_vertices_lie_on_surfaces_and_no_two_in_a_cell(visit: tuple, vertices: Vertices) -> None:
    assert vertices.points.dtype == np.float32 and vertices.colours.dtype == np.uint8
    assert 5_000 < len(vertices.points) < 30_000
    everything = np.concatenate([surface.points for surface in visit[2]])
    gap, _ = cKDTree(everything).query(vertices.points[::200])
    assert gap.max() < 0.03


def test_most_vertices_are_seen_by_several_frames_under_the_depth_maps(
    visit: tuple, vertices: Vertices
) -> None:
    room, poses, _ = visit
    seen = np.zeros(len(vertices.points), int)
    for pose in poses:
        depth = depth_image(room, pose, np.random.default_rng(1)).astype(np.float32) / 1000
        measured = MeasuredDepth(depth, camera_at(pose, DEPTH_K, DEPTH_HW))
        visibility = Visibility("depth_map", depth_tolerance=0.1)
        camera = camera_at(pose, COLOUR_K, COLOUR_HW)
        seen[visible_pixels(camera, vertices.points, visibility, measured).point] += 1
    assert (seen > 0).mean() > 0.9 and (seen > 1).mean() > 0.6


def test_some_vertices_are_not_annotated(vertices: Vertices) -> None:
    assert 0 < np.mean(vertices.labels == 0) < 0.08
    assert {1, 2} < set(vertices.labels.tolist()) <= {0, *(material.raw_id for material in MATERIALS)}


def test_images_of_one_place_agree_but_for_noise_and_exposure(visit: tuple) -> None:
    first, second = (camera_image(visit[2][0], np.random.default_rng(seed)).astype(float) for seed in (0, 1))
    assert first.shape == (*COLOUR_HW, 3)
    assert not np.array_equal(first, second)
    ratio = first.mean() / second.mean()
    assert np.abs(first - ratio * second).mean() < 12


def test_colour_alone_does_not_tell_classes_apart(visit: tuple) -> None:
    rng = np.random.default_rng(0)
    labels, colours = [], []
    for seed in range(6):
        room = build_room(np.random.default_rng((2, seed)))
        poses = walk(rng, room.plan, room.world_from_room, 3)
        found = fused([seen_from(room, pose, DEPTH_K, DEPTH_HW) for pose in poses], room, rng)
        labels.append(found.labels)
        colours.append(found.colours // 32)
    label, colour = np.concatenate(labels).astype(int), np.concatenate(colours).astype(int)
    cell = colour @ [64, 8, 1]
    table = np.zeros((512, 41), int)
    np.add.at(table, (cell, label), 1)
    best = table.argmax(axis=1)[cell]  # told what no learner is told: the labels of these very rooms
    classes = [one for one in np.unique(label) if one]
    assert np.mean([np.mean(best[label == one] == one) for one in classes]) < 0.7


@pytest.mark.parametrize("name", ["floor", "tiles", "cabinet", "books", "picture", "window"])
def test_patterns_vary_a_surface_and_stay_with_it(name: str) -> None:
    solid = block(name, np.array([0.5, 0.4, 0.3]), (-1, 1), (-1, 1), (-1, 1))
    scene = Scene.of([solid], np.array([0.0, 0.0, 1.0]))
    metric = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    of = np.zeros(500, int)
    colours = textured(scene, metric, of)
    assert np.array_equal(colours, textured(scene, metric, of))
    assert colours.min() >= 0 and colours.max() <= 1
    assert colours.std(axis=0).max() > 0.03
