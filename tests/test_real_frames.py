"""The whole path on real LiDAR and photographs: one frame for training, one of another street for evaluation.

PandaSet's frames in SemanticKITTI's layout. `palette` cannot name photographs, so no test reads its words.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import preprocess.__main__
import train.__main__
from lass3d_core.datasets import Dataset, open_dataset
from lass3d_core.files.shards import ShardReader
from lass3d_core.geometry.visible_pixels import Visibility, visible_pixels
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec, PairsSpec, SplitSpec
from lass3d_core.records import View
from preprocess.audit.calibration import compare
from preprocess.audit.calibration_check import observed_in

pytestmark = [pytest.mark.samples, pytest.mark.slow]

FRAMES = {"00": "000000", "01": "000000"}
EVERYTHING = Visibility(kind="none")
KITTI = {
    "velodyne_000008.bin": "velodyne/000008.bin",
    "image_2_000008.png": "image_2/000008.png",
    "calib.txt": "calib.txt",
}
SETTINGS = ("schedule.steps=40", "data.labelled_scans=1", "data.voxel_m=0.5", "data.augment.keep=0.5")


@pytest.fixture(scope="module")
def manifest(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest with a data set of two real frames."""
    folder, source = tmp_path_factory.mktemp("real"), samples / "pandaset_as_semantickitti" / "sequences"
    for sequence, frame in FRAMES.items():
        for kind, suffix in (("velodyne", "bin"), ("labels", "label"), ("image_2", "png")):
            target = folder / "data" / "sequences" / sequence / kind / f"{frame}.{suffix}"
            target.parent.mkdir(parents=True)
            shutil.copyfile(source / sequence / kind / target.name, target)
        calibration = folder / "data" / "sequences" / sequence / "calib.txt"
        shutil.copyfile(source / sequence / "calib.txt", calibration)
    splits = {"train": ["00"], "val": ["01"]}
    content = {
        "schema": 1,
        "default": "pandaset",
        "datasets": {"pandaset": {"reader": "semantickitti", "root": "data", "splits": splits}},
        "image_captions": {"name": "palette"},
        "entities": {"name": "palette"},
        "text_embeddings": {"name": "hashing"},
    }
    path = folder / "data_manifest.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def paired(manifest: Path) -> Path:
    """The pair shards of both frames."""
    for command in ("captions", "pairs"):
        assert preprocess.__main__.main([command, "--manifest", str(manifest)]) == 0
    return manifest.parent / "artifacts" / "pandaset" / "pairs"


def share_in_image(dataset: Dataset, scan_id: str) -> float:
    """The share of a scan's points that lie in its image, hidden or not; printed (`pytest -rP`)."""
    scan = dataset.read_scan(scan_id)
    share = len(visible_pixels(scan.views[0].camera, scan.points, EVERYTHING).point) / len(scan.points)
    print(f"{scan_id}: {share:.1%} of {len(scan.points)} points lie in {scan.views[0].image_id}")
    return share


def test_an_eighth_of_the_points_of_pandaset_lies_in_the_front_image(samples: Path) -> None:
    root = samples / "pandaset_as_semantickitti"
    dataset = open_dataset(DatasetSpec("semantickitti", root, SplitSpec(("00",), ("01",))))
    scan_ids = dataset.scan_ids("train") + dataset.scan_ids("val")
    assert len(scan_ids) == 8
    assert all(0.12 < share_in_image(dataset, scan_id) < 0.135 for scan_id in scan_ids)


def test_every_point_of_the_kitti_frame_that_was_cut_to_its_image_lies_in_it(
    samples: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sequences" / "00"
    for source, target in KITTI.items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        (folder / target).symlink_to(samples / "kitti" / source)
    dataset = open_dataset(DatasetSpec("semantickitti", tmp_path, SplitSpec(("00",), ("01",))))
    scan = dataset.read_scan("00/000008")
    assert scan.labels is None and len(scan.points) == 17_238
    assert scan.views[0].camera.size_hw == (375, 1242)
    assert share_in_image(dataset, "00/000008") == 1.0


def test_the_pairs_keep_the_points_that_no_other_point_hides(paired: Path) -> None:
    for sequence, frame in FRAMES.items():
        scan = ShardReader(paired / f"{sequence}-000.h5").read(f"{sequence}/{frame}")
        assert 0.11 < np.mean(scan.pairs.image[:, 0] >= 0) < 0.13


def test_supervised_training_beats_the_majority_class_on_a_street_it_never_saw(
    manifest: Path, paired: Path
) -> None:
    run = ["run", "--manifest", str(manifest), "--method", "supervised", "--ratio", "100", "--preset", "demo"]
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    assert train.__main__.main([*run, *settings]) == 0
    (folder,) = (manifest.parent / "runs" / "pandaset").iterdir()
    accuracy = json.loads((folder / "metrics-val.json").read_text())["accuracy"]
    labels = ShardReader(paired / "01-000.h5").read(f"01/{FRAMES['01']}").labels
    assert labels is not None
    counted = np.bincount(labels[labels != IGNORE])
    assert accuracy > counted.max() / counted.sum() + 0.05


def test_an_earlier_image_fits_a_scan_at_the_pose_of_its_camera(samples: Path) -> None:
    """The scan's outlines lie on the edges of the images of the three frames before it.

    PandaSet drives 0.8 m a frame. The score must be lower with a camera that has not moved, and with one that
    has moved the other way. The scores are printed (`pytest -rP`).
    """
    root = samples / "pandaset_as_semantickitti"
    dataset = open_dataset(DatasetSpec("semantickitti", root, SplitSpec(("00",), ("01",))))
    scan = dataset.read_scan("00/000003")
    own = scan.views[0].camera.cam_from_points
    for (view,) in dataset.views_before("00/000003", 3):
        points_moved = np.linalg.inv(own) @ view.camera.cam_from_points
        others = own, own @ np.linalg.inv(points_moved)
        cameras = [replace(view.camera, cam_from_points=other) for other in others]
        score, still, opposite = (
            fit(one, scan.points) for one in (view, *(replace(view, camera=camera) for camera in cameras))
        )
        print(f"{view.image_id}: {score:.2f}, not moved {still:.2f}, moved the other way {opposite:.2f}")
        assert max(still, opposite) < score - 0.03


def fit(view: View, points: np.ndarray) -> float:
    """The strength of the image's edges at the outlines of the points, relative to chance, which is 1."""
    return compare([observed_in(view, points, PairsSpec(), nudges=())], nudges=()).given.score
