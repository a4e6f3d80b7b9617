from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lass3d_core.datasets.semantickitti.reader import LABEL_SPACE, SemanticKitti
from lass3d_core.errors import ManifestError
from lass3d_core.manifest.schema import DatasetSpec, SimulateSpec, SplitSpec
from preprocess.simulation.street import rig
from preprocess.simulation.street.writer import write_street

SPEC = SimulateSpec(train=3, val=1, test=1, seed=5, cameras=4, frames_per_drive=2)
SPLITS = SplitSpec(train=("00",), val=("01",), test=("02",))
ONE_CAMERA = replace(SPEC, train=2, cameras=1, frames_per_drive=1)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once, by one process; tests only read it."""
    root = tmp_path_factory.mktemp("street")
    assert write_street(root, SPEC, SPLITS, workers=1).written == 5
    return root


def test_tree_is_semantickitti_s(street: Path) -> None:
    train = street / "sequences" / "00"
    names = {str(path.relative_to(train)) for path in train.rglob("*.*")}
    per_scan = {"velodyne": "bin", "labels": "label"} | {f"image_{number}": "png" for number in (2, 3, 4, 5)}
    expected = {f"{folder}/00000{n}.{suffix}" for folder, suffix in per_scan.items() for n in range(3)}
    assert names == expected | {"calib.txt", "poses.txt", "times.txt"}
    for name in ("01", "02"):
        assert [path.name for path in (street / "sequences" / name / "velodyne").iterdir()] == ["000000.bin"]


def test_real_reader_reads_it(street: Path) -> None:
    views = ("image_2", "image_3", "image_4", "image_5")
    dataset = SemanticKitti(DatasetSpec("semantickitti", street, SPLITS, views=views))
    assert dataset.scan_ids("val") == ("01/000000",)
    scan = dataset.read_scan("00/000001")
    assert scan.labels is not None and len(np.unique(scan.labels)) > 8
    for view, camera in zip(scan.views, rig.cameras(4).values(), strict=True):
        assert view.camera.size_hw == camera.size_hw
        assert np.allclose(view.camera.K, camera.K)
        assert view.camera.cam_from_points == pytest.approx(camera.cam_from_points, abs=1e-9)


def test_camera_2_stands_beside_camera_0(street: Path) -> None:
    lines = dict(line.split(": ") for line in (street / "sequences/00/calib.txt").read_text().splitlines())
    matrices = {key: np.array(values.split(), float).reshape(3, 4) for key, values in lines.items()}
    assert set(matrices) == {"P0", "P1", "P2", "P3", "P4", "P5", "Tr", "Tr_3", "Tr_4", "Tr_5"}
    offset = np.linalg.solve(matrices["P2"][:, :3], matrices["P2"][:, 3])
    assert offset == pytest.approx([0.0597, -0.0004, 0.0027])
    assert not matrices["P0"][:, 3].any() and not matrices["P4"][:, 3].any()


def test_poses_are_true_and_each_drive_is_far_from_the_one_before(street: Path) -> None:
    poses = np.loadtxt(street / "sequences/00/poses.txt").reshape(-1, 3, 4)
    assert len(poses) == 3
    assert np.array_equal(poses[0], np.eye(4)[:3])
    assert np.array_equal(poses[2, :, :3], np.eye(3)) and poses[2, :, 3].tolist() == [10_000, 0, 0]
    right, down, ahead = poses[1][:, 3]
    assert ahead == pytest.approx(1.0, abs=0.02) and abs(right) < 0.1 and abs(down) < 0.1


def test_scan_taken_to_the_first_by_its_pose_lies_on_the_same_ground(street: Path) -> None:
    dataset = SemanticKitti(DatasetSpec("semantickitti", street, SPLITS))
    first, second = dataset.read_scan("00/000000"), dataset.read_scan("00/000001")
    pose = np.eye(4)
    pose[:3] = np.loadtxt(street / "sequences/00/poses.txt")[1].reshape(3, 4)
    cam0 = rig.cam0_from_velodyne()
    first_from_second = np.linalg.inv(cam0) @ pose @ cam0
    road = LABEL_SPACE.names.index("road")

    def distance_from_plane(points: np.ndarray) -> float:
        ground = first.points[first.labels == road].astype(float)
        normal = np.linalg.svd(ground - ground.mean(axis=0))[2][2]
        return float(np.abs((points - ground.mean(axis=0)) @ normal).mean())

    points = second.points[second.labels == road].astype(float)
    moved = points @ first_from_second[:3, :3].T + first_from_second[:3, 3]
    assert distance_from_plane(moved) < 0.05
    assert distance_from_plane(moved) < distance_from_plane(points)


def test_split_without_a_sequence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"splits\.test is empty"):
        write_street(tmp_path, ONE_CAMERA, SplitSpec(train=("00",), val=("01",)))


def test_record_names_what_the_tree_was_made_from(street: Path) -> None:
    record = json.loads((street / "street.json").read_text())
    assert record["seed"] == 5 and record["cameras"] == 4 and record["sequences"] == ["00", "01", "02"]


@pytest.mark.parametrize("seconds", [0.2, 1.5])
def test_ctrl_c_ends_the_workers_and_leaves_one_line(tmp_path: Path, seconds: float) -> None:
    script = (
        "import sys; from pathlib import Path; from preprocess.simulation.street.writer import write_street\n"
        "from lass3d_core.errors import exit_status\n"
        "from lass3d_core.manifest.schema import SimulateSpec, SplitSpec\n"
        "print('starting', flush=True)\n"
        f"spec, splits = {replace(ONE_CAMERA, train=60)!r}, {SPLITS!r}\n"
        "sys.exit(exit_status(lambda: write_street(Path(sys.argv[1]), spec, splits, 2) and 0))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)  # while and after the workers start
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = [line for line in errors.splitlines() if line and "/62 [" not in line]  # of the bar
    assert line.startswith("interrupted: nothing is half-written")
