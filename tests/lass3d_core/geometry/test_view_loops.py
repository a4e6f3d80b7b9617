"""The compiled loops against brute force: they must agree to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import caching

from lass3d_core.errors import DataError
from lass3d_core.geometry import view_loops
from lass3d_core.geometry.point_blocks import compiled, point_blocks
from lass3d_core.geometry.projection import homogeneous_product, image_from_points
from lass3d_core.geometry.visible_pixels import PreparedPoints, Visibility, at_pixels, visible_pixels
from lass3d_core.records import Camera

SPECIAL = [0.0, -0.0, 1e-45, -1e-45, 1e-30, -1e-30, 3e38, -3e38, np.inf, -np.inf, np.nan, 1.5, -1.5, 15.0]


def camera(rng: np.random.Generator) -> Camera:
    K = np.array([[rng.uniform(5, 40), 0, 30.5], [0, rng.uniform(5, 40), 20], [0, 0, 1]])
    cam_from_points = np.eye(4)
    cam_from_points[:3, 3] = rng.normal(size=3)
    return Camera(K, cam_from_points, (40, 61))


def assert_equal(ours: Sequence[np.ndarray], twins: Sequence[np.ndarray]) -> None:
    for one, other in zip(ours, twins, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.view(np.uint8), other.view(np.uint8))


def assert_same_in_image(seen_from: Camera, points: np.ndarray, nearest: float) -> None:
    """Project every point, without blocks, and keep those in the image."""
    height, width = seen_from.size_hw
    with np.errstate(all="ignore"):
        u, v, depth = homogeneous_product(image_from_points(seen_from), points.T)
        u, v = u / depth, v / depth
        inside = np.flatnonzero((depth > nearest) & (u >= 0) & (u < width) & (v >= 0) & (v < height))
    twins = inside, v[inside].astype(np.int32), u[inside].astype(np.int32), depth[inside]
    assert_equal(view_loops.in_image(seen_from, point_blocks(points), nearest), twins)


def seen_by_every_pair(
    v: np.ndarray, u: np.ndarray, depth: np.ndarray, seen_from: Camera, rule: Visibility, owner: np.ndarray
) -> np.ndarray:
    """Ask of every pair of points whether the first hides the second."""
    down, across = np.abs(v[:, None] - v), np.abs(u[:, None] - u)
    x, y = across / seen_from.K[0, 0], down / seen_from.K[1, 1]
    grows = np.sqrt(x * x + y * y) / np.tan(np.deg2rad(rule.grazing_deg))
    allowed = (1 + rule.depth_tolerance + grows).astype(np.float32)
    hides = depth > depth[:, None] * allowed + np.float32(rule.depth_slack_m)
    hides &= (down <= rule.splat_radius_px) & (across <= rule.splat_radius_px)
    hides &= owner[v, u][:, None] == owner[v, u]
    return ~hides.any(axis=0)


@given(st.integers(0, 10_000), st.sampled_from([0, 1, 7, 8, 9, 500]), st.sampled_from([1e-3, 0.5]))
@settings(max_examples=50, deadline=None)
def test_the_same_points_lie_in_the_image(seed: int, count: int, nearest: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(scale=5, size=(count, 3)).astype(np.float32)
    assert_same_in_image(camera(rng), points, nearest)


@given(st.lists(st.tuples(*[st.sampled_from(SPECIAL)] * 3), max_size=40))
@settings(max_examples=50, deadline=None)
def test_numbers_at_the_edge_of_what_floats_can_hold_are_treated_alike(
    points: list[tuple[float, float, float]],
) -> None:
    straight = Camera(np.diag([10.0, 10.0, 1.0]), np.eye(4), (40, 61))
    assert_same_in_image(straight, np.array(points, np.float32).reshape(-1, 3), 1e-3)


def test_pixels_on_the_border_are_in_or_out_alike() -> None:
    """With the unit matrix for a camera u is x / z: 0 is in, 61 is out, and so are their neighbours."""
    columns = [np.float32(edge) for edge in (0, 61)]
    x = np.array(
        [step for edge in columns for step in (np.nextafter(edge, -1), edge, np.nextafter(edge, 99))]
    )
    points = np.stack([x, np.ones(6), np.ones(6)], axis=1).astype(np.float32)
    unit = Camera(np.eye(3), np.eye(4), (40, 61))
    np.testing.assert_array_equal(image_from_points(unit), np.eye(3, 4))
    assert view_loops.in_image(unit, point_blocks(points), 1e-3)[0].tolist() == [1, 2, 3]
    assert_same_in_image(unit, points, 1e-3)


@given(
    st.integers(0, 10_000),
    st.sampled_from([0, 1, 400]),
    st.integers(0, 9),
    st.sampled_from(["none", "rows", "columns"]),
)
@settings(max_examples=50, deadline=None)
def test_the_same_points_are_hidden(seed: int, count: int, radius: int, layout: str) -> None:
    rng = np.random.default_rng(seed)
    v, u = (rng.integers(0, size, count).astype(np.int32) for size in (40, 61))
    depth = np.round(rng.uniform(1, 9, count), 1).astype(np.float32)  # with ties
    regions = rng.integers(-1, 2, (40, 61)).astype(np.int16)
    owner = {"none": None, "rows": regions, "columns": np.asfortranarray(regions)}[layout]
    rule = Visibility("zbuffer", radius, rng.uniform(0, 0.2), rng.uniform(0, 0.5), rng.uniform(1, 40))
    seen_from = camera(rng)
    ours = view_loops.seen_by_zbuffer(v, u, depth, seen_from, rule, owner)
    one_region = np.zeros((40, 61)) if owner is None else owner
    np.testing.assert_array_equal(ours, seen_by_every_pair(v, u, depth, seen_from, rule, one_region))
    assert_equal([at_pixels(one_region, v, u)], [one_region[v, u]])
    columns = np.arange(count), v, u, depth
    assert_equal(view_loops.compress(ours, *columns), [column[ours] for column in columns])


def test_regions_of_another_size_than_the_image_are_refused() -> None:
    with pytest.raises(DataError, match="regions"):
        visible_pixels(
            camera(np.random.default_rng(0)),
            np.ones((1, 3), np.float32),
            Visibility(),
            regions=np.zeros((61, 40), np.int16),
        )


def test_views_of_one_cloud_do_not_disturb_one_another() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(scale=5, size=(3000, 3)).astype(np.float32)
    views, prepared, rule = [camera(rng) for _ in range(6)], PreparedPoints(points), Visibility()
    together = [visible_pixels(view, prepared, rule) for view in views]
    for view, seen in zip(views, together, strict=True):
        assert_equal(seen, visible_pixels(view, points, rule))


def test_without_a_folder_for_machine_code_a_loop_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])
    assert compiled(lambda a, b: a / b)(1.0, 0.0) == np.inf
