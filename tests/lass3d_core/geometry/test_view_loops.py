"""Compiled loops and array operations must agree to the bit: pairs may not depend on what is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lass3d_core
from lass3d_core.errors import DataError
from lass3d_core.geometry import view_arrays, view_loops, visible_pixels
from lass3d_core.geometry.point_runs import PointRuns
from lass3d_core.geometry.projection import image_from_points
from lass3d_core.geometry.visibility import Visibility
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


@given(st.integers(0, 10_000), st.sampled_from([0, 1, 7, 8, 9, 500]), st.sampled_from([1e-3, 0.5]))
@settings(max_examples=50, deadline=None)
def test_the_same_points_lie_in_the_image(seed: int, count: int, nearest: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(scale=5, size=(count, 3)).astype(np.float32)
    seen_from = camera(rng)
    arguments = (seen_from, PointRuns(points), nearest)
    assert_equal(view_loops.in_image(*arguments), view_arrays.in_image(*arguments))


@given(st.lists(st.tuples(*[st.sampled_from(SPECIAL)] * 3), max_size=40))
@settings(max_examples=50, deadline=None)
def test_numbers_at_the_edge_of_what_floats_can_hold_do_not_part_them(
    points: list[tuple[float, float, float]],
) -> None:
    straight = Camera(np.diag([10.0, 10.0, 1.0]), np.eye(4), (40, 61))
    arguments = (straight, PointRuns(np.array(points, np.float32).reshape(-1, 3)), 1e-3)
    assert_equal(view_loops.in_image(*arguments), view_arrays.in_image(*arguments))


def test_pixels_on_the_border_are_in_or_out_alike() -> None:
    """With the unit matrix for a camera u is x / z: 0 is in, 61 is out, and so are their neighbours."""
    columns = [np.float32(edge) for edge in (0, 61)]
    x = np.array(
        [step for edge in columns for step in (np.nextafter(edge, -1), edge, np.nextafter(edge, 99))]
    )
    points = np.stack([x, np.ones(6), np.ones(6)], axis=1).astype(np.float32)
    unit = Camera(np.eye(3), np.eye(4), (40, 61))
    np.testing.assert_array_equal(image_from_points(unit), np.eye(3, 4))
    ours = view_loops.in_image(unit, PointRuns(points), 1e-3)
    assert ours[0].tolist() == [1, 2, 3]
    assert_equal(ours, view_arrays.in_image(unit, PointRuns(points), 1e-3))


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
    arguments = (v, u, depth, camera(rng), rule, owner)
    ours = view_loops.seen_by_zbuffer(*arguments)
    np.testing.assert_array_equal(ours, view_arrays.seen_by_zbuffer(*arguments))
    assert_equal([view_loops.at_pixels(regions, v, u)], [view_arrays.at_pixels(regions, v, u)])
    columns = np.arange(count), v, u, depth
    assert_equal(view_loops.kept(ours, *(c.copy() for c in columns)), view_arrays.kept(ours, *columns))


def test_regions_of_another_size_than_the_image_are_refused() -> None:
    with pytest.raises(DataError, match="regions"):
        visible_pixels.visible_pixels(
            camera(np.random.default_rng(0)),
            np.ones((1, 3), np.float32),
            Visibility(),
            regions=np.zeros((61, 40), np.int16),
        )


def test_views_of_one_cloud_do_not_disturb_one_another() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(scale=5, size=(3000, 3)).astype(np.float32)
    views, runs, rule = [camera(rng) for _ in range(6)], PointRuns(points), Visibility()
    together = [visible_pixels.visible_pixels(view, runs, rule) for view in views]
    for view, seen in zip(views, together, strict=True):
        assert_equal(seen, visible_pixels.visible_pixels(view, points, rule))


def test_without_numba_the_arrays_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    points, seen_from = rng.normal(scale=5, size=(500, 3)).astype(np.float32), camera(rng)
    with_loops = visible_pixels.visible_pixels(seen_from, points, Visibility())
    monkeypatch.setitem(
        sys.modules, "lass3d_core.geometry.view_loops", None
    )  # what `import` takes for not there
    monkeypatch.delattr(lass3d_core.geometry, "view_loops")
    visible_pixels.loops.cache_clear()
    try:
        assert visible_pixels.loops() is None
        assert_equal(with_loops, visible_pixels.visible_pixels(seen_from, points, Visibility()))
    finally:
        visible_pixels.loops.cache_clear()
    assert 0 < len(with_loops.point) < 500
