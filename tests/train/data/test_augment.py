from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.augment import (
    AugmentConfig,
    augmented,
    distortion,
    keep_indices,
    mirror,
    shift_features,
    window,
    yaw,
)

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
    chosen = keep_indices(
        cloud(count), AugmentConfig(keep=keep, max_points=most), np.random.default_rng(seed)
    )
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= (most or count)
    assert len(chosen) >= min(count, 1)
    assert not len(chosen) or 0 <= chosen[0] <= chosen[-1] < count


def test_the_share_that_is_kept_is_the_one_asked_for() -> None:
    assert len(keep_indices(cloud(1000), AugmentConfig(keep=0.65), np.random.default_rng(0))) == 650


def test_the_defaults_move_points_as_they_always_did() -> None:
    """Hand-worked twin of the draws of yaw, flips, scale and shift, in this order and no others."""
    points, rng = cloud(), np.random.default_rng(5)
    angle, flips, factor = rng.uniform(-np.pi, np.pi), rng.random(2) < 0.5, rng.uniform(0.95, 1.05)
    offset = rng.normal(0.0, 0.1, 3)
    mirrored = points * np.where([*flips, False], -1, 1)
    x, y, z = mirrored.T
    turned = np.stack(
        [x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle), z], axis=1
    )
    moved = augmented(points, AugmentConfig(), np.random.default_rng(5))
    np.testing.assert_allclose(moved, factor * turned + offset, atol=1e-4)


def test_a_distortion_is_one_linear_map_near_the_identity() -> None:
    points = cloud(100)
    moved = augmented(points, replace(STILL, distort=0.1), np.random.default_rng(2))
    fitted, residual, *_ = np.linalg.lstsq(points.astype(float), moved.astype(float), rcond=None)
    assert residual.max() < 1e-6
    assert 0 < np.abs(fitted - np.eye(3)).max() < 0.5
    assert np.abs(fitted[0, 1] - fitted[1, 0]) > 1e-3


def test_the_entries_of_distortions_have_the_deviation_that_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([distortion(0.1, rng) for _ in range(2000)])
    np.testing.assert_allclose(drawn.mean(0), np.eye(3), atol=0.01)
    np.testing.assert_allclose(drawn.std(0), 0.1, rtol=0.1)


def test_elastic_fields_bend_on_top_of_one_another() -> None:
    points = cloud(100)
    moved = augmented(points, replace(STILL, elastic_m=((0.5, 0.4), (2.0, 1.6))), np.random.default_rng(3))
    assert 0.01 < np.abs(moved - points).mean() < 1.0
    still = augmented(points, replace(STILL, elastic_m=((0.5, 0.0), (2.0, 0.0))), np.random.default_rng(3))
    np.testing.assert_allclose(still, points, atol=1e-6)


def test_a_tint_shifts_every_point_of_a_feature_alike() -> None:
    features = np.random.default_rng(0).random((50, 3)).astype(np.float16)
    shifts = shift_features(features, replace(STILL, tint=0.05), np.random.default_rng(1)) - features.astype(
        np.float32
    )
    assert shifts.std(axis=0).max() < 1e-6
    assert len(set(shifts[0].tolist())) == 3
    assert 0 < np.abs(shifts).max() < 0.3
    untouched = shift_features(features, STILL, np.random.default_rng(1))
    assert untouched.dtype == np.float32 and (untouched == features).all()


def test_a_window_holds_what_is_within_half_an_edge_of_its_centre() -> None:
    """On a line of points one metre apart a window of 2 m holds three, wherever it is."""
    line = np.zeros((11, 3), np.float32)
    line[:, 0], line[:, 2] = np.arange(11), 100 * np.arange(11)
    starts = set()
    for seed in range(60):
        inside = window(line, 2.0, np.random.default_rng(seed))
        assert inside.tolist() == list(range(inside[0], inside[0] + 3))
        starts.add(int(inside[0]))
    assert starts == set(range(9))


@given(seed=st.integers(0, 2**32), edge=st.floats(0.5, 40.0), count=st.integers(1, 80))
@settings(max_examples=50, deadline=None)
def test_a_window_lies_within_the_scan_and_leaves_out_only_what_is_outside(
    seed: int, edge: float, count: int
) -> None:
    points = cloud(count)
    inside = window(points, edge, np.random.default_rng(seed))
    plane = points[:, :2].astype(float)
    extent = np.ptp(plane, axis=0)
    assert len(inside) and (np.diff(inside) > 0).all()
    assert (np.ptp(plane[inside], axis=0) <= edge + 1e-5).all()
    if (extent <= edge).all():
        assert len(inside) == count


def test_the_share_and_the_limit_are_of_the_window() -> None:
    points = cloud(1000)
    config = replace(STILL, crop_m=8.0)
    inside = keep_indices(points, config, np.random.default_rng(4))
    fewer = keep_indices(points, replace(config, keep=0.5, max_points=30), np.random.default_rng(4))
    assert 30 < len(inside) < 1000
    assert len(fewer) == 30 and set(fewer) <= set(inside)


def test_an_empty_scan_has_an_empty_window() -> None:
    assert keep_indices(cloud(0), replace(STILL, crop_m=3.5), np.random.default_rng(0)).tolist() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep": 0.0},
        {"flip": 1.5},
        {"scale": 1.0},
        {"jitter_m": -0.1},
        {"crop_m": -1.0},
        {"distort": -0.1},
        {"tint": -0.1},
        {"elastic_m": ((0.0, 1.0),)},
        {"elastic_m": ((0.2, -1.0),)},
    ],
)
def test_a_range_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentConfig(**wrong)
