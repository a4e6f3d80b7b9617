"""Images that earlier scans lend: which, from where, and what they touch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.files.masks import encode
from lass3d_core.files.shards import ShardReader
from lass3d_core.geometry.projection import rigid
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import NONE, Camera, Entity, FilePart, Scan, View
from preprocess.simulation.street.writer import StreetSequence
from preprocess.stages.earlier_views import REACH_M, earlier_views, lenders
from preprocess.stages.entities import entities_in
from preprocess.stages.pairing import pair
from preprocess.stages.plan import STAGES, plan
from preprocess.status import state_of

SIZE = (12, 16)
EVERYTHING = PairsSpec(min_score=0.0, visibility="none", min_depth_m=0.0)
BACK = 3


def view(name: str, back_m: float = 0.0, yaw: float = 0.0) -> View:
    """A camera `back_m` behind the origin that looks along +z, turned about its vertical axis by `yaw`."""
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    K = np.array([[10.0, 0, 8], [0, 10, 6], [0, 0, 1]])
    camera = Camera(K, rigid(turn, turn @ np.array([0, 0, back_m])), SIZE)
    return View(name, FilePart(Path(f"{name}.png")), camera)


def scan(points: Any, *views: View) -> Scan:
    points = np.asarray(points, np.float32).reshape(-1, 3)
    return Scan("00/0", points, np.zeros((len(points), 1), np.float32), None, views)


def everywhere(phrase: str) -> list[Entity]:
    return [Entity(phrase, 0.5, (0.0, 0.0, 1.0, 1.0), encode(np.ones(SIZE, bool)))]


def test_an_earlier_image_serves_points_that_no_later_one_sees() -> None:
    found = {"own": everywhere("car"), "one back": everywhere("road"), "two back": everywhere("house")}
    earlier = [(view("one back", 2.0), 1), (view("two back", 8.0), 2)]
    ahead, beside, far_beside, behind = (0.0, 0, 4), (1.0, 0, 0.5), (5.0, 0, 0.5), (0, 0, -9)
    paired = pair(scan([ahead, beside, far_beside, behind], view("own")), found, EVERYTHING, earlier).pairs
    assert paired.image_ids == ("own", "one back", "two back")
    assert paired.image.tolist() == [[0], [1], [2], [NONE]]
    assert [paired.phrases[slot] if slot != NONE else None for slot in paired.entity] == [
        "car",
        "road",
        "house",
        None,
    ]


def test_its_own_image_counts_though_an_earlier_one_sees_the_point_better_centred() -> None:
    found = {"own": everywhere("car"), "before": everywhere("road")}
    at_the_border = (0.79, 0, 1)  # u = 15.9 of 16; from ten metres further back in the very middle
    paired = pair(scan([at_the_border], view("own")), found, EVERYTHING, [(view("before", 10.0), 1)])
    assert paired.pairs.phrases[paired.pairs.entity[0]] == "car"
    both = pair(
        scan([at_the_border], view("own")),
        found,
        replace(EVERYTHING, max_views=2),
        [(view("before", 10.0), 1)],
    )
    assert both.pairs.image.tolist() == [[0, 1]]


def test_a_camera_out_of_reach_ends_the_search() -> None:
    class Sequence:
        def views_before(self, scan_id: str, count: int) -> tuple[tuple[View, ...], ...]:
            distances = (1.0, REACH_M - 0.1, REACH_M + 0.1, 2.0)[:count]
            return tuple((view(f"{distance}", distance),) for distance in distances)

    found = earlier_views(Sequence(), "00/000009", 4)  # type: ignore[arg-type]
    assert [scans_back for _, scans_back in found] == [1, 2]
    assert len(earlier_views(Sequence(), "00/000009", 1)) == 1  # type: ignore[arg-type]


@pytest.fixture
def copied(driven: Any, tmp_path: Path) -> Any:
    """A copy of `driven` that tests may change."""
    shutil.copytree(driven.folder, tmp_path / "copy")
    return type(driven)(tmp_path / "copy")


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory, finished_street: Any) -> Any:
    """Six training scans in drives of four, in blocks of three, each lent the images of three before it."""
    street = type(finished_street)(tmp_path_factory.mktemp("driven"))
    street.manifest.write_text(finished_street.manifest.read_text())
    street.set(datasets__street__simulate__frames_per_drive=4, pairs__earlier_scans=BACK)
    assert street.run("simulate") == street.run("captions") == street.run("pairs") == 0
    return street


def test_a_moved_camera_stands_where_the_simulator_had_it(driven: Any) -> None:
    """The poses of poses.txt against those that the streets were simulated with."""
    sequence = StreetSequence(driven.sequences / "00", 6, (0, 0), 1, 4)
    poses = sequence.poses(0)
    dataset = driven.project.dataset
    for here, back in ((1, 1), (3, 2), (3, 3)):
        (moved,) = dataset.views_before(f"00/{here:06d}", back)[back - 1]
        own = dataset.views(f"00/{here - back:06d}")[0].camera
        wanted = own.cam_from_points @ np.linalg.inv(poses[here - back]) @ poses[here]
        assert moved.camera.cam_from_points == pytest.approx(wanted, abs=1e-6)


def test_no_image_of_another_street_is_lent(driven: Any) -> None:
    dataset = driven.project.dataset
    back = [len(earlier_views(dataset, f"00/{number:06d}", BACK)) for number in range(6)]
    assert back == [0, 1, 2, 3, 0, 1]


def test_coverage_grows_and_its_own_pairs_stay(driven: Any) -> None:
    project = driven.project
    for block in project.blocks:
        names = [one.name for one in lenders(project, block)]
        assert names == {"00-001": ["00-001", "00-000"]}.get(block.name, [block.name])
        found: dict[str, Any] = {}
        for lender in lenders(project, block):
            found |= entities_in(driven.artifacts / "entities" / f"{lender.name}.jsonl")
        with_reader = ShardReader(driven.artifacts / "pairs" / f"{block.name}.h5")
        for stored in with_reader.scans():
            whole = project.dataset.read_scan(stored.scan_id)
            own = pair(whole, found, project.manifest.pairs).pairs
            back = project.earlier_scans_of(block)
            earlier = earlier_views(project.dataset, stored.scan_id, back)
            wanted = pair(whole, found, project.manifest.pairs, earlier).pairs
            assert np.array_equal(stored.pairs.entity, wanted.entity)
            assert stored.pairs.image_ids == wanted.image_ids
            seen = own.image[:, 0] != NONE
            assert np.array_equal(stored.pairs.image[seen], own.image[seen])
            if stored.scan_id == "00/000003":
                assert (stored.pairs.image[:, 0] != NONE).mean() > 1.2 * seen.mean()
        with_reader.close()


def test_a_split_without_captions_is_lent_nothing(driven: Any) -> None:
    (test_block,) = [block for block in driven.project.blocks if block.split == "test"]
    assert driven.project.earlier_scans_of(test_block) == 0
    reader = ShardReader(driven.artifacts / "pairs" / f"{test_block.name}.h5")
    assert all(len(stored.pairs.image_ids) == 1 for stored in reader.scans())
    reader.close()


def test_the_pairs_alone_follow_the_setting_and_the_poses(copied: Any) -> None:
    copied.set(pairs__earlier_scans=1)
    found = {name: state_of(plan(copied.project, stage)) for name, stage in STAGES.items()}
    assert found.pop("pairs") == "stale (4 of 4): pairs earlier_scans: 3 -> 1"
    assert all(state.startswith("fresh") for state in found.values())
    assert copied.run("pairs") == 0
    poses = copied.sequences / "01" / "poses.txt"
    poses.write_text(poses.read_text() + "\n")
    assert state_of(plan(copied.project, STAGES["pairs"])).startswith("stale (1 of 4): ")


def test_a_missing_pose_is_one_clear_line(copied: Any, capfd: pytest.CaptureFixture[str]) -> None:
    poses = copied.sequences / "00" / "poses.txt"
    poses.write_text("".join(poses.read_text().splitlines(keepends=True)[:2]))
    capfd.readouterr()
    assert copied.run("pairs") == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and error.endswith(
        "has 2 poses and none for scan 000002; copy it again"
    )


def test_switched_off_it_leaves_no_trace_in_the_records(finished_street: Any) -> None:
    project = finished_street.project
    record = STAGES["pairs"].fingerprint_record(project, project.blocks[0])
    assert "earlier_scans" not in record["params"]["pairs"]
    assert not any("poses" in name for name in record["inputs"])
    assert set(record["upstream"]) == {"entities 00-000"}


def test_readers_without_poses_refuse_it(street: Any, one_line: Callable[[], str]) -> None:
    street.set(
        pairs__earlier_scans=2,
        datasets__room={
            "reader": "scannet",
            "root": "rooms",
            "simulate": {"world": "room"},
            "splits": {"train": ["scene0000_00"], "val": ["scene0001_00"]},
        },
    )
    assert street.run("status") == 0, "the room is not asked for"
    assert street.run("status", "--dataset", "room") == 2
    assert "pairs.earlier_scans: the reader scannet of room knows no poses of scans" in one_line()
