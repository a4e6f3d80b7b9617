"""ScanNet from its files to what the trainer opens: frames of rooms, depth maps, several views a point."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from lass3d_core.datasets.scannet.reader import LABEL_SPACE
from lass3d_core.geometry.visible_pixels import visible_pixels
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.records import NONE
from preprocess.__main__ import main
from preprocess.project import Project
from preprocess.stages.pairing import distance_from_centre, measured_by, visibility_of
from preprocess.stages.plan import STAGES, plan
from tests.lass3d_core.datasets.scannet_files import FLOOR, PAINT, TABLE_ID, room_points, write_scannet
from train.data.paired_scans import PairedScans

TRAIN, VAL, TEST = ("scene0000_00", "scene0001_00"), ("scene0002_00",), ("scene0707_00",)
MANIFEST = {
    "schema": 1,
    "default": "scannet",
    "datasets": {
        "scannet": {
            "reader": "scannet",
            "root": "data",
            "splits": {"train": list(TRAIN), "val": list(VAL), "test": list(TEST)},
            "frames": {"stride": 2},
            "pairs": {"visibility": "depth_map", "max_views": 3, "min_depth_m": 0.1},
        }
    },
    "image_captions": {"name": "palette"},
    "entities": {"name": "palette", "vocabulary": "captions"},
    "text_embeddings": {"name": "hashing"},
    "workers": 1,
}


def make(folder: Path, sens: bool = False) -> Path:
    """Every stage done; frame 4 is lost, and the test scene has no frames."""
    write_scannet(folder / "data", (*TRAIN, *VAL), 12, sens, unlabelled=TEST, lost=(4,))
    test = folder / "data" / "scans_test" / TEST[0]
    for name in ("color", "depth", "pose", "intrinsic"):
        shutil.rmtree(test / name, ignore_errors=True)
    (test / f"{TEST[0]}.sens").unlink(missing_ok=True)
    (folder / "data_manifest.yaml").write_text(yaml.safe_dump(MANIFEST))
    for command in ("captions", "pairs"):
        assert main([command, "--manifest", str(folder / "data_manifest.yaml")]) == 0
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    return make(tmp_path_factory.mktemp("scannet"))


def project_in(folder: Path) -> Project:
    return Project(*read_manifest(folder / "data_manifest.yaml"))


def test_the_trainer_opens_what_was_paired(folder: Path) -> None:
    scans = PairedScans.open(project_in(folder).folder)
    assert scans.splits["train"] == TRAIN and scans.splits["val"] == VAL and scans.splits["test"] == TEST
    assert scans.header.class_names == LABEL_SPACE.names
    assert scans.header.feature_names == ("red", "green", "blue")
    scan, (points, nyu40) = scans.read(TRAIN[1]), room_points()
    np.testing.assert_array_equal(scan.points, points)
    np.testing.assert_array_equal(scan.labels, LABEL_SPACE.train_ids(nyu40, ""))
    np.testing.assert_allclose(
        scan.features[nyu40 == TABLE_ID] * 255, [PAINT[TABLE_ID]] * sum(nyu40 == TABLE_ID), atol=0.1
    )


def test_a_point_keeps_the_three_best_centred_views_that_see_it(folder: Path) -> None:
    project = project_in(folder)
    paired, raw = PairedScans.open(project.folder).read(TRAIN[0]), project.dataset.read_scan(TRAIN[0])
    assert paired.pairs.image_ids == tuple(f"{TRAIN[0]}/{number:06d}" for number in (0, 2, 6, 8, 10))
    spec = project.manifest.pairs
    distance = np.full((len(raw.views), len(raw.points)), np.inf, np.float32)
    for row, view in enumerate(raw.views):
        seen = visible_pixels(view.camera, raw.points, visibility_of(spec), measured_by(view, spec))
        distance[row, seen.point] = distance_from_centre(seen, view.camera)
    order = np.argsort(distance, axis=0, kind="stable")[:3]
    wanted = np.where(np.isfinite(np.take_along_axis(distance, order, axis=0)), order, NONE).T
    np.testing.assert_array_equal(paired.pairs.image, wanted)
    assert {tuple(row != NONE) for row in wanted} >= {(True, True, False), (True, False, False), (False,) * 3}


def test_words_reach_the_surfaces_that_the_images_show_and_no_others(folder: Path) -> None:
    scan = PairedScans.open(project_in(folder).folder).read(TRAIN[0])
    points, nyu40 = room_points()
    phrase = np.array([*scan.pairs.phrases, ""])[scan.pairs.entity]
    named, table = phrase != "", nyu40 == TABLE_ID
    red = np.isin(phrase, ("car", "sedan", "parked vehicle"))
    assert (named & table).sum() > 50 and red[named & table].mean() > 0.8
    assert red[named & ~table].mean() < 0.02
    behind_the_table = (nyu40 == FLOOR) & (points[:, 0] > 3.5) & (abs(points[:, 1] - 1.5) < 0.2)
    assert behind_the_table.any() and (scan.pairs.image[behind_the_table] == NONE).all()


def test_a_test_scene_without_frames_is_paired_with_nothing(folder: Path) -> None:
    scan = PairedScans.open(project_in(folder).folder).read(TEST[0])
    assert scan.labels is None and len(scan.points) == len(room_points()[0])
    assert (
        scan.pairs.image_ids == () and (scan.pairs.image == NONE).all() and (scan.pairs.entity == NONE).all()
    )


def test_sens_files_give_the_same_pairs_as_exported_frames(folder: Path, tmp_path: Path) -> None:
    other = make(tmp_path, sens=True)
    exported, sens = (PairedScans.open(project_in(one).folder) for one in (folder, other))
    for scan_id in (*TRAIN, *VAL, *TEST):
        one, two = exported.read(scan_id).pairs, sens.read(scan_id).pairs
        assert one.image_ids == two.image_ids and one.phrases == two.phrases
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.entity, two.entity)


def test_another_pose_makes_the_pairs_stale_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    project = project_in(tmp_path / "copy")
    assert all(plan(project, stage).fresh for stage in STAGES.values())
    pose = tmp_path / "copy" / "data" / "scans" / TRAIN[0] / "pose"
    shutil.copy(pose / "1.txt", pose / "0.txt")
    states = {name: {shard.state for shard in plan(project, stage).shards} for name, stage in STAGES.items()}
    assert states.pop("pairs") == {"stale", "fresh"}
    assert set().union(*states.values()) == {"fresh"}


def test_a_training_scene_without_frames_has_no_text_and_stops_nothing(tmp_path: Path) -> None:
    write_scannet(tmp_path / "data", (*TRAIN, *VAL), 2, unlabelled=TEST)
    shutil.rmtree(tmp_path / "data" / "scans" / TRAIN[1] / "color")
    (tmp_path / "data_manifest.yaml").write_text(yaml.safe_dump(MANIFEST))
    assert main(["captions", "--manifest", str(tmp_path / "data_manifest.yaml")]) == 0
    project = project_in(tmp_path)
    images = [one.image_id for block in project.blocks for one in project.images_of(block)]
    assert images and not any(image_id.startswith(TRAIN[1]) for image_id in images)
