from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lass3d_core.clouds.ply import read_ply
from lass3d_core.datasets.scannet.reader import ScanNet
from lass3d_core.manifest.schema import DatasetSpec, FramesSpec, SimulateSpec, SplitSpec
from preprocess.simulation.room.writer import write_rooms

SPEC = SimulateSpec(world="room", train=3, val=1, test=1, seed=4, frames_per_room=2)
SMALL = replace(SPEC, train=1)


def dataset(root: Path) -> ScanNet:
    lists = {split: (str(root / f"scannetv2_{split}.txt"),) for split in ("train", "val", "test")}
    return ScanNet(DatasetSpec("scannet", root, SplitSpec(**lists), frames=FramesSpec(stride=1)))


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once, by one process; tests only read it."""
    root = tmp_path_factory.mktemp("rooms")
    assert write_rooms(root, SPEC, workers=1).written == 5
    return root


def test_tree_is_scannet_s(rooms: Path) -> None:
    scene = rooms / "scans" / "scene0000_00"
    files = {str(path.relative_to(scene)) for path in scene.rglob("*") if path.is_file()}
    frames = {
        f"{folder}/{n}.{end}"
        for folder, end in (("color", "jpg"), ("depth", "png"), ("pose", "txt"))
        for n in range(2)
    }
    cameras = {f"intrinsic/{kind}trinsic_{name}.txt" for kind in ("in", "ex") for name in ("color", "depth")}
    mesh = {"scene0000_00.txt", "scene0000_00_vh_clean_2.ply", "scene0000_00_vh_clean_2.labels.ply"}
    assert files == frames | cameras | mesh
    lists = {
        split: (rooms / f"scannetv2_{split}.txt").read_text().split() for split in ("train", "val", "test")
    }
    assert lists == {
        "train": ["scene0000_00", "scene0001_00", "scene0002_00"],
        "val": ["scene0003_00"],
        "test": ["scene0004_00"],
    }


def test_images_are_of_the_sizes_that_the_scene_declares(rooms: Path) -> None:
    scene = rooms / "scans" / "scene0001_00"
    facts = dict(line.split(" = ") for line in (scene / "scene0001_00.txt").read_text().splitlines())
    with Image.open(scene / "color" / "0.jpg") as colour:
        assert colour.size == (int(facts["colorWidth"]), int(facts["colorHeight"]))
        assert colour.format == "JPEG"
    with Image.open(scene / "depth" / "0.png") as depth:
        assert depth.size == (int(facts["depthWidth"]), int(facts["depthHeight"]))
        assert depth.mode.startswith("I;16")


def test_real_reader_reads_it(rooms: Path) -> None:
    data = dataset(rooms)
    assert data.scan_ids("val") == ("scene0003_00",)
    for split in ("train", "val", "test"):
        for scan_id in data.scan_ids(split):
            scan = data.read_scan(scan_id)
            assert scan.labels is not None and len(np.unique(scan.labels)) > 5
            assert 1 <= len(scan.views) <= 2
            assert all(view.depth is not None for view in scan.views)


def test_lost_frames_have_no_finite_pose_and_are_no_views(rooms: Path) -> None:
    poses = {path: np.loadtxt(path) for path in rooms.rglob("pose/*.txt")}
    lost = [path for path, pose in poses.items() if not np.isfinite(pose).all()]
    assert 0 < len(lost) < 5 and len({path.parent for path in lost}) == len(lost)
    assert all(np.isneginf(poses[path]).all() for path in lost)
    data = dataset(rooms)
    scenes = [scan_id for split in ("train", "val", "test") for scan_id in data.scan_ids(split)]
    assert sum(map(data.skipped_frames, scenes)) == len(lost)


def test_alignment_turns_the_walls_to_the_axes(rooms: Path) -> None:
    scene = rooms / "scans" / "scene0000_00"
    facts = dict(line.split(" = ") for line in (scene / "scene0000_00.txt").read_text().splitlines())
    aligned = np.array(facts["axisAlignment"].split(), float).reshape(4, 4)
    assert abs(aligned[0, 1]) > 0.01  # else poses would hide mistakes
    vertex = read_ply(scene / "scene0000_00_vh_clean_2.labels.ply")["vertex"]
    points = np.stack([vertex[axis] for axis in "xyz"], axis=1) @ aligned[:3, :3].T + aligned[:3, 3]
    floor = points[vertex["label"] == 2]
    assert np.abs(floor[:, 2]).max() < 0.05
    assert points.min() > -0.1
