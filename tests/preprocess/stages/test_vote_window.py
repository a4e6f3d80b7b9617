"""The vote across scans: who votes, moving things, and what it touches in shards and records."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lass3d_core.datasets import Block
from lass3d_core.files.shards import ShardReader
from lass3d_core.geometry.projection import rigid
from lass3d_core.manifest.schema import VoteSpec
from lass3d_core.records import NONE, Entity, PairedScan, Scan
from preprocess.stages.ballots import ballots_of
from preprocess.stages.earlier_views import REACH_M, lenders
from preprocess.stages.entities import entities_in
from preprocess.stages.pairing import pair
from preprocess.stages.plan import STAGES, plan
from preprocess.stages.vote_window import VoteWindow
from preprocess.stages.votes import added_up, cells_of, counted
from preprocess.status import state_of
from tests.preprocess.stages.test_pairing import EVERYTHING, entity, scan, square, view

EARLIER, LATER = 2, 1


def named(paired: PairedScan) -> list[str | None]:
    pairs = paired.pairs
    return [pairs.phrases[slot] if slot != NONE else None for slot in pairs.entity]


class Drive:
    """Scans of one sequence, each with the entities of its own image and the sensor's place."""

    def __init__(
        self, clouds: list[Any], found: list[list[Entity]], places: list[float], vote: VoteSpec
    ) -> None:
        self.scans = {
            str(number): replace(scan(points, view(f"image {number}")), scan_id=str(number))
            for number, points in enumerate(clouds)
        }
        self.found = {f"image {number}": entities for number, entities in enumerate(found)}
        self.read_ids: list[str] = []
        poses = {
            str(number): rigid(np.eye(3), np.array([0, 0, place])) for number, place in enumerate(places)
        }
        project: Any = SimpleNamespace(
            dataset=SimpleNamespace(world_from_points=poses.__getitem__),
            lending_scans=lambda scan_id: tuple(one for one in self.scans if one != scan_id),
        )
        self.window = VoteWindow(project, self.found, EVERYTHING, vote, self.read)

    def read(self, scan_id: str) -> Scan:
        self.read_ids.append(scan_id)
        return self.scans[scan_id]

    def paired(self, number: int) -> PairedScan:
        one = self.scans[str(number)]
        return self.window.named(one, pair(one, self.found, EVERYTHING))


def test_a_car_that_drove_across_a_road_names_no_point_of_the_road() -> None:
    """At first a car stands on the road; later it has left, and the road under it is measured.

    Metres; y points down, and the road lies at y = 1.6. The later image failed, so that nothing speaks for
    the road: yet no point of it takes the votes for the car, because the car's voxels are empty now.
    """
    car = [(x, y, 6.0) for x in (-0.4, 0.0, 0.4) for y in (0.2, 0.5, 0.8)]
    before_it = [(x, 1.6, 4.0) for x in (-0.4, 0.0, 0.4)]
    under_it = [(x, 1.6, z) for x in (-0.4, 0.0, 0.4) for z in (6.0, 6.3, 6.6)]
    masks = [entity("car", square(6, 7, 8, 9)), entity("road", square(9, 0, 12, 16))]
    drive = Drive([car + before_it, before_it + under_it], [masks, []], [0, 0], VoteSpec(earlier=1))
    assert named(drive.paired(0)) == ["car"] * len(car) + ["road"] * len(before_it)
    assert named(drive.paired(1)) == ["road"] * len(before_it) + [None] * len(under_it)


def test_the_hidden_side_of_a_parked_car_takes_its_name_from_the_scan_that_saw_it() -> None:
    """The sensor drives past: 6 m further on, the car is behind it, and no image of that scan shows it."""
    car = np.array([(x, y, 6.0) for x in (-0.4, 0.0, 0.4) for y in (0.2, 0.5, 0.8)])
    beside = [(3.0, 0.0, -2.0)]
    masks = [entity("car", square(6, 7, 8, 9))]
    drive = Drive([car, [*(car - [0, 0, 8]), *beside]], [masks, []], [0, 8], VoteSpec(earlier=1))
    paired = drive.paired(1)
    assert named(paired) == ["car"] * len(car) + [None]
    assert paired.pairs.image_ids == ("image 1",) and (paired.pairs.image == NONE).all()


