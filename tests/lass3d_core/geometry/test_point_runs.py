"""What a cloud's runs keep of it for a view."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.geometry.point_runs import PointRuns


def within(points: np.ndarray, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return PointRuns(points).within(planes, np.abs(planes))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 60), bad=st.floats(0, 0.2))
def test_no_point_inside_is_lost_and_each_kept_index_is_its_column(seed: int, count: int, bad: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3)).cumsum(axis=0).astype(np.float32)
    points[rng.random((count, 3)) < bad] = rng.choice([np.nan, np.inf, -np.inf])
    planes = rng.normal(size=(4, 4))
    index, columns = within(points, planes)
    with np.errstate(invalid="ignore"):
        inside = np.flatnonzero((planes[:, :3] @ points.T + planes[:, 3:] >= 0).all(axis=0))
    assert set(inside) <= set(index) and (np.diff(index) > 0).all()
    kept = index < count
    np.testing.assert_array_equal(columns[:, kept], points[index[kept]].T)
    assert np.isnan(columns[:, ~kept]).all()


def test_a_run_outside_of_one_plane_is_passed_over() -> None:
    points = np.repeat(np.float32([[-2, 0, 0], [2, 0, 0]]), 8, axis=0)
    index, _ = within(points, np.array([[1.0, 0, 0, 0], [0, 0, 0, 1]]))
    assert index.tolist() == list(range(8, 16))
