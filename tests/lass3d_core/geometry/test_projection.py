"""Eq. (2) and visibility, against hand-worked cameras, brute-force twins and real frames."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lass3d_core.errors import DataError
from lass3d_core.geometry.projection import (
    image_borders,
    invert_rigid,
    pixels_in_image,
    project,
    rigid,
    scale_intrinsics,
    transform_points,
)
from lass3d_core.geometry.visible_pixels import MeasuredDepth, Visibility, at_pixels, visible_pixels
from lass3d_core.records import NONE, Camera

EVERYTHING = Visibility(kind="none", min_depth_m=0.0)


def camera(
    focal: float = 10.0, size_hw: tuple[int, int] = (20, 30), cam_from_points: np.ndarray | None = None
) -> Camera:
    K = np.array([[focal, 0, size_hw[1] / 2], [0, focal, size_hw[0] / 2], [0, 0, 1]])
    return Camera(K, np.eye(4) if cam_from_points is None else cam_from_points, size_hw)


def cloud(*points: tuple[float, float, float]) -> np.ndarray:
    return np.array(points, np.float32).reshape(-1, 3)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def test_projection_of_a_hand_worked_point() -> None:
    """Eq. (2): K = [[10,0,15],[0,10,10],[0,0,1]], point (1, 2, 4): u = 10/4 + 15, v = 20/4 + 10."""
    uv, depth = project(camera(), cloud((1, 2, 4)))
    assert uv.tolist() == [[17.5, 15.0]] and depth.tolist() == [4.0]
    assert uv.dtype == depth.dtype == np.float32


def test_points_are_taken_into_the_camera_frame_first() -> None:
    """LiDAR x forward, y left, z up: a point 4 m ahead, 1 m to the left, 2 m below, seen from 1 m behind."""
    cam_from_lidar = rigid(np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.array([0, 0, 1]))
    uv, depth = project(camera(cam_from_points=cam_from_lidar), cloud((4, 1, -2)))
    assert depth.tolist() == [5.0] and uv.tolist() == [[13.0, 14.0]]


def test_point_behind_or_on_the_camera_plane_has_no_pixel() -> None:
    uv, depth = project(camera(), cloud((0, 0, -4), (1, 1, 0), (0, 0, 1e-9)))
    assert np.isnan(uv).all() and depth.tolist() == pytest.approx([-4, 0, 1e-9])
    assert len(visible_pixels(camera(), cloud((0, 0, -4), (1, 1, 0)), EVERYTHING).point) == 0


def test_coordinates_become_pixels_by_rounding_down() -> None:
    uv = np.array(
        [[0, 0], [0.99, 1.0], [29.99, 19.99], [30, 5], [5, 20], [-0.01, 5], [np.nan, 1]], np.float32
    )
    index, v, u = pixels_in_image(uv, np.ones(7, np.float32), (20, 30))
    assert index.tolist() == [0, 1, 2] and u.tolist() == [0, 0, 29] and v.tolist() == [0, 1, 19]


def test_pixels_are_looked_up_whatever_the_layout_of_the_image() -> None:
    image = np.arange(12, dtype=np.int16).reshape(3, 4)
    v, u = np.array([0, 2, 1], np.int32), np.array([3, 0, 2], np.int32)
    for laid_out in (image, np.asfortranarray(image), np.repeat(image, 2, axis=1)[:, ::2]):
        found = at_pixels(laid_out, v, u)
        assert found.tolist() == [3, 8, 6] and found.dtype == np.int16


def test_points_nearer_than_the_minimum_depth_are_not_seen() -> None:
    seen = visible_pixels(camera(), cloud((0, 0, 0.4), (0, 0, 0.6)), Visibility(kind="none", min_depth_m=0.5))
    assert seen.point.tolist() == [1]


def test_no_points_and_no_visible_points_are_empty_results() -> None:
    for points in (cloud(), cloud((0, 0, -1))):
        for kind in ("zbuffer", "none"):
            seen = visible_pixels(camera(), points, Visibility(kind=kind))
            assert [len(part) for part in seen] == [0, 0, 0, 0]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), focal=st.floats(1, 1000), scale=st.floats(0.1, 100))
def test_projection_equals_its_brute_force_twin(seed: int, focal: float, scale: float) -> None:
    """The twin works point by point in double precision; only within rounding of a border may it differ."""
    rng = np.random.default_rng(seed)
    cam = camera(focal, (40, 60), rigid(random_rotation(rng), rng.normal(size=3)))
    points = (rng.normal(size=(200, 3)) * scale).astype(np.float32)
    seen = visible_pixels(cam, points, EVERYTHING)
    found = {int(p): (int(v), int(u)) for p, v, u in zip(seen.point, seen.v, seen.u)}
    for index, point in enumerate(points.astype(np.float64)):
        x, y, z = cam.cam_from_points[:3, :3] @ point + cam.cam_from_points[:3, 3]
        if abs(z) < 0.05 * scale:
            continue
        u, v = cam.K[0, 0] * x / z + cam.K[0, 2], cam.K[1, 1] * y / z + cam.K[1, 2]
        if z < 0 or not (-0.01 < u < 60.01 and -0.01 < v < 40.01):
            assert index not in found
        elif all(abs(value - round(value)) > 0.01 for value in (u, v)):
            assert found[index] == (int(v), int(u))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    radius=st.integers(0, 6),
    tolerance=st.floats(0, 0.3),
    slack=st.floats(0, 2),
    grazing=st.floats(1, 90),
)
def test_zbuffer_equals_its_brute_force_twin(
    seed: int, radius: int, tolerance: float, slack: float, grazing: float
) -> None:
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-8, 8, 150), rng.uniform(-5, 5, 150), rng.uniform(1, 20, 150)])
    points = points.astype(np.float32)
    regions = rng.integers(-1, 2, (20, 30)).astype(np.int16)
    everything = visible_pixels(camera(), points, EVERYTHING)
    rule = Visibility("zbuffer", radius, tolerance, slack, grazing, min_depth_m=0.0)
    expected = []
    for i, depth in enumerate(everything.depth):
        rows, columns = abs(everything.v - everything.v[i]), abs(everything.u - everything.u[i])
        same = regions[everything.v, everything.u] == regions[everything.v[i], everything.u[i]]
        near = (rows <= radius) & (columns <= radius) & same
        apart = np.hypot(rows, columns)[near] / 10  # the focal length
        allowed = 1 + tolerance + apart / math.tan(math.radians(grazing))
        if np.all(depth <= everything.depth[near] * allowed + slack):
            expected.append(int(everything.point[i]))
    assert visible_pixels(camera(), points, rule, regions=regions).point.tolist() == expected


def test_zbuffer_hides_the_wall_behind_a_car_and_keeps_the_car() -> None:
    car, wall = cloud((0, 0, 5)), cloud((0.1, 0.1, 12), (6, 0, 12))
    seen = visible_pixels(camera(), np.concatenate([wall, car]), Visibility())
    assert seen.point.tolist() == [1, 2]  # the wall beside the car, and the car


@pytest.mark.parametrize("focal", [150.0, 700.0])
def test_a_road_hides_nothing_of_itself_and_a_post_the_wall_behind_it(focal: float) -> None:
    """A road 1.73 m below the camera is seen at 4.5 degrees 22 m ahead; a post at 10 m, a wall at 20 m."""
    cam = camera(focal, (int(focal), int(2 * focal)))
    depth = 1.73 * focal / (np.arange(np.ceil(1.73 * focal / 22), 0.4 * focal) + 0.5)  # one point a row
    road = np.column_stack([np.zeros_like(depth), np.full_like(depth, 1.73), depth]).astype(np.float32)
    assert len(visible_pixels(cam, road, Visibility()).point) == len(road)
    post = np.column_stack([np.full(10, -3), np.linspace(-1, 1, 10), np.full(10, 10)]).astype(np.float32)
    wall = post * 2 + np.float32([1.5 * 20 / focal, 0, 0])  # one and a half pixels beside the post
    both = np.concatenate([wall, post])
    assert visible_pixels(cam, both, Visibility()).point.tolist() == list(range(10, 20))
    assert len(visible_pixels(cam, both, Visibility(splat_radius_px=0)).point) == 20


def test_a_point_hides_no_point_whose_pixel_belongs_to_another_mask() -> None:
    """The camera looks past the post at (15, 10): its mask says that it does not reach the next column."""
    points = cloud((0.02, 0, 2), (2, 0, 10), (0, 0, 10))
    rule = Visibility(grazing_deg=60)
    assert visible_pixels(camera(), points, rule).point.tolist() == [0]
    regions = np.full((20, 30), NONE, np.int16)
    regions[:, 15] = 3
    assert visible_pixels(camera(), points, rule, regions=regions).point.tolist() == [0, 1]


def test_zbuffer_does_not_depend_on_the_order_of_points() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-8, 8, 300), rng.uniform(-5, 5, 300), rng.uniform(1, 20, 300)])
    points = points.astype(np.float32)
    order = rng.permutation(300)
    seen = visible_pixels(camera(), points, Visibility()).point
    shuffled = visible_pixels(camera(), points[order], Visibility()).point
    assert sorted(order[shuffled].tolist()) == seen.tolist()


def test_depth_map_keeps_the_measured_surface_alone() -> None:
    points = cloud((0, 0, 2), (0, 0, 4), (5, 0, 10), (-5, 0, 10), (0, -5, 10))
    depth_map = np.full((20, 30), 2.05, np.float32)
    depth_map[10, 20], depth_map[10, 10], depth_map[5, 15] = 0, np.nan, np.inf
    seen = visible_pixels(
        camera(), points, Visibility("depth_map", depth_tolerance=0.05), MeasuredDepth(depth_map, camera())
    )
    assert seen.point.tolist() == [0]


def test_the_depth_camera_may_be_another_size_than_the_colour_camera() -> None:
    points = cloud((0, 0, 2), (0, 0, 4))
    colour = camera()
    half = Camera(scale_intrinsics(colour.K, (20, 30), (10, 15)), colour.cam_from_points, (10, 15))
    measured = MeasuredDepth(np.full((10, 15), 4.0, np.float32), half)
    assert visible_pixels(colour, points, Visibility("depth_map"), measured).point.tolist() == [1]


def test_a_missing_or_misshapen_depth_map_is_one_clear_line() -> None:
    with pytest.raises(DataError, match="needs a depth image"):
        visible_pixels(camera(), cloud((0, 0, 2)), Visibility("depth_map"))
    with pytest.raises(DataError, match=r"\(10, 10\).*\(20, 30\)"):
        MeasuredDepth(np.ones((10, 10)), camera())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_rigid_transform_and_its_inverse_cancel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    transform = rigid(random_rotation(rng), rng.normal(size=3) * 100)
    np.testing.assert_allclose(invert_rigid(transform) @ transform, np.eye(4), atol=1e-9)
    points = rng.normal(size=(20, 3)).astype(np.float32)
    there = transform_points(transform, points)
    assert there.dtype == np.float32
    np.testing.assert_allclose(transform_points(invert_rigid(transform), there), points, atol=1e-3)


def test_resizing_an_image_scales_its_pixels_with_it() -> None:
    full = camera(focal=100.0, size_hw=(480, 640))
    half = Camera(scale_intrinsics(full.K, (480, 640), (240, 320)), full.cam_from_points, (240, 320))
    points = np.random.default_rng(1).uniform((-2, -2, 1), (2, 2, 9), (50, 3)).astype(np.float32)
    np.testing.assert_allclose(project(half, points)[0], project(full, points)[0] / 2, rtol=1e-5)
    assert full.K[0, 0] == 100.0


@pytest.mark.samples
def test_each_nuscenes_camera_sees_the_published_number_of_points(samples: Path) -> None:
    """Counted by the data set's own tools (depth above 1 m): 3067 to 4826 points per camera."""
    folder = samples / "nuscenes"
    points = np.fromfile(folder / "LIDAR_TOP.bin", np.float32).reshape(-1, 5)[:, :3]
    counts = []
    for entry in json.loads((folder / "calibration.json").read_text())["cameras"].values():
        with Image.open(folder / entry["image"]) as image:
            size_hw = (image.height, image.width)
        view = Camera(np.array(entry["K"]), np.array(entry["cam_from_lidar"]), size_hw)
        counts.append(len(visible_pixels(view, points, Visibility("none", min_depth_m=1.0)).point))
    assert len(counts) == 6 and (min(counts), max(counts)) == (3067, 4826)


def test_the_borders_of_an_image_are_planes_and_keep_the_magnitudes_of_their_parts() -> None:
    """At u = 3, v = 5 of an image of 4 x 10 and depth 2: 6, 20 - 6, 10 and 8 - 10, which is outside."""
    matrix = np.array([[1, 0, 2, 0], [0, -1, 0, 0], [0, 0, 1, 0]], np.float32)
    planes, magnitudes = image_borders(matrix, (4, 10))
    np.testing.assert_array_equal(planes @ [2, -10, 2, 1], [6, 14, 10, -2])
    np.testing.assert_array_equal(magnitudes, [[1, 0, 2, 0], [1, 0, 12, 0], [0, 1, 0, 0], [0, 1, 4, 0]])
