"""Blocks of a cloud: which of them a view cannot see."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.geometry.point_blocks import BLOCK, outside, point_blocks


def skipped(points: np.ndarray, planes: np.ndarray) -> np.ndarray:
    boxes = point_blocks(points).boxes
    found = np.full(boxes.shape[1], 9, np.uint8)
    outside(boxes, planes.astype(np.float32), np.abs(planes).astype(np.float32), found)
    return found


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 5 * BLOCK), bad=st.sampled_from([0, 1e-3, 1]))
def test_no_block_with_a_point_inside_is_skipped(seed: int, count: int, bad: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3)).cumsum(axis=0).astype(np.float32)
    spoilt = rng.random((count, 3)) < bad
    points[spoilt] = rng.choice(np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38]), spoilt.sum())
    planes = rng.normal(size=(4, 4))
    with np.errstate(invalid="ignore", over="ignore"):
        inside = np.flatnonzero((planes[:, :3] @ points.T + planes[:, 3:] >= 0).all(axis=0))
    found = skipped(points, planes)
    assert len(found) == -(-count // BLOCK) and not found[inside // BLOCK].any()


def test_a_block_outside_of_one_plane_is_skipped() -> None:
    points = np.repeat(np.float32([[-2, 0, 0], [2, 0, 0]]), BLOCK, axis=0)
    assert skipped(points, np.array([[1.0, 0, 0, 0], [0, 0, 0, 1]])).tolist() == [1, 0]


def test_a_box_is_the_centre_and_half_of_the_size_of_its_block() -> None:
    points = np.float32([[-1, 4, 0], [3, 4, -0.0]] * BLOCK + [[7, 8, 9]])
    columns, boxes = point_blocks(points)
    np.testing.assert_array_equal(columns, points.T)
    np.testing.assert_array_equal(boxes.T, [[1, 4, 0, 2, 0, 0], [1, 4, 0, 2, 0, 0], [7, 8, 9, 0, 0, 0]])


def test_a_coordinate_that_is_no_number_leaves_its_block_without_a_box() -> None:
    for sign in (1, -1):
        points = np.ones((2 * BLOCK, 3), np.float32)
        points[5, 1] = np.copysign(np.nan, sign)
        boxes = point_blocks(points).boxes
        assert np.isnan(boxes[[1, 4], 0]).all() and np.isfinite(boxes[:, 1]).all()
        assert skipped(points, np.array([[0, 1.0, 0, -5]])).tolist() == [0, 1]