def test_a_scan_out_of_reach_has_no_vote() -> None:
    ahead = [(0.1, 0.1, 6.1)]  # inside its voxel, not on a side
    everywhere = [entity("car", square(0, 0, 12, 16))]
    for place, phrase in ((REACH_M - 0.1, "car"), (REACH_M + 0.1, None)):
        clouds = [ahead, [(0.1, 0.1, 6.1 - place)]]
        assert named(Drive(clouds, [everywhere, []], [0, place], VoteSpec(earlier=1)).paired(1)) == [phrase]


def test_its_own_scan_is_not_read_again_and_a_neighbour_once() -> None:
    ahead = [(0.0, 0.0, 6.0)]
    drive = Drive([ahead] * 3, [[]] * 3, [0] * 3, VoteSpec(earlier=1, later=1))
    for number in range(3):
        drive.paired(number)
    assert drive.read_ids == ["1", "2"]


def test_votes_that_no_scan_needs_any_more_are_forgotten() -> None:
    ahead = [(0.0, 0.0, 6.0)]
    drive = Drive([ahead] * 9, [[]] * 9, [0] * 9, VoteSpec(earlier=2, later=1))
    drive.paired(0)
    assert len(drive.window._kept) == 4


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory, finished_street: Any) -> Any:
    """Six training scans in drives of four, in blocks of three; two scans before and one after vote."""
    street = type(finished_street)(tmp_path_factory.mktemp("voted"))
    street.manifest.write_text(finished_street.manifest.read_text())
    street.set(
        datasets__street__simulate__frames_per_drive=4,
        pairs__vote={"earlier": EARLIER, "later": LATER, "min_margin": 0.05},
    )
    assert street.run("simulate") == street.run("captions") == street.run("pairs") == 0
    return street


@pytest.fixture
def copied(voted: Any, tmp_path: Path) -> Any:
    """A copy of `voted` that tests may change."""
    shutil.copytree(voted.folder, tmp_path / "copy")
    return type(voted)(tmp_path / "copy")


def stored(street: Any, block: Block) -> list[PairedScan]:
    reader = ShardReader(street.artifacts / "pairs" / f"{block.name}.h5")
    try:
        return list(reader.scans())
    finally:
        reader.close()


