from __future__ import annotations

import numpy as np
import pytest

from benchmarks.calibration import label_outline
from lass3d_core.geometry.projection import project
from lass3d_core.labels import IGNORE
from lass3d_core.records import Camera
from preprocess.audit.outlines import depth_outline

FOCAL = 100.0
CAMERA = Camera(np.array([[FOCAL, 0, 100], [0, FOCAL, 75], [0, 0, 1]]), np.eye(4), (150, 200))
STEP = 5


def rays() -> np.ndarray:
    """Directions x/z, y/z (n,2) of a grid of every fifth pixel."""
    u, v = np.meshgrid(np.arange(2.5, 200, STEP), np.arange(2.5, 150, STEP))
    return np.column_stack([u.ravel() - 100, v.ravel() - 75]) / FOCAL


def at(depth: np.ndarray) -> np.ndarray:
    """The points (n,3) float32 of the grid at these depths."""
    return (np.column_stack([rays(), np.ones(len(depth))]) * depth[:, None]).astype(np.float32)


def on_plate() -> np.ndarray:
    """The rays that meet a plate of 60 x 40 pixels in the middle of the image."""
    return (abs(rays()) * FOCAL < (30, 20)).all(axis=1)


def test_the_outline_of_a_plate_before_a_wall_is_its_border() -> None:
    outline = depth_outline(CAMERA, at(np.where(on_plate(), 5.0, 10.0)))
    uv, depth = project(CAMERA, outline.points)
    assert depth == pytest.approx(5.0)
    across, down = abs(uv[:, 0] - 100), abs(uv[:, 1] - 75)
    beside = np.maximum(across - 30, down - 20)  # 0 on the border
    assert len(uv) == 2 * 12 + 2 * 8 - 4  # every outer point of the plate once
    assert abs(beside).max() < STEP / 2


def test_a_camera_elsewhere_gets_the_outline_in_the_frame_of_the_points() -> None:
    moved = np.eye(4)
    moved[:3, 3] = 1, 2, 3
    points = at(np.where(on_plate(), 5.0, 10.0))
    there = Camera(CAMERA.K, moved, CAMERA.size_hw)
    expected, outline = (
        depth_outline(CAMERA, points),
        depth_outline(there, points - moved[:3, 3].astype("f4")),
    )
    np.testing.assert_allclose(outline.points + moved[:3, 3], expected.points, atol=1e-4)
    np.testing.assert_allclose(outline.weights, expected.weights, rtol=1e-3)


def test_ground_seen_at_a_flat_angle_has_no_outline() -> None:
    points = at(np.full(len(rays()), 10.0))
    below = rays()[:, 1] > 0.05
    ground = points[below] * (1.6 / points[below][:, 1:2])  # 1.6 m under the camera, to 32 m
    assert len(depth_outline(CAMERA, ground.astype(np.float32)).points) == 0


def test_a_point_seen_through_a_gap_has_no_outline() -> None:
    depth = np.full(len(rays()), 5.0)
    depth[len(depth) // 2 + 20] = 12.0
    assert len(depth_outline(CAMERA, at(depth)).points) == 0


def test_near_outlines_weigh_more() -> None:
    near = depth_outline(CAMERA, at(np.where(on_plate(), 2.0, 10.0)))
    far = depth_outline(CAMERA, at(np.where(on_plate(), 8.0, 10.0)))
    assert near.weights == pytest.approx(2 * far.weights)


@pytest.mark.parametrize("count", [0, 1, 8])
def test_too_few_points_have_no_outline(count: int) -> None:
    points = at(np.full(len(rays()), 5.0))[:count]
    assert len(depth_outline(CAMERA, points).points) == 0


def test_points_behind_the_camera_are_not_seen() -> None:
    assert len(depth_outline(CAMERA, -at(np.where(on_plate(), 5.0, 10.0))).points) == 0


def test_labels_end_where_another_begins_and_not_at_ignored_points() -> None:
    points, labels = at(np.full(len(rays()), 5.0)), np.where(on_plate(), 3, 7).astype(np.uint8)
    uv, _ = project(CAMERA, label_outline(CAMERA, points, labels, 3).points)
    assert abs(np.maximum(abs(uv[:, 0] - 100) - 30, abs(uv[:, 1] - 75) - 20)).max() < STEP / 2
    labels[rays()[:, 0] < 0] = np.where(on_plate(), 3, IGNORE)[rays()[:, 0] < 0]
    uv, _ = project(CAMERA, label_outline(CAMERA, points, labels, 3).points)
    assert uv[:, 0].min() > 95
    assert len(label_outline(CAMERA, points, labels, 4).points) == 0
