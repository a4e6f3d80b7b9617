from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import DataError
from lass3d_core.model.tiles import Tiling, blended


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(1, 200), st.floats(0.1, 3), st.integers(0, 9))
def test_every_point_is_answered_once_and_agreeing_tiles_change_nothing(
    count: int, most: int, margin: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-20, 30, (count, 3)).astype(np.float32)
    truth = rng.uniform(0, 1, (count, 4)).astype(np.float32)
    tiling = Tiling.of(points, most, margin)
    found = list(blended(points, tiling, 4, lambda indices: truth[indices]))
    indices = np.concatenate([part for part, _ in found])
    assert np.array_equal(np.sort(indices), np.arange(count))
    assert np.allclose(np.concatenate([part for _, part in found]), truth[indices], atol=1e-5)


def tiles_of(points: np.ndarray, most: int, margin: float) -> list[int]:
    """The number of points of each tile."""
    sizes: list[int] = []

    def answer(indices: np.ndarray) -> np.ndarray:
        sizes.append(len(indices))
        return np.ones((len(indices), 1), np.float32)

    found = list(blended(points, Tiling.of(points, most, margin), 1, answer))
    assert sum(len(indices) for indices, _ in found) == len(points)
    return sizes


def test_a_small_cloud_is_one_tile() -> None:
    assert tiles_of(np.zeros((10, 3)), 10, 1.0) == [10]


def test_squares_shrink_until_none_is_too_full() -> None:
    points = np.random.default_rng(0).uniform(0, 64, (4000, 3))
    sizes = tiles_of(points, 500, 1.0)
    assert len(sizes) > 1 and max(sizes) <= 600  # the margin's share is an estimate


def test_a_far_point_makes_no_empty_tiles() -> None:
    points = np.random.default_rng(0).uniform(0, 64, (4000, 3))
    points[-1] = (3e6, -1e6, 0)
    sizes = tiles_of(points, 500, 1.0)
    assert len(sizes) < 400 and max(sizes) <= 600


def test_a_point_too_far_for_tiles_is_an_error() -> None:
    with pytest.raises(DataError, match=r"1e\+30 m wide, too wide for tiles"):
        Tiling.of(np.array([[0, 0, 0], [1e30, 0, 0]]), 1, 1.0)


def test_strips_follow_one_another_along_the_longer_side() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (1000, 3)) * [5, 90, 1]
    tiling = Tiling.of(points, 100, 1.0)
    assert tiling.axes == (1, 0)
    parts = [indices for indices, _ in blended(points, tiling, 1, lambda indices: np.ones((len(indices), 1)))]
    assert len(parts) > 5 and max(map(len, parts)) < 300


def test_the_say_of_neighbours_adds_up_to_one_across_their_margin() -> None:
    tiling = Tiling((0, 1), (0.0, 0.0), 10.0, 2.0)
    x = np.linspace(8.1, 11.9, 20)
    assert np.allclose(tiling.say(x, 0, 0) + tiling.say(x, 0, 1), 1, atol=1e-6)
    assert tiling.say(np.array([10.0]), 0, 0)[0] == pytest.approx(0.5)
