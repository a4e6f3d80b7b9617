"""The ballots of one scan: their weight, and that every look of every view votes alone."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import DataError
from lass3d_core.files.masks import decode, encode
from lass3d_core.geometry.projection import project, rigid
from lass3d_core.manifest.schema import PairsSpec, VoteSpec
from lass3d_core.records import NONE, Entity, Look
from preprocess.stages.ballots import Ballots, ballots_of, weights
from preprocess.stages.pairing import pair
from preprocess.stages.votes import added_up, cells_of, counted
from tests.preprocess.stages.test_pairing import EVERYTHING, SIZE, entity, scan, seen_by, square, view

WHOLE_IMAGE = square(0, 0, *SIZE)


def seen(phrase: str, mask: np.ndarray, look: Look, score: float = 0.5) -> Entity:
    return replace(entity(phrase, mask, score), look=look)


def rows(ballots: Ballots) -> list[tuple[int, str, str]]:
    """Point, phrase and image of each ballot."""
    return [
        (int(point), ballots.phrases[phrase], ballots.image_ids[image])
        for point, phrase, image in zip(ballots.point, ballots.phrase, ballots.image)
    ]


def test_a_ballot_weighs_by_score_place_and_depth() -> None:
    score, distance, depth = np.array([[0.8, 0.5, 10], [0.8, 0.0, 10], [0.8, 1.0, 10], [0.8, 0.5, 40]]).T
    assert weights(score, distance, depth) == pytest.approx([0.08, 0.12, 0.04, 0.02])
    near = weights(np.ones(3), np.full(3, 0.5), np.array([0.5, 2, 5]))
    assert near == pytest.approx([0.2, 0.2, 0.2]), "below 5 m distance says no more"


def test_the_weight_of_a_ballot_by_hand() -> None:
    """The camera is 16 pixels wide with focal length 10: x = 2 at 10 m is u = 10.0, pixel 10."""
    found = {"front": [entity("car", WHOLE_IMAGE, 0.6)]}
    given = ballots_of(scan([(2, 0, 10)], view("front")), found, EVERYTHING)
    distance = (10 + 0.5) / 8 - 1
    assert given.weight == pytest.approx([0.6 * (1.5 - distance) / 10]) and given.score.tolist() == [0.6]


def test_every_look_of_every_view_votes_alone() -> None:
    """Painted together, the small masks would own the pixel of the large one."""
    found = {
        "left": [seen("house", WHOLE_IMAGE, "whole"), seen("door", square(5, 7, 8, 10), "mirrored")],
        "right": [seen("house", WHOLE_IMAGE, "tiled"), seen("window", square(5, 7, 8, 10), "tiled")],
    }
    given = ballots_of(scan([(0, 0, 2), (0, 0, -2)], view("left"), view("right")), found, EVERYTHING)
    assert rows(given) == [(0, "house", "left"), (0, "door", "left"), (0, "window", "right")]


def test_masks_below_the_score_and_those_of_score_0_have_no_ballot() -> None:
    ahead = scan([(0, 0, 2)], view("front"))
    found = {"front": [entity("car", WHOLE_IMAGE, 0.29)]}
    assert rows(ballots_of(ahead, found, PairsSpec(min_score=0.3, visibility="none"))) == []
    assert rows(ballots_of(ahead, {"front": [entity("car", WHOLE_IMAGE, 0.0)]}, EVERYTHING)) == []
    assert (
        rows(ballots_of(ahead, {}, EVERYTHING)) == rows(ballots_of(scan([(0, 0, 2)]), {}, EVERYTHING)) == []
    )


def test_a_mask_of_another_size_is_refused() -> None:
    wrong = Entity("car", 0.5, (0.0, 0.0, 1.0, 1.0), encode(np.ones((4, 4), bool)), "tiled")
    with pytest.raises(DataError, match=r"image front: the mask of 'car' is \(4, 4\), the image \(12, 16\)"):
        ballots_of(scan([(0, 0, 2)], view("front")), {"front": [wrong]}, EVERYTHING)


def test_without_a_vote_the_looks_other_than_whole_name_no_point() -> None:
    found = {"front": [seen("door", square(5, 7, 8, 10), "mirrored"), seen("house", WHOLE_IMAGE, "whole")]}
    paired = pair(scan([(0, 0, 2)], view("front")), found, EVERYTHING).pairs
    assert paired.phrases == ("house",) and paired.entity.tolist() == [0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_ballots_equal_asking_every_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    views = [view(str(i), yaw) for i, yaw in enumerate(rng.uniform(-0.6, 0.6, 3))]
    points = rng.uniform((-2, -1, -1), (2, 1, 3), (40, 3)).astype(np.float32)
    looks = get_args(Look)
    found = {
        str(i): [
            seen(name, rng.random(SIZE) < 0.4, looks[rng.integers(3)], float(rng.random()))
            for name in ("car", "road", "tree", "car")
        ]
        for i in range(2)
    }
    spec = PairsSpec(min_score=0.2, visibility="none", min_depth_m=0.01)
    wanted = []
    for n, point in enumerate(points):
        for distance, slot, v, u in seen_by(point, views):
            depth = float(project(views[slot].camera, point[None])[1][0])
            for look in looks:
                one = owner(found.get(str(slot), []), look, v, u)
                if one is not None:
                    weight = one.score * (1.5 - distance) / max(depth, 5)
                    wanted.append((n, one.phrase, str(slot), pytest.approx(weight, rel=1e-5)))
    given = ballots_of(scan(points, *views), found, spec)
    got = [(*row, weight) for row, weight in zip(rows(given), given.weight)]
    # Views and looks come one after another: a stable sort by point gives the order of `wanted`.
    assert sorted(got, key=lambda row: row[0]) == wanted


def owner(found: list[Entity], look: Look, v: int, u: int) -> Entity | None:
    """The smallest mask of a look at a pixel; of equal ones the one with the higher score."""
    over = [one for one in found if one.look == look and one.score >= 0.2 and decode(one.mask)[v, u]]
    return min(over, key=lambda one: (decode(one.mask).sum(), -one.score), default=None)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["none", "zbuffer"]))
def test_a_point_alone_in_its_voxel_keeps_what_its_only_view_gives(seed: int, visibility: str) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform((-2, -1, 0), (2, 1, 9), (80, 3)).astype(np.float32)
    masks = [
        entity(name, rng.random(SIZE) < 0.3, float(rng.uniform(0.1, 1))) for name in ("b", "a", "b", "c")
    ]
    spec = PairsSpec(min_score=0.2, visibility=visibility, splat_radius_px=2)  # type: ignore[arg-type]
    one, found = scan(points, view("front")), {"front": masks}
    paired = pair(one, found, spec).pairs
    alone = VoteSpec(voxel_m=1e-3)
    cells = cells_of(points, np.eye(4), alone.voxel_m)
    votes, phrases = counted(cells, [added_up(ballots_of(one, found, spec), cells)], alone)
    got = [phrases[slot] if slot != NONE else None for slot in votes.phrase[:, 0]]
    assert got == [paired.phrases[slot] if slot != NONE else None for slot in paired.entity]
    assert votes.share[:, 0].tolist() == [0 if phrase is None else 255 for phrase in got]


def test_voxel_mates_outvote_a_point_and_name_one_that_no_view_names() -> None:
    """Two points say road, one says car and one nothing: in one voxel all four are road."""
    found = {"front": [entity("road", square(0, 7, 12, 8)), entity("car", square(6, 8, 7, 9))]}
    points = [(-0.2, 0, 4), (-0.1, 0, 4), (0.1, 0, 4), (0.2, 0.4, 4)]  # at the pixels 7, 7, 8; 8 in row 7
    one = scan(points, view("front"))
    own = pair(one, found, EVERYTHING).pairs
    assert [own.phrases[slot] if slot != NONE else None for slot in own.entity] == [
        "road",
        "road",
        "car",
        None,
    ]
    cells = cells_of(one.points, rigid(np.eye(3), np.full(3, 0.5)), 1.0)
    assert len(np.unique(cells, axis=0)) == 1
    votes, phrases = counted(cells, [added_up(ballots_of(one, found, EVERYTHING), cells)], VoteSpec())
    assert [phrases[slot] for slot in votes.phrase[:, 0]] == ["road"] * 4 and phrases == ("car", "road")