def test_the_shards_hold_what_counting_each_window_gives(voted: Any) -> None:
    """Each window is counted alone, from the files; drives lie far apart, so that only one of them votes."""
    project = voted.project
    dataset, spec = project.dataset, project.manifest.pairs
    found: dict[str, Any] = {}
    for path in (voted.artifacts / "entities").glob("*.jsonl"):
        found |= entities_in(path)
    gained = 0
    for block in (one for one in project.blocks if one.split == "train"):
        for one in stored(voted, block):
            number = int(one.scan_id.split("/")[1])
            drive = range(number // 4 * 4, min(number // 4 * 4 + 4, 6))
            around = [n for n in range(number - EARLIER, number + LATER + 1) if n in drive]
            window, cells = [], {}
            for n in around:
                lender = dataset.read_scan(f"00/{n:06d}")
                cells[n] = cells_of(lender.points, dataset.world_from_points(lender.scan_id), 0.3)
                window.append(added_up(ballots_of(lender, found, spec), cells[n]))
            votes, phrases = counted(cells[number], window, spec.vote)
            own = pair(dataset.read_scan(one.scan_id), found, spec).pairs
            assert one.pairs.votes is not None and one.pairs.phrases == phrases
            for field in ("phrase", "share", "score", "views"):
                assert np.array_equal(getattr(one.pairs.votes, field), getattr(votes, field)), field
            assert np.array_equal(one.pairs.entity, votes.phrase[:, 0])
            assert np.array_equal(one.pairs.image, own.image) and one.pairs.image_ids == own.image_ids
            has_votes = votes.phrase[:, 0] != NONE
            assert (votes.margin[has_votes] >= np.float32(0.05)).all()
            gained += np.count_nonzero(has_votes) - np.count_nonzero(own.entity != NONE)
    assert gained > 500


def test_the_window_takes_every_stride_th_scan_of_its_sequence_nearest_first(copied: Any) -> None:
    def lent(number: int) -> list[int]:
        return [int(one.split("/")[1]) for one in copied.project.lending_scans(f"00/{number:06d}")]

    assert lent(3) == [2, 1, 4] and lent(0) == [1] and lent(5) == [4, 3]
    copied.set(pairs__vote={"earlier": 5, "later": 2, "stride": 2})
    assert lent(5) == [3, 1] and lent(2) == [0, 4] and lent(4) == [2, 0]
    assert copied.project.lending_scans("02/000000") == (), "the test split is not captioned"


def test_the_blocks_before_and_after_lend_their_entities(voted: Any) -> None:
    project = voted.project
    first, second = (block for block in project.blocks if block.split == "train")
    assert [one.name for one in lenders(project, first)] == ["00-000", "00-001"]
    assert [one.name for one in lenders(project, second)] == ["00-001", "00-000"]
    record = STAGES["pairs"].fingerprint_record(project, first)
    assert record["params"]["pairs"]["vote"]["later"] == LATER and len(record["upstream"]) == 2
    sequence = "sequences/00"
    assert {f"{sequence}/velodyne/00000{n}.bin" for n in range(4)} <= set(record["inputs"])
    assert f"{sequence}/poses.txt" in record["inputs"]
    labels = [name for name in record["inputs"] if "labels" in name]
    assert labels == [f"{sequence}/labels/00000{n}.label" for n in range(3)], "votes read no labels"
    assert f"{sequence}/velodyne/000004.bin" not in record["inputs"]


def test_a_split_without_captions_has_no_vote(voted: Any) -> None:
    (block,) = [one for one in voted.project.blocks if one.split == "test"]
    assert voted.project.vote_of(block) is None
    assert all(one.pairs.votes is None for one in stored(voted, block))


def test_the_pairs_alone_follow_the_vote_and_the_points_that_voted(copied: Any) -> None:
    copied.set(pairs__vote__later=2)
    found = {name: state_of(plan(copied.project, stage)) for name, stage in STAGES.items()}
    assert found.pop("pairs").startswith("stale (4 of 4): pairs vote later: 1 -> 2; ")
    assert all(state.startswith("fresh") for state in found.values())
    copied.set(pairs__vote__later=LATER)
    assert state_of(plan(copied.project, STAGES["pairs"])).startswith("fresh")
    points = copied.sequences / "00" / "velodyne" / "000003.bin"  # of the second block
    points.write_bytes(points.read_bytes()[:-16])
    labels = copied.sequences / "00" / "labels" / "000003.label"
    labels.write_bytes(labels.read_bytes()[:-4])
    assert state_of(plan(copied.project, STAGES["pairs"])).startswith("stale (2 of 4): ")


def test_switched_off_it_leaves_no_trace_in_the_records(finished_street: Any) -> None:
    project = finished_street.project
    record = STAGES["pairs"].fingerprint_record(project, project.blocks[0])
    assert "vote" not in record["params"]["pairs"]
    assert not any("poses" in name for name in record["inputs"])


def test_a_vote_of_its_own_views_needs_no_poses(own_street: Any) -> None:
    for poses in own_street.sequences.glob("*/poses.txt"):
        poses.unlink()
    own_street.set(pairs__vote={})
    assert own_street.run("pairs") == 0
    block = own_street.project.blocks[0]
    assert all(one.pairs.votes is not None for one in stored(own_street, block))
    assert state_of(plan(own_street.project, STAGES["pairs"])).startswith("fresh")


def test_missing_poses_are_one_line(own_street: Any, one_line: Callable[[], str]) -> None:
    own_street.set(pairs__vote={"later": 1})
    poses = own_street.sequences / "00" / "poses.txt"
    poses.write_text("".join(poses.read_text().splitlines(keepends=True)[:2]))
    assert own_street.run("pairs") == 2
    assert "has 2 poses and none for scan 000002; copy it again" in one_line()


def test_voxels_that_are_too_small_are_one_line(street: Any, one_line: Callable[[], str]) -> None:
    street.set(pairs__vote={"voxel_m": 1e-9})
    assert street.run("pairs") == 2
    assert "pairs.vote.voxel_m is too small for the scans" in one_line()
