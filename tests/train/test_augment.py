from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.augment import AugmentConfig, augmented, kept, mirror, yaw

STILL = AugmentConfig(yaw_rad=0.0, flip=0.0, scale=0.0, shift_m=0.0)


def cloud(count: int = 20) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 5, (count, 3)).astype(np.float32)


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def test_a_quarter_turn_takes_x_to_y_and_leaves_z() -> None:
    turned = yaw(np.pi / 2) @ np.array([1.0, 0.0, 7.0])
    np.testing.assert_allclose(turned, [0.0, 1.0, 7.0], atol=1e-12)


def test_mirroring_x_leaves_y_and_z() -> None:
    assert (mirror(np.array([True, False])) @ np.array([1.0, 2.0, 3.0])).tolist() == [-1.0, 2.0, 3.0]


def test_without_ranges_nothing_moves() -> None:
    points = cloud()
    np.testing.assert_allclose(augmented(points, STILL, np.random.default_rng(1)), points, atol=1e-6)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_shapes_are_kept_but_for_one_factor_within_the_scale(seed: int) -> None:
    points, config = cloud(), AugmentConfig(scale=0.05)
    moved = augmented(points, config, np.random.default_rng(seed))
    before, after = distances(points)[0, 1:], distances(moved)[0, 1:]
    factor = float(np.median(after / before))
    assert 0.95 <= factor <= 1.05
    np.testing.assert_allclose(after, factor * before, rtol=1e-4)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_up_stays_up(seed: int) -> None:
    points = cloud()
    moved = augmented(points, AugmentConfig(shift_m=0.0), np.random.default_rng(seed))
    assert (np.argsort(points[:, 2]) == np.argsort(moved[:, 2])).all()


def test_jitter_moves_points_apart_but_not_beyond_three_sigma() -> None:
    points = cloud(500)
    config = AugmentConfig(yaw_rad=0.0, flip=0.0, scale=0.0, shift_m=0.0, jitter_m=0.1)
    offsets = augmented(points, config, np.random.default_rng(0)) - points
    assert np.abs(offsets).max() <= 0.3 + 1e-5
    assert offsets.std() == pytest.approx(0.1, rel=0.1)


def test_the_generator_alone_decides() -> None:
    first, second = (
        augmented(cloud(), AugmentConfig(jitter_m=0.1), np.random.default_rng(7)) for _ in range(2)
    )
    assert (first == second).all()


@given(count=st.integers(0, 200), keep=st.floats(0.01, 1.0), most=st.integers(0, 50), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_kept_points_are_some_of_the_points_once_and_in_order(
    count: int, keep: float, most: int, seed: int
) -> None:
    chosen = kept(cloud(count), AugmentConfig(keep=keep, max_points=most), np.random.default_rng(seed))
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= (most or count)
    assert len(chosen) >= min(count, 1)
    assert not len(chosen) or 0 <= chosen[0] <= chosen[-1] < count


def test_the_share_that_is_kept_is_the_one_asked_for() -> None:
    assert len(kept(cloud(1000), AugmentConfig(keep=0.65), np.random.default_rng(0))) == 650


@pytest.mark.parametrize("wrong", [{"keep": 0.0}, {"flip": 1.5}, {"scale": 1.0}, {"jitter_m": -0.1}])
def test_a_range_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentConfig(**wrong)
