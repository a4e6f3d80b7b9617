from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.records import NONE, PairedScan, PointTextPairs, PointVotes
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


def test_the_votes_of_each_point_go_with_it() -> None:
    def voted(name: str, share: int) -> PairedScan:
        scan = ring(name, (-45, 45))
        entity = scan.pairs.entity
        phrase = np.stack([entity, np.where(entity < 0, -1, 1)], axis=1).astype(np.int16)
        named = (entity >= 0).astype(np.uint8)
        votes = PointVotes(phrase, named[:, None] * np.uint8([share, 9]), named * np.uint8(share), named)
        names = (*scan.pairs.phrases, "another")
        return replace(
            scan, pairs=PointTextPairs(scan.pairs.image, entity, scan.pairs.image_ids, names, votes)
        )

    merged = panorama(voted("a", 100), iter([voted("b", 200)])).pairs
    assert merged.votes.phrase.tolist() == [[0, 1]] * 90 + [[2, 3]] * 90
    assert merged.votes.share.tolist() == [[100, 9]] * 90 + [[200, 9]] * 90
    assert merged.votes.score.tolist() == [100] * 90 + [200] * 90


def test_a_direction_is_seen_if_most_of_its_points_have_a_phrase_by_vote() -> None:
    scan = ring("a", (0, 0), points=720)  # six points, one at its edge, in each of 120 directions; no image
    named = np.full(720, -1, np.int16)
    named[1:5], named[5:8] = 0, 0  # four of six points of one direction, three of the next
    pairs = replace(scan.pairs, entity=named, image=np.full((720, 1), -1, np.int16))
    (sector,) = sectors_of(replace(scan, pairs=pairs), iter([]))
    assert sector.rows.tolist() == [0, 1, 2, 3, 4, 719]


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
