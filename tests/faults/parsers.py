"""Parsers of files that come from outside or that a person edits, each with a good file of its kind.

Mutants of the good file must be read, or refused by a Lass3dError of one line, within SECONDS.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks.fault_injection.project import RUN_FOLDER
from lass3d_core.datasets import open_dataset
from lass3d_core.datasets.poses import read_poses
from lass3d_core.datasets.scannet.rgbd import view_of
from lass3d_core.datasets.scannet.sens import read_sens
from lass3d_core.errors import Lass3dError
from lass3d_core.files.images import read_depth, read_image
from lass3d_core.files.json_files import read_json_of_user
from lass3d_core.files.pair_index import read_index
from lass3d_core.files.splits import LabelledSplit, read_list
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from preprocess.lvm import check_lvm
from tests.faults.mutants import mutant
from tests.lass3d_core.datasets.nuscenes_files import write_nuscenes
from tests.lass3d_core.datasets.scannet_files import room_frames, sens_bytes
from train.config import SavedRun
from train.evaluate import Metrics
from train.runs.logs import read_log

SECONDS = 20
"""For one reading of a file of some kilobytes."""


@dataclass(frozen=True)
class Parser:
    """file: path below the folder. read: reads it, given the folder. text: mutate words too."""

    file: str
    read: Callable[[Path], object]
    text: bool = False


def print_failures(project: str, name: str, count: int, seed: int) -> None:
    """In a child: read `count` mutants; print each that ended in neither a value nor a Lass3dError."""
    parser, rng, failures = PARSERS[name], random.Random(f"{seed} {name}"), []
    signal.signal(signal.SIGALRM, _too_slow)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "project"
        shutil.copytree(project, folder)
        _write_others(folder)
        path = folder / parser.file
        whole = path.read_bytes()
        parser.read(folder)
        for number in range(count):
            path.write_bytes(mutant(whole, rng, parser.text))
            signal.alarm(SECONDS)
            try:
                parser.read(folder)
            except Lass3dError as error:
                if "\n" in str(error):
                    failures.append(f"mutant {number} of {name}: more than a line: {error}")
            except Exception:
                failures.append(f"mutant {number} of {name}: {''.join(traceback.format_exc()[-700:])}")
            finally:
                signal.alarm(0)
    print(json.dumps(failures))


def _too_slow(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeoutError(f"more than {SECONDS} s")


def _write_others(folder: Path) -> None:
    """Files that the tiny project lacks: a .sens file, nuScenes, lists."""
    (folder / "scene.sens").write_bytes(sens_bytes(room_frames(2)))
    write_nuscenes(folder / "nuscenes", ("scene-0001", "scene-0002"))
    (folder / "list.txt").write_text("00/000000\n00/000001\n")
    (folder / "scenes.txt").write_text("00\n")
    (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n0 -1 0 2.5 1 0 0 0 0 0 1 1e-3\n")
    (folder / "calibration.json").write_text('{"front": {"K": [[500, 0, 320], [0, 5e2, 240.5], [0, 0, 1]]}}')


def _street(folder: Path) -> object:
    spec = DatasetSpec("semantickitti", folder / "street", SplitSpec(("00",), ("01",)))
    return _all_of(spec, "00/000000")


def _room(folder: Path) -> object:
    spec = DatasetSpec("scannet", folder / "room", SplitSpec(("scene0000_00",), ("scene0001_00",)))
    return _all_of(spec, "scene0000_00")


def _all_of(spec: DatasetSpec, scan_id: str) -> object:
    dataset = open_dataset(spec)
    dataset.scan_ids("train")
    scan = dataset.read_scan(scan_id)
    for view in scan.views:
        read_image(view.image)
        if view.depth is not None:
            read_depth(view.depth)
    return scan


def _nuscenes(folder: Path) -> object:
    splits = SplitSpec(("scene-0001",), ("scene-0002",))
    spec = DatasetSpec("nuscenes", folder / "nuscenes", splits)
    dataset = open_dataset(spec)
    return [dataset.read_scan(scan_id) for scan_id in dataset.scan_ids("train")]


def _sens(folder: Path) -> object:
    sequence = read_sens(folder / "scene.sens")
    views = [view_of(sequence, frame, str(frame.number)) for frame in sequence.frames]
    return [(read_image(view.image), read_depth(view.depth) if view.depth else None) for view in views]


def _manifest(folder: Path) -> object:
    manifest, name = read_manifest(folder / "data_manifest.yaml", None, check_lvm)
    return open_dataset(manifest.datasets[name]).scan_ids("train")


def _listed(folder: Path) -> object:
    splits = SplitSpec((str(folder / "scenes.txt"),), ("01",))
    dataset = open_dataset(DatasetSpec("semantickitti", folder / "street", splits))
    return dataset.scan_ids("train")


_SCENE = "room/scans/scene0000_00"
_TABLES = (
    "sensor",
    "calibrated_sensor",
    "ego_pose",
    "scene",
    "sample",
    "sample_data",
    "lidarseg",
    "category",
)

PARSERS = {
    "manifest": Parser("data_manifest.yaml", _manifest, text=True),
    "calib.txt": Parser("street/sequences/00/calib.txt", _street, text=True),
    ".bin": Parser("street/sequences/00/velodyne/000000.bin", _street),
    ".label": Parser("street/sequences/00/labels/000000.label", _street),
    "PNG": Parser("street/sequences/00/image_2/000000.png", _street),
    "mesh": Parser(f"{_SCENE}/scene0000_00_vh_clean_2.ply", _room, text=True),
    "mesh labels": Parser(f"{_SCENE}/scene0000_00_vh_clean_2.labels.ply", _room, text=True),
    "pose": Parser(f"{_SCENE}/pose/0.txt", _room, text=True),
    "intrinsics": Parser(f"{_SCENE}/intrinsic/intrinsic_depth.txt", _room, text=True),
    "facts": Parser(f"{_SCENE}/scene0000_00.txt", _room, text=True),
    "JPEG": Parser(f"{_SCENE}/color/0.jpg", _room),
    "depth": Parser(f"{_SCENE}/depth/0.png", _room),
    ".sens": Parser("scene.sens", _sens),
    **{
        f"nuScenes {table}": Parser(f"nuscenes/v1.0-trainval/{table}.json", _nuscenes, text=True)
        for table in _TABLES
    },
    "list": Parser(
        "list.txt", lambda folder: read_list(folder / "list.txt", ["00/000000", "00/000001"]), text=True
    ),
    "poses": Parser("poses.txt", lambda folder: read_poses(folder / "poses.txt"), text=True),
    "JSON of a person": Parser(
        "calibration.json", lambda folder: read_json_of_user(folder / "calibration.json"), text=True
    ),
    "list of scenes": Parser("scenes.txt", _listed, text=True),
    "index": Parser(
        "artifacts/street/pairs/index.json",
        lambda folder: read_index(folder / "artifacts/street/pairs"),
        True,
    ),
    "configuration": Parser(
        f"{RUN_FOLDER}/config.json",
        lambda folder: SavedRun.load(folder / RUN_FOLDER / "config.json"),
        True,
    ),
    "split": Parser(
        f"{RUN_FOLDER}/split.json",
        lambda folder: LabelledSplit.load(folder / RUN_FOLDER / "split.json"),
        True,
    ),
    "metrics": Parser(
        f"{RUN_FOLDER}/metrics-val.json",
        lambda folder: Metrics.load(folder / RUN_FOLDER / "metrics-val.json"),
        True,
    ),
    "log": Parser(f"{RUN_FOLDER}/log.csv", lambda folder: read_log(folder / RUN_FOLDER / "log.csv"), True),
}
