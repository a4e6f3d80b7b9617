from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.elastic import between_nodes, elastic_offsets, smooth_noise


def cloud(count: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-3, 3, (count, 3)).astype(np.float32)


def test_a_field_is_that_of_a_node_at_it_and_half_of_two_between_them() -> None:
    grid = np.zeros((3, 2, 2, 3), np.float32)
    grid[1, 0, 0] = [1.0, 2.0, -4.0]
    places = np.array([[1.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.0, 0.5, 0.5], [0.0, 0.0, 0.0]])
    expected = np.outer([1.0, 0.5, 0.25, 0.0], [1.0, 2.0, -4.0])
    np.testing.assert_allclose(between_nodes(grid, places), expected, atol=1e-6)


def test_a_linear_field_stays_linear_between_its_nodes() -> None:
    grid = np.stack(np.meshgrid(*map(np.arange, (4, 5, 6)), indexing="ij"), axis=-1).astype(np.float32)
    places = np.random.default_rng(1).uniform(0, [2.9, 3.9, 4.9], (50, 3))
    np.testing.assert_allclose(between_nodes(grid, places), places, atol=1e-5)


def test_the_blur_weakens_the_noise_to_about_a_ninth_and_makes_neighbours_alike() -> None:
    noise = smooth_noise((30, 30, 30), np.random.default_rng(0))
    assert noise.shape == (30, 30, 30, 3)
    # 1 2 3 2 1 over 9: the root of 19 over 81 along each of three axes; neighbours correlate with 16 / 19
    assert noise.std() == pytest.approx((19 / 81) ** 1.5, rel=0.03)
    neighbours = np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]
    assert neighbours == pytest.approx(16 / 19, abs=0.02)


def test_the_noise_is_as_strong_at_the_border_as_in_the_middle() -> None:
    noise = np.stack([smooth_noise((9, 9, 9), np.random.default_rng(seed)) for seed in range(60)])
    assert noise[:, 0].std() == pytest.approx(noise[:, 4].std(), rel=0.1)


@given(seed=st.integers(0, 2**32), spacing=st.floats(0.1, 5.0), magnitude=st.floats(0.0, 3.0))
@settings(max_examples=40, deadline=None)
def test_near_points_move_alike(seed: int, spacing: float, magnitude: float) -> None:
    """Along a path the field is linear between nodes, so that it changes by no more than its nodes differ."""
    points = cloud()
    near = points + np.float32(0.01) * np.array([1, 0, 0], np.float32)
    both = elastic_offsets(np.concatenate([points, near]), spacing, magnitude, np.random.default_rng(seed))
    assert both.shape == (400, 3) and both.dtype == np.float32
    # normal noise beyond six deviations of 0.113 does not come up among so few nodes
    assert np.abs(both).max() <= magnitude * 6 * 0.12
    assert np.abs(both[:200] - both[200:]).max() <= magnitude * (0.01 / spacing) * 12 * 0.12 + 1e-5


def test_where_the_origin_is_does_not_matter_to_how_strong_the_field_is() -> None:
    here = [elastic_offsets(cloud(), 0.5, 1.0, np.random.default_rng(seed)) for seed in range(20)]
    away = [elastic_offsets(cloud() + 50, 0.5, 1.0, np.random.default_rng(seed)) for seed in range(20)]
    assert np.std(here) == pytest.approx(np.std(away), rel=0.15)


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_points_are_no_obstacle(count: int) -> None:
    assert elastic_offsets(cloud()[:count], 0.3, 1.0, np.random.default_rng(0)).shape == (count, 3)
