"""Lenses: OpenCV's formulas by hand, and no point from beyond the lens in the image."""

from __future__ import annotations

import numpy as np
import pytest

from lass3d_core.errors import DataError
from lass3d_core.geometry.distortion import distorted
from lass3d_core.geometry.projection import project
from lass3d_core.geometry.visible_pixels import Visibility, visible_pixels
from lass3d_core.records import Camera, Distortion

K = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])


def test_opencv_by_hand() -> None:
    """x = 0.3, y = 0.4, r^2 = 0.25: radial 1 + 0.1*0.25 + 0.2*0.0625 = 1.0375.

    x: 0.3*1.0375 + 2*0.01*0.12 + 0.02*(0.25 + 0.18) = 0.32225
    y: 0.4*1.0375 + 0.01*(0.25 + 0.32) + 2*0.02*0.12 = 0.4255
    """
    x, y, holds = distorted(np.array([0.3]), np.array([0.4]), Distortion("opencv", (0.1, 0.2, 0.01, 0.02)))
    np.testing.assert_allclose([x[0], y[0]], [0.32225, 0.4255], rtol=1e-12)
    assert holds.all()


def test_the_rational_model_by_hand() -> None:
    """On the axis x = 0.5, r^2 = 0.25: (1 + 0.1*0.25) / (1 + 0.4*0.25) = 1.025 / 1.1."""
    lens = Distortion("opencv", (0.1, 0, 0, 0, 0, 0.4, 0, 0))
    x, y, _ = distorted(np.array([0.5]), np.array([0.0]), lens)
    np.testing.assert_allclose([x[0], y[0]], [0.5 * 1.025 / 1.1, 0], rtol=1e-12)


def test_fisheye_by_hand() -> None:
    """r = 1 is 45 degrees: theta = pi/4, theta (1 + 0.1 theta^2)."""
    x, y, _ = distorted(np.array([1.0]), np.array([0.0]), Distortion("fisheye", (0.1, 0, 0, 0)))
    theta = np.pi / 4
    np.testing.assert_allclose([x[0], y[0]], [theta * (1 + 0.1 * theta**2), 0], rtol=1e-12)


def test_a_point_beyond_the_turning_point_of_the_lens_has_no_pixel() -> None:
    """k1 = -0.3: r (1 - 0.3 r^2) grows up to r = 1.054 and then comes back into the image."""
    points = np.float32([[0.5, 0, 1], [1.0, 0, 1], [1.1, 0, 1], [1.8, 0, 1]])
    camera = Camera(K, np.eye(4), (80, 200), Distortion("opencv", (-0.3, 0, 0, 0)))
    uv, _ = project(camera, points)
    assert np.isfinite(uv[:2]).all() and np.isnan(uv[2:]).all()


@pytest.mark.parametrize("kind", ["opencv", "fisheye"])
def test_a_lens_without_bending_is_a_pinhole_near_the_axis(kind: str) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-0.05, -0.05, 1], [0.05, 0.05, 1.2], (50, 3)).astype(np.float32)
    plain, bent = (
        Camera(K, np.eye(4), (80, 100), lens)
        for lens in (None, Distortion(kind, (0.0,) * 4))  # type: ignore[arg-type]
    )
    (uv, depth), (found, other) = project(plain, points), project(bent, points)
    np.testing.assert_allclose(found, uv, atol=0.02)
    np.testing.assert_allclose(other, depth, rtol=1e-6)


def test_visible_pixels_are_those_that_project_says() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-6, 6, (3000, 3)).astype(np.float32)
    camera = Camera(K, np.eye(4), (80, 100), Distortion("opencv", (-0.2, 0.05, 0.01, -0.01)))
    seen = visible_pixels(camera, points, Visibility("none"))
    uv, depth = project(camera, points)
    inside = (depth > 0.5) & (uv[:, 0] >= 0) & (uv[:, 0] < 100) & (uv[:, 1] >= 0) & (uv[:, 1] < 80)
    assert np.array_equal(seen.point, np.flatnonzero(inside)) and 10 < len(seen.point) < 3000
    np.testing.assert_array_equal(seen.u, uv[inside, 0].astype(int))
    np.testing.assert_array_equal(seen.depth, depth[inside])


@pytest.mark.parametrize(("model", "count"), [("opencv", 3), ("opencv", 6), ("fisheye", 5), ("fisheye", 0)])
def test_a_wrong_number_of_coefficients_is_refused(model: str, count: int) -> None:
    with pytest.raises(DataError, match="numbers, got"):
        Distortion(model, (0.0,) * count)  # type: ignore[arg-type]
