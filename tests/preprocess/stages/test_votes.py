"""The count of votes in voxels, by hand and against brute force."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import DataError
from lass3d_core.geometry.projection import rigid
from lass3d_core.manifest.schema import VoteSpec
from lass3d_core.records import NONE, PointVotes
from preprocess.stages.ballots import Ballots
from preprocess.stages.votes import CellVotes, added_up, cells_of, counted

STAYS = np.eye(4)
METRE = VoteSpec(voxel_m=1.0)

Row = tuple[int, str, float, float, str]
"""Point, phrase, weight, score and image of one ballot."""


def ballots(rows: list[Row]) -> Ballots:
    phrases = tuple(sorted({row[1] for row in rows}))
    image_ids = tuple(dict.fromkeys(row[4] for row in rows))
    point = np.array([row[0] for row in rows], np.int64)
    phrase = np.array([phrases.index(row[1]) for row in rows], np.int64)
    image = np.array([image_ids.index(row[4]) for row in rows], np.int64)
    weight, score = (np.array([row[column] for row in rows], np.float64) for column in (2, 3))
    return Ballots(point, phrase, image, weight, score, phrases, image_ids)


def cells(points: Any, spec: VoteSpec = METRE, pose: np.ndarray = STAYS) -> np.ndarray:
    return cells_of(np.asarray(points, np.float32).reshape(-1, 3), pose, spec.voxel_m)


def cast(points: Any, rows: list[Row], pose: np.ndarray = STAYS) -> CellVotes:
    return added_up(ballots(rows), cells(points, pose=pose))


def named(votes: PointVotes, phrases: tuple[str, ...]) -> list[list[str]]:
    """The phrases that each point keeps."""
    return [[phrases[slot] for slot in row if slot != NONE] for row in votes.phrase]


def test_a_voxel_holds_its_lower_sides_and_counts_through_zero() -> None:
    points = [(0, 0, 0), (0.99, 0, 0), (1, 0, 0), (-0.01, 0, 0), (0, -1, 2.5)]
    assert cells(points).tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, -1, 2]]
    half = VoteSpec(voxel_m=0.5)
    assert cells([(0.6, -0.2, 0)], half).tolist() == [[1, -1, 0]]


def test_a_pose_moves_points_to_their_place_in_the_world() -> None:
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x becomes y
    assert cells([(2.5, 0, 0)], pose=rigid(quarter, np.array([10.5, 0, -3]))).tolist() == [[10, 2, -3]]


def test_ballots_are_added_up_by_hand() -> None:
    """Two scans; the voxel has 6 votes for car, 3 for road and 1 for tree: 0.6, 0.3 and 0.1 of all."""
    here, beside = (0.1, 0, 0), (0.9, 0.9, 0.9)
    first = cast([here, beside], [(0, "car", 4.0, 0.5, "a"), (1, "road", 3.0, 0.7, "a")])
    second = cast([here], [(0, "car", 2.0, 0.9, "b"), (0, "tree", 1.0, 0.3, "c")])
    elsewhere = (1.1, 0, 0)
    votes, phrases = counted(cells([here, beside, elsewhere]), [first, second], VoteSpec(phrases=2))
    assert phrases == ("car", "road")
    assert votes.phrase.tolist() == [[0, 1], [0, 1], [NONE, NONE]]
    assert votes.share.tolist() == [[153, 76], [153, 76], [0, 0]]  # 0.3 * 255 = 76.5, rounded down
    assert votes.score.tolist() == [178, 178, 0]  # 255 * (0.5 + 0.9) / 2 = 178.5, to the even number
    assert votes.views.tolist() == [3, 3, 0]


def test_the_only_phrase_has_the_whole_share_whatever_the_weights() -> None:
    rows: list[Row] = [(0, "car", weight, 1.0, "a") for weight in (0.1, 0.2, 0.3, 1e-9, 1 / 3)]
    votes, _ = counted(cells([(0, 0, 0)]), [cast([(0, 0, 0)], rows)], METRE)
    assert votes.share.tolist() == [[255, 0, 0, 0]] and votes.score.tolist() == [255]
    assert votes.margin.tolist() == [1.0]


def test_of_equal_phrases_the_first_in_the_alphabet_leads() -> None:
    point = [(0, 0, 0)]
    first = cast(point, [(0, "tree", 2.0, 0.5, "a"), (0, "road", 2.0, 0.5, "a")])
    second = cast(point, [(0, "car", 2.0, 0.5, "b")])
    votes, phrases = counted(cells(point), [first, second], METRE)
    assert named(votes, phrases) == [["car", "road", "tree"]] and votes.share.tolist() == [[85, 85, 85, 0]]


def test_votes_outside_of_the_scan_name_nothing() -> None:
    lent = cast([(9, 9, 9), (0, 0, 1.5)], [(0, "car", 1.0, 1.0, "a"), (1, "road", 1.0, 1.0, "a")])
    votes, phrases = counted(cells([(0, 0, 0), (0, 0, 2.5)]), [lent], METRE)
    assert phrases == () and votes.phrase.max() == NONE and votes.views.tolist() == [0, 0]


def test_nobody_votes() -> None:
    for window in ([], [cast([(0, 0, 0)], [])]):
        votes, phrases = counted(cells([(0, 0, 0)]), window, METRE)
        assert phrases == () and votes.phrase.tolist() == [[NONE] * 4] and votes.share.tolist() == [[0] * 4]
    votes, phrases = counted(cells([]), [cast([(0, 0, 0)], [(0, "car", 1.0, 1.0, "a")])], METRE)
    assert phrases == () and len(votes.phrase) == 0


def test_a_small_margin_keeps_nothing_and_its_phrases_leave_the_list() -> None:
    points = [(0, 0, 0), (5, 0, 0)]
    rows: list[Row] = [
        (0, "car", 6.0, 0.5, "a"),
        (0, "road", 4.0, 0.5, "a"),
        (1, "wall", 9.0, 0.5, "b"),
        (1, "road", 1.0, 0.5, "b"),
    ]
    window = [cast(points, rows)]
    votes, phrases = counted(cells(points), window, VoteSpec(voxel_m=1.0, min_margin=0.2))
    assert named(votes, phrases) == [["car", "road"], ["wall", "road"]]  # 0.2 is not below 0.2
    votes, phrases = counted(cells(points), window, VoteSpec(voxel_m=1.0, min_margin=0.3))
    assert phrases == ("road", "wall") and votes.phrase.tolist() == [[NONE] * 4, [1, 0, NONE, NONE]]
    assert votes.share[0].tolist() == [0] * 4 and votes.score[0] == votes.views[0] == 0
    one_kept = VoteSpec(voxel_m=1.0, min_margin=0.3, phrases=1)  # the second counts though it is not kept
    assert counted(cells(points), window, one_kept)[0].phrase.tolist() == [[NONE], [0]]


def test_an_image_counts_once_though_two_scans_show_it() -> None:
    point = [(0, 0, 0)]
    window = [cast(point, [(0, "car", 1.0, 1.0, "same"), (0, "road", 1.0, 1.0, "same")]) for _ in range(2)]
    assert counted(cells(point), window, METRE)[0].views.tolist() == [1]
    window = [cast(point, [(0, "car", 1.0, 1.0, f"image {number}")]) for number in range(300)]
    assert counted(cells(point), window, METRE)[0].views.tolist() == [255]


def test_more_phrases_than_a_shard_can_number_are_refused() -> None:
    count = 32768
    points = np.arange(3 * count).reshape(-1, 3)
    number, one_each = np.arange(count), np.ones(count)
    words = tuple(f"word {slot:05d}" for slot in range(count))
    one = Ballots(number, number, np.zeros(count, np.int64), one_each, one_each, words, ("a",))
    with pytest.raises(DataError, match="32768 phrases in one scan; at most 32767 can be told apart"):
        counted(cells(points), [added_up(one, cells(points))], METRE)


@pytest.mark.parametrize("voxel_m", [1e-6, 1e-15])
def test_voxels_too_small_to_be_numbered_are_refused(voxel_m: float) -> None:
    spec = VoteSpec(voxel_m=voxel_m)
    with pytest.raises(DataError, match=r"pairs\.vote\.voxel_m is too small for the scans"):
        counted(cells([(-90, -90, -9), (90, 90, 9)], spec), [], spec)


def test_a_map_s_coordinates_are_no_fault() -> None:
    far = rigid(np.eye(3), np.array([5e5, 5.4e6, 200]))  # a pose in UTM
    spec = VoteSpec(voxel_m=0.05)
    points = np.random.default_rng(0).uniform(-80, 80, (50, 3)).astype(np.float32)
    rows: list[Row] = [(number, str(number), 1.0, 1.0, "a") for number in range(50)]
    at = cells_of(points, far, spec.voxel_m)
    votes, phrases = counted(at, [added_up(ballots(rows), at)], spec)
    assert named(votes, phrases) == [[str(number)] for number in range(50)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.sampled_from([0.0, 0.1, 0.5]))
def test_counting_equals_asking_every_point(seed: int, kept: int, min_margin: float) -> None:
    rng = np.random.default_rng(seed)
    spec = VoteSpec(voxel_m=1.0, phrases=kept, min_margin=min_margin)
    clouds = [rng.uniform(-1.5, 1.5, (12, 3)).astype(np.float32) for _ in range(4)]
    cast_by = [
        [
            # Eighths, so that sums are exact and ties are ties.
            (int(rng.integers(12)), str(rng.integers(6)), rng.integers(1, 9) / 8, rng.integers(9) / 8, image)
            for image in (f"{scan}", f"{scan + 1}")
            for _ in range(rng.integers(30))
        ]
        for scan in range(4)
    ]
    window = [cast(cloud, rows) for cloud, rows in zip(clouds, cast_by)]
    votes, phrases = counted(cells(clouds[0]), window, spec)
    assert list(phrases) == sorted({name for row in named(votes, phrases) for name in row})
    assert (votes.share.sum(axis=1, dtype=int) <= 255).all()
    assert (np.diff(votes.share.astype(int), axis=1) <= 0).all()
    for n, cell in enumerate(np.floor(clouds[0])):
        weight, scores, images = defaultdict[str, float](float), defaultdict[str, list[float]](list), set()
        for cloud, rows in zip(clouds, cast_by):
            for point, phrase, one, score, image in rows:
                if (np.floor(cloud[point]) == cell).all():
                    weight[phrase] += one
                    scores[phrase].append(score)
                    images.add(image)
        order = sorted(weight, key=lambda phrase: (-weight[phrase], phrase))
        shares = [int(255 * weight[phrase] / sum(weight.values()) + 1e-9) for phrase in order]
        if shares and shares[0] - sum(shares[1:2]) < 255 * min_margin - 1e-6:
            order, shares, images = [], [], set()
        order, shares = order[:kept], shares[:kept]
        assert named(votes, phrases)[n] == order
        assert votes.share[n].tolist() == shares + [0] * (kept - len(shares))
        assert votes.views[n] == len(images)
        assert votes.score[n] == pytest.approx(255 * np.mean(scores[order[0]]) if order else 0, abs=0.501)
