"""A model file and the installed package label any real scan, in a fresh process, outside the repository.

A PandaSet frame and a SemanticKITTI frame are labelled as `make export` labels them, to the point. A nuScenes
sweep and a KITTI frame, which belong to no data set here, get the same labels from every format.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import laspy
import numpy as np
import pytest
import yaml

import preprocess.__main__
import train.__main__
from lass3d_core.clouds.ply import write_ply
from tests.lass3d_core.clouds.test_read_cloud import write_pcd

pytestmark = [pytest.mark.samples, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
SETTINGS = ("schedule.steps=20", "data.labelled_scans=1", "data.voxel_m=0.5", "data.augment.keep=0.5")
CHOICE = ("--method", "supervised", "--preset", "demo", "--ratio", "100")
RUN = "supervised-demo-r100-s0"
SPLITS = {"train": ["00"], "val": ["01"], "test": ["08"]}


def write_las(path: Path, scan: np.ndarray) -> None:
    header = laspy.LasHeader(point_format=0, version="1.4")
    header.add_extra_dim(laspy.ExtraBytesParams("remission", np.float32))
    header.scales = [1e-7] * 3
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = scan[:, :3].astype(np.float64).T
    cloud["remission"] = scan[:, 3]
    cloud.write(str(path))


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    ".bin": lambda path, scan: scan.tofile(path),
    ".npy": lambda path, scan: np.save(path, scan),
    ".ply": lambda path, scan: write_ply(
        path, scan[:, :3], np.zeros((len(scan), 3), np.uint8), {"remission": scan[:, 3]}
    ),
    ".pcd": lambda path, scan: write_pcd(path, scan, "binary_compressed"),
    ".las": write_las,
}


@pytest.fixture(scope="module")
def project(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on a PandaSet frame, and its predictions for a PandaSet and a SemanticKITTI frame."""
    folder = tmp_path_factory.mktemp("house")
    sources = {"00": "pandaset_as_semantickitti", "01": "pandaset_as_semantickitti", "08": "semantickitti"}
    for sequence, source in sources.items():
        here = samples / source / "sequences" / sequence
        for kind, suffix in (("velodyne", "bin"), ("labels", "label"), ("image_2", "png")):
            target = folder / "data" / "sequences" / sequence / kind / f"000000.{suffix}"
            target.parent.mkdir(parents=True)
            shutil.copyfile(here / kind / target.name, target)
        shutil.copyfile(here / "calib.txt", folder / "data" / "sequences" / sequence / "calib.txt")
    content = {
        "schema": 1,
        "default": "frames",
        "datasets": {"frames": {"reader": "semantickitti", "root": "data", "splits": SPLITS}},
        "image_captions": {"name": "palette"},
        "entities": {"name": "palette"},
        "text_embeddings": {"name": "hashing"},
    }
    manifest = folder / "data_manifest.yaml"
    manifest.write_text(yaml.safe_dump(content))
    for command in ("captions", "pairs"):
        assert preprocess.__main__.main([command, "--manifest", str(manifest)]) == 0
    given = ["--manifest", str(manifest), *CHOICE]
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    assert train.__main__.main(["run", *given, *settings]) == 0
    for split in ("val", "test"):
        assert train.__main__.main(["export", *given, "--split", split]) == 0
    return folder


@pytest.fixture(scope="module")
def outside(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with nothing but the model file."""
    folder = tmp_path_factory.mktemp("outside")
    shutil.copyfile(project / "runs" / "frames" / RUN / "model.safetensors", folder / "model.safetensors")
    return folder


def labels_of(folder: Path, path: Path, *flags: str) -> np.ndarray:
    """The raw ids that a fresh process writes for the cloud at `path`."""
    command = [sys.executable, "-m", "lass3d_core.model", "model.safetensors", str(path), *flags]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, "--into", "out", "--no-ply"], cwd=folder, env=env, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return np.fromfile(folder / "out" / f"{path.stem}.label", np.uint32)


def scan_of(samples: Path, name: str) -> np.ndarray:
    """(N,4) float32: x, y, z and remission in [0,1]."""
    if name == "nuscenes":
        sweep = np.fromfile(samples / "nuscenes" / "LIDAR_TOP.bin", np.float32).reshape(-1, 5)[:, :4]
        return np.ascontiguousarray(sweep * np.float32([1, 1, 1, 1 / 255]))
    places = {
        "kitti": "kitti/velodyne_000008.bin",
        "pandaset": "pandaset_as_semantickitti/sequences/01/velodyne/000000.bin",
        "semantickitti": "semantickitti/sequences/08/velodyne/000000.bin",
    }
    return np.fromfile(samples / places[name], np.float32).reshape(-1, 4)


@pytest.mark.parametrize("name", ["kitti", "nuscenes", "pandaset", "semantickitti"])
def test_a_scan_has_the_same_labels_from_every_format(
    samples: Path, project: Path, outside: Path, name: str
) -> None:
    scan, found = scan_of(samples, name), {}
    for suffix, write in WRITERS.items():
        write(outside / f"{name}{suffix}", scan)
        found[suffix] = labels_of(outside, outside / f"{name}{suffix}")
    assert all(len(labels) == len(scan) for labels in found.values())
    assert {suffix for suffix, labels in found.items() if (labels != found[".bin"]).any()} == set()
    exported = {"pandaset": ("val", "01"), "semantickitti": ("test", "08")}
    if name in exported:
        split, sequence = exported[name]
        place = project / "runs" / "frames" / RUN / f"export-{split}" / "sequences" / sequence
        expected = np.fromfile(place / "predictions" / "000000.label", np.uint32)
        assert np.array_equal(found[".bin"], expected)


def test_the_five_columns_of_a_sweep_are_taken_as_they_are(samples: Path, outside: Path) -> None:
    raw = labels_of(outside, samples / "nuscenes" / "LIDAR_TOP.bin", "--scale", "remission=255")
    scan_of(samples, "nuscenes").tofile(outside / "scaled.bin")
    assert np.array_equal(raw, labels_of(outside, outside / "scaled.bin"))


def test_the_call_labels_as_the_command_does(samples: Path, outside: Path) -> None:
    code = (
        "import numpy as np, lass3d_core\n"
        "model = lass3d_core.load('model.safetensors')\n"
        "scan = np.load('call.npy')\n"
        "found = model.predict(scan[:, :3], scan[:, 3:])\n"
        "np.array(model.card.raw_ids, np.uint32)[found.labels].tofile('call.label')\n"
    )
    np.save(outside / "call.npy", scan_of(samples, "kitti"))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=outside, env=env, check=True)
    called = np.fromfile(outside / "call.label", np.uint32)
    assert np.array_equal(called, labels_of(outside, outside / "call.npy"))
