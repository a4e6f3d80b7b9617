from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.records import NONE, PairedScan, PointTextPairs
from train.data.panorama import panorama, sectors_of


def ring(name: str, seen_deg: tuple[float, float], points: int = 360) -> PairedScan:
    """A point in the middle of every degree of a circle of 10 m; those between two angles have an image."""
    angles = np.radians(np.arange(points) * 360 / points + 0.5)
    circle = np.stack([10 * np.cos(angles), 10 * np.sin(angles), np.zeros(points)], axis=1)
    degrees = np.degrees(angles)
    inside = ((degrees - seen_deg[0]) % 360) < (seen_deg[1] - seen_deg[0])
    image = np.where(inside, 0, NONE).astype(np.int16)
    pairs = PointTextPairs(image[:, None], image.copy(), (name,), ("a wall",))
    return PairedScan(
        name, circle.astype(np.float32), np.zeros((points, 1), np.float32), np.zeros(points, np.uint8), pairs
    )


def degrees_of(points: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360


def test_forward_cameras_are_turned_side_by_side_until_the_turn_is_full() -> None:
    scans = [ring(name, (-45, 45)) for name in "abcdef"]
    sectors = sectors_of(scans[0], iter(scans[1:]))
    assert [sector.scan.scan_id for sector in sectors] == ["a", "b", "c", "d"]
    assert sectors[0].turn == 0
    turned = np.concatenate([degrees_of(sector.points) for sector in sectors])
    assert np.diff(np.sort(turned)) == pytest.approx(1, abs=0.6)
    assert all((sector.scan.pairs.image[sector.rows, 0] == 0).all() for sector in sectors)


def test_a_turn_is_a_rotation_about_the_sensor() -> None:
    first, second = ring("a", (-45, 45)), ring("b", (-45, 45))
    _, sector = sectors_of(first, iter([second]))
    c, s = np.cos(sector.turn), np.sin(sector.turn)
    expected = second.points[sector.rows] @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    assert sector.points == pytest.approx(expected, abs=1e-5)
    assert sector.points.dtype == np.float32


def test_a_scan_that_cameras_see_all_around_is_left_alone() -> None:
    (sector,) = sectors_of(ring("a", (0, 360)), iter([ring("b", (0, 360))]))
    assert len(sector.rows) == 360 and sector.turn == 0


def test_a_scan_that_no_camera_sees_stays_whole() -> None:
    alone = ring("a", (0, 0))
    assert panorama(alone, iter([ring("b", (0, 90))])) is alone


def test_each_point_of_a_panorama_keeps_its_own_image_and_phrase() -> None:
    merged = panorama(ring("a", (-45, 45)), iter([ring("b", (-45, 45))]))
    names = [merged.pairs.image_ids[slot] for slot in merged.pairs.image[:, 0]]
    assert names == ["a"] * 90 + ["b"] * 90
    assert merged.pairs.entity.tolist() == [0] * 90 + [1] * 90
    assert (merged.labels, merged.pairs.phrases) == (None, ("a wall", "a wall"))


def test_it_ends_with_the_scans() -> None:
    sectors = sectors_of(ring("a", (0, 60)), iter([ring("b", (0, 60))]))
    assert len(sectors) == 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 359), st.integers(1, 360)), min_size=1, max_size=6))
def test_no_direction_is_filled_twice(cameras: list[tuple[int, int]]) -> None:
    scans = [ring(str(number), (start, start + width)) for number, (start, width) in enumerate(cameras)]
    sectors = sectors_of(scans[0], iter(scans[1:]))
    turned = np.concatenate([degrees_of(sector.points) for sector in sectors])
    degrees = np.rint(turned - 0.5).astype(int).tolist()
    assert len(set(degrees)) == len(degrees)
