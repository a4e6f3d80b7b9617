"""Write simulated scans in the layout of SemanticKITTI, in parallel.

A scan depends on (seed, split, drive, frame) alone. So neither the number of workers nor their order matters,
and a killed run that is started again ends with the same bytes. `street.json`, beside `sequences/`, is the
record of tree.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lass3d_core.errors import ManifestError
from lass3d_core.files.atomic import atomic_write, remove_parts, write_text
from lass3d_core.manifest.schema import SimulateSpec, SplitSpec
from lass3d_core.settings import to_json
from preprocess.simulation.shapes import Scene
from preprocess.simulation.street import rig
from preprocess.simulation.street.sensors import LidarModel, camera_image, sweep
from preprocess.simulation.street.world import Layout, build_scene, drive, lay_out
from preprocess.simulation.tree import SimulationReport, do_all, settle

GENERATOR = 2
"""Raise it with every change after which the files differ."""

_SECONDS_PER_SCAN = 0.1
_APART_M = 10_000.0


@dataclass(frozen=True)
class StreetSequence:
    """A sequence to simulate. entropy: with the number of the drive, the seed of its scenes."""

    folder: Path
    scans: int
    entropy: tuple[int, int]
    cameras: int
    frames_per_drive: int

    def files(self, scan: int) -> dict[str, Path]:
        """Folder name -> the file of a scan."""
        suffixes = {"velodyne": ".bin", "labels": ".label"} | dict.fromkeys(rig.cameras(self.cameras), ".png")
        return {name: self.folder / name / f"{scan:06d}{suffix}" for name, suffix in suffixes.items()}

    def random(self, drive_number: int, *purpose: int) -> np.random.Generator:
        """The random numbers for one purpose in a drive."""
        return np.random.default_rng((*self.entropy, drive_number, *purpose))

    def poses(self, drive_number: int) -> list[np.ndarray]:
        """The poses world_from_velodyne (4,4) of the scans of a drive."""
        return drive(self.random(drive_number, 1), self._layout(drive_number))

    def scene(self, drive_number: int) -> Scene:
        """The street of a drive."""
        return build_scene(self.random(drive_number, 2), self._layout(drive_number))

    def _layout(self, drive_number: int) -> Layout:
        return lay_out(self.random(drive_number, 0), self.frames_per_drive)


def write_street(root: Path, spec: SimulateSpec, splits: SplitSpec, workers: int = 0) -> SimulationReport:
    """Simulate the missing scans of the first sequence of each split, below `root`/sequences.

    workers: processes of one thread each; 0 for one per core. A tree of another `spec` is replaced.
    Raises DataError for a sequence that the simulator did not write, ManifestError for a split that names no
    sequence, StorageError.
    """
    sequences = _sequences(root, spec, splits)
    names = [sequence.folder.name for sequence in sequences]
    renewed = settle(root / "street.json", root / "sequences", names, _made_from(spec))
    for sequence in sequences:
        _write_sequence_files(sequence)
    everything = [(sequence, scan) for sequence in sequences for scan in range(sequence.scans)]
    missing = [(sequence, scan) for sequence, scan in everything if not _is_whole(sequence, scan)]
    do_all(_write_scan, missing, workers, "street", "scan")
    return SimulationReport(root, len(missing), len(everything) - len(missing), renewed)


def _sequences(root: Path, spec: SimulateSpec, splits: SplitSpec) -> list[StreetSequence]:
    found = []
    for number, split in enumerate(("train", "val", "test")):
        if not (names := getattr(splits, split)):
            raise ManifestError(
                f"splits.{split} is empty: the simulated street needs a sequence for each split; name one"
            )
        folder, scans, entropy = root / "sequences" / names[0], getattr(spec, split), (spec.seed, number)
        found.append(StreetSequence(folder, scans, entropy, spec.cameras, spec.frames_per_drive))
    return found


def _made_from(spec: SimulateSpec) -> dict[str, Any]:
    """The settings that decide the files; the names of the sequences are recorded beside them."""
    own, values = ("train", "val", "test", "seed", "cameras", "frames_per_drive"), to_json(spec)
    return {"generator": GENERATOR} | {key: values[key] for key in own}


def _write_sequence_files(sequence: StreetSequence) -> None:
    """Write calib.txt, poses.txt and times.txt. Each drive has another street, far from the one before."""
    for name in sequence.files(0):
        remove_parts(sequence.folder / name)
    remove_parts(sequence.folder)
    drives = range(-(-sequence.scans // sequence.frames_per_drive))
    poses = [
        rig.pose_line(of_drive[0], pose, _APART_M * number)
        for number, of_drive in enumerate(map(sequence.poses, drives))
        for pose in of_drive
    ]
    texts = {
        "calib.txt": rig.calibration_text(sequence.cameras),
        "poses.txt": "".join(poses[: sequence.scans]),
        "times.txt": "".join(f"{scan * _SECONDS_PER_SCAN:.6e}\n" for scan in range(sequence.scans)),
    }
    for name, text in texts.items():
        if not (sequence.folder / name).is_file():
            write_text(sequence.folder / name, text)


def _is_whole(sequence: StreetSequence, scan: int) -> bool:
    return all(path.is_file() for path in sequence.files(scan).values())


def _write_scan(job: tuple[StreetSequence, int]) -> None:
    sequence, scan = job
    drive_number, frame = divmod(scan, sequence.frames_per_drive)
    scene, pose = sequence.scene(drive_number), sequence.poses(drive_number)[frame]
    rng = sequence.random(drive_number, 3, frame)
    files = sequence.files(scan)
    turn = sweep(scene, pose, rng, LidarModel())
    _write_array(files["velodyne"], np.column_stack([turn.points, turn.remission]).astype("<f4"))
    _write_array(files["labels"], turn.raw_labels.astype("<u4"))
    for name, camera in rig.cameras(sequence.cameras).items():
        image = Image.fromarray(camera_image(scene, pose, camera, rng))
        with atomic_write(files[name]) as part:
            image.save(part, format="PNG")


def _write_array(path: Path, array: np.ndarray) -> None:
    with atomic_write(path) as part:
        # Unlike `tofile`, this raises the error of the disk.
        part.write_bytes(array.tobytes())
