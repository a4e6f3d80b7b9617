"""nuScenes from its tables to what the trainer opens: six cameras, two scenes and one to test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from lass3d_core.datasets.nuscenes.reader import CAMERAS, LABEL_SPACE
from lass3d_core.geometry.visible_pixels import Visibility, visible_pixels
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.records import NONE
from preprocess.__main__ import main
from preprocess.project import Project
from preprocess.stages.plan import STAGES, plan
from tests.lass3d_core.datasets.nuscenes_files import some_labels, some_points, write_nuscenes
from train.data.paired_scans import PairedScans

MANIFEST = {
    "schema": 1,
    "default": "nuscenes",
    "datasets": {
        "nuscenes": {
            "reader": "nuscenes",
            "root": "data",
            "splits": {"train": ["scene-0001"], "val": ["scene-0103"], "test": ["scene-0077"]},
        }
    },
    "image_captions": {"name": "palette"},
    "entities": {"name": "palette", "vocabulary": "captions"},
    "text_embeddings": {"name": "hashing"},
    "pairs": {"max_views": 1, "visibility": "none"},
    "workers": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every stage done."""
    folder = tmp_path_factory.mktemp("nuscenes")
    write_nuscenes(folder / "data", ("scene-0001", "scene-0103"))
    write_nuscenes(folder / "data", ("scene-0077",), version="v1.0-test", frames=1, labelled=False)
    (folder / "data_manifest.yaml").write_text(yaml.safe_dump(MANIFEST))
    for command in ("captions", "pairs"):
        assert main([command, "--manifest", str(folder / "data_manifest.yaml")]) == 0
    return folder


def project_in(folder: Path) -> Project:
    return Project(*read_manifest(folder / "data_manifest.yaml"))


def test_the_trainer_opens_what_was_paired(folder: Path) -> None:
    project = project_in(folder)
    scans = PairedScans.open(project.folder)
    assert {split: len(scan_ids) for split, scan_ids in scans.splits.items()} == {
        "train": 2,
        "val": 2,
        "test": 1,
    }
    assert scans.splits["train"] == project.dataset.scan_ids("train")
    assert scans.header.class_names == LABEL_SPACE.names and scans.header.feature_names == ("intensity",)
    assert scans.in_channels == 4
    for number, scan_id in enumerate(scans.splits["train"]):
        scan, points = scans.read(scan_id), some_points(number)
        np.testing.assert_array_equal(scan.points, points[:, :3])
        np.testing.assert_allclose(scan.features[:, 0], points[:, 3] / 255, atol=5e-4)
        np.testing.assert_array_equal(scan.labels, LABEL_SPACE.train_ids(some_labels(points), ""))
    assert scans.read(scans.splits["test"][0]).labels is None


def test_each_point_has_the_image_that_sees_it_and_the_words_of_its_pixel(folder: Path) -> None:
    project = project_in(folder)
    scans = PairedScans.open(project.folder)
    scan_id = scans.splits["train"][1]
    scan, raw = scans.read(scan_id), project.dataset.read_scan(scan_id)
    assert scan.pairs.image.shape == (400, 1)
    assert scan.pairs.image_ids == tuple(f"{scan_id}/{camera}" for camera in CAMERAS)
    seen_by = np.zeros((len(CAMERAS), 400), bool)
    for row, view in zip(seen_by, raw.views):
        row[visible_pixels(view.camera, raw.points, Visibility(kind="none")).point] = True
    image = scan.pairs.image[:, 0]
    np.testing.assert_array_equal(image != NONE, seen_by.any(axis=0))
    assert seen_by[image[image != NONE], np.flatnonzero(image != NONE)].all()
    assert set(image) == {NONE, *range(len(CAMERAS))}
    assert np.mean(image != NONE) > 0.7  # six cameras of 90 degrees look all around
    named = scan.pairs.entity != NONE
    assert named.sum() > 100 and len(set(scan.pairs.entity[named])) >= 2


def test_another_calibration_makes_the_pairs_stale_and_nothing_else(folder: Path) -> None:
    assert all(plan(project_in(folder), stage).fresh for stage in STAGES.values())
    table = folder / "data" / "v1.0-trainval" / "calibrated_sensor.json"
    content = table.read_text()
    rows = json.loads(content)
    rows[-1]["translation"][2] += 0.25
    table.write_text(json.dumps(rows))
    states = {
        name: [shard.state for shard in plan(project_in(folder), stage).shards]
        for name, stage in STAGES.items()
    }
    table.write_text(content)
    assert states.pop("pairs") == ["stale", "stale", "fresh"]  # the test scene has separate tables
    assert {state for of_stage in states.values() for state in of_stage} == {"fresh"}
    assert all(plan(project_in(folder), stage).fresh for stage in STAGES.values())
